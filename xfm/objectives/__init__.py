"""The losses, and the training forward over them."""

from .base import Objective
from .pretraining import Pretraining, build, check_losses, losses_by_stream, weighted_sum, weights_at
from .registry import OBJECTIVES

__all__ = ["OBJECTIVES", "Objective", "Pretraining", "build", "check_losses", "losses_by_stream", "weighted_sum",
           "weights_at"]  # fmt: skip
