"""Interactive views of X-FM: `import xfm_widgets as xw`. They take data, never a model; see `View`."""

from .base import View
from .gradient_flow import GradientFlow

__all__ = ["GradientFlow", "View"]
