"""Interactive views of X-FM: `import xfm_widgets as xw`. They take data, never a model; see `View`.

Each is loaded when it is first used: what one needs, as the statistics of studies, the others do not wait for.
"""

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import figures
    from .ablation_explorer import AblationExplorer
    from .attribution_lab import AttributionLab
    from .gradient_flow import GradientFlow
    from .grounding_pad import GroundingPad
    from .mask_playground import MaskPlayground
    from .retrieval_explorer import RetrievalExplorer
    from .task_explorer import TaskExplorer
    from .trace_explorer import TraceExplorer
    from .training_monitor import TrainingMonitor
    from .view import View

__all__ = ["AblationExplorer", "AttributionLab", "GradientFlow", "GroundingPad", "MaskPlayground", "RetrievalExplorer",
           "TaskExplorer", "TraceExplorer", "TrainingMonitor", "View", "figures"]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    if name == "figures":
        return import_module(".figures", __name__)
    home = re.sub(r"\B[A-Z]", r"_\g<0>", name).lower()
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return __all__
