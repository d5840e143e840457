"""Training: `pretrain(config)`, and the run folders that it leaves."""

from ..runs.errors import LoaderFailed, NonFiniteLoss, OutOfMemory, RunBusy, RunError
from ..runs.run import Run
from ..runs.signals import Terminated
from .loop import pretrain

__all__ = ["LoaderFailed", "NonFiniteLoss", "OutOfMemory", "Run", "RunBusy", "RunError", "Terminated", "pretrain"]
