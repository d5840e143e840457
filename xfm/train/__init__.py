from .checkpoint import Run, RunBusy, RunError
from .loop import pretrain
from .nonfinite import NonFiniteLoss

__all__ = ["NonFiniteLoss", "Run", "RunBusy", "RunError", "pretrain"]
