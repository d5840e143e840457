"""X-FM: a vision-language foundation model to train, take apart and look into."""

from .lab import Lab, load
from .train import Run, pretrain

__all__ = ["Lab", "Run", "load", "pretrain"]
__version__ = "0.1.0"
