"""X-FM: a vision-language foundation model to train, take apart and look into.

`import xfm` is enough: each name is loaded when it is first used, so the command line answers before torch is there.
"""

TYPE_CHECKING = False  # for type checkers and completers, who take it as true
if TYPE_CHECKING:
    from . import explain, plots, recipes, report, study
    from .lab import Lab, load
    from .runs.run import Run
    from .study import Study
    from .tasks import evaluate
    from .train import pretrain

__all__ = ["Lab", "Run", "Study", "evaluate", "explain", "load", "plots", "pretrain", "recipes", "report", "study"]
__version__ = "0.1.0"
_HOME = {"Lab": "lab", "Run": "runs.run", "Study": "study", "evaluate": "tasks", "load": "lab", "pretrain": "train"}


def __getattr__(name: str) -> object:
    from importlib import import_module, util

    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    if name[:1] != "_" and util.find_spec(f"{__name__}.{name}"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
