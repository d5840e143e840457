from .errors import LoaderFailed, NonFiniteLoss, OutOfMemory
from .loop import pretrain
from .run import Run, RunBusy, RunError

__all__ = ["LoaderFailed", "NonFiniteLoss", "OutOfMemory", "Run", "RunBusy", "RunError", "pretrain"]
