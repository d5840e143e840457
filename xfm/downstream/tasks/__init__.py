"""The tasks by name. A new one is a class in this folder and a place in this list."""

from __future__ import annotations

from ..task import Task
from .captioning import Captioning
from .fine import Fine, FinePrompts
from .grounding import Grounding
from .nlvr2 import NLVR2
from .pictures import Concept, Subcategory
from .retrieval import Retrieval
from .texts import Hypernym, Lexname, SameSynset
from .vqa import VQA

__all__ = ["TASKS"]

LANGUAGE = (Lexname, SameSynset, Hypernym)
VISION = (Concept, Subcategory, Fine, FinePrompts)
BOTH = (Retrieval, Captioning, VQA, NLVR2, Grounding)

TASKS: dict[str, type[Task]] = {task.name: task for task in (*LANGUAGE, *VISION, *BOTH)}
