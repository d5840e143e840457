from .checkpoint import Run, RunError
from .loop import pretrain
from .nonfinite import NonFiniteLoss

__all__ = ["NonFiniteLoss", "Run", "RunError", "pretrain"]
