"""Ablation studies: variants x seeds -> runs -> paired effects with their uncertainty -> figures and tables."""

from .command import command
from .growing_csv import StudyError
from .spec import Spec
from .study import Study
from .variants import grid

__all__ = ["Spec", "Study", "StudyError", "command", "grid"]
