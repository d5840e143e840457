"""The tasks by name. A new one is a class in this folder and a place in this list."""

from __future__ import annotations

from ..task import Task
from .both import NLVR2, VQA, Grounding
from .fine import Fine, FinePrompts
from .pictures import Concept, Subcategory
from .texts import Hypernym, Lexname, SameSynset

__all__ = ["TASKS"]

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (Lexname, SameSynset, Hypernym, Concept, Subcategory, Fine, FinePrompts, VQA, NLVR2, Grounding)
}
