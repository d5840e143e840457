"""Figures from plain arrays, tables and records; `write_figures` draws those of a run."""

from .curves import learning_curves, watch
from .results import evaluation

__all__ = ["evaluation", "learning_curves", "watch"]
