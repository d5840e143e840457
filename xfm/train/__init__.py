"""Training: `pretrain(config)`, and the run folders that it leaves."""

from .errors import LoaderFailed, NonFiniteLoss, OutOfMemory, RunBusy, RunError
from .loop import pretrain
from .run import Run
from .signals import Terminated

__all__ = ["LoaderFailed", "NonFiniteLoss", "OutOfMemory", "Run", "RunBusy", "RunError", "Terminated", "pretrain"]
