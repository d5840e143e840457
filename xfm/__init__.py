"""X-FM: a vision-language foundation model to train, take apart and look into."""

from .pretrained import load
from .train import Run, pretrain

__all__ = ["Run", "load", "pretrain"]
__version__ = "0.1.0"
