"""Interactive views of X-FM: `import xfm_widgets as xw`. They take data, never a model; see `View`."""

from . import figures
from .ablation_explorer import AblationExplorer
from .attribution_lab import AttributionLab
from .base import View
from .gradient_flow import GradientFlow
from .grounding_pad import GroundingPad
from .mask_playground import MaskPlayground
from .retrieval_explorer import RetrievalExplorer
from .task_explorer import TaskExplorer
from .trace_explorer import TraceExplorer
from .training_monitor import TrainingMonitor

__all__ = [
    "AblationExplorer",
    "AttributionLab",
    "GradientFlow",
    "GroundingPad",
    "MaskPlayground",
    "RetrievalExplorer",
    "TaskExplorer",
    "TraceExplorer",
    "TrainingMonitor",
    "View",
    "figures",
]
