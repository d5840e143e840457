"""X-FM: a vision-language foundation model to train, take apart and look into.

`import xfm` is enough: `xfm.explain`, `xfm.plots` and the other rooms are loaded when they are first used.
"""

from importlib import import_module
from typing import Any

from .lab import Lab, load
from .train import Run, pretrain

__all__ = ["Lab", "Run", "load", "pretrain"]
__version__ = "0.1.0"
_LAZY = ("explain", "interop", "plots", "report", "study", "tasks")  # the others are loaded by now


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f".{name}", __name__)
