"""Ablation studies: variants x seeds -> runs -> paired effects with their uncertainty -> figures and tables."""

from .command import command
from .spec import Spec
from .study import Study
from .table import StudyError
from .variants import grid
from .words import conclusions

__all__ = ["Spec", "Study", "StudyError", "command", "conclusions", "grid"]
