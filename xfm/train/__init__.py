from .checkpoint import Run, RunBusy, RunError
from .failures import LoaderDied, NonFiniteLoss, OutOfMemory
from .loop import pretrain

__all__ = ["LoaderDied", "NonFiniteLoss", "OutOfMemory", "Run", "RunBusy", "RunError", "pretrain"]
