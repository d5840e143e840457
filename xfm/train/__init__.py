from .checkpoint import Run, RunBusy, RunError
from .failures import LoaderFailed, NonFiniteLoss, OutOfMemory
from .loop import pretrain

__all__ = ["LoaderFailed", "NonFiniteLoss", "OutOfMemory", "Run", "RunBusy", "RunError", "pretrain"]
