"""The tasks by name. A new one is a class in this folder and a place in this list."""

from __future__ import annotations

from ..task import Task
from .both import NLVR2, VQA, Grounding
from .fine import Fine, FinePrompts
from .folders import Images
from .glue import GLUE
from .pictures import Category, Concept, Subcategory, UnseenConcept
from .texts import Hypernym, Lexname, SameSynset

__all__ = ["TASKS"]

VISION = Concept, Subcategory, Category, UnseenConcept, Fine, FinePrompts, Images
TASKS: dict[str, type[Task]] = {
    task.name: task for task in (Lexname, SameSynset, Hypernym, *VISION, VQA, NLVR2, Grounding, *GLUE)
}
