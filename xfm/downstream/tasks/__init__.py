"""The tasks by name. A new one is a class in this folder and a place in this list."""

from __future__ import annotations

from ..task import Task
from .captioning import Captioning
from .fine import Fine, FinePrompts
from .folders import Images
from .glue import GLUE
from .grounding import Grounding
from .nlvr2 import NLVR2
from .pictures import Category, Concept, Subcategory, UnseenConcept
from .retrieval import Retrieval
from .texts import Hypernym, Lexname, SameSynset
from .vqa import VQA

__all__ = ["TASKS"]

LANGUAGE = (Lexname, SameSynset, Hypernym, *GLUE)
VISION = (Concept, Subcategory, Category, UnseenConcept, Fine, FinePrompts, Images)
BOTH = (Retrieval, Captioning, VQA, NLVR2, Grounding)

TASKS: dict[str, type[Task]] = {task.name: task for task in (*LANGUAGE, *VISION, *BOTH)}
