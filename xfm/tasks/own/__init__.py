"""The tasks by name. A new one is a class in this folder and a place in this list."""

from __future__ import annotations

from ..finetuning.task import Task
from .captioning import Captioning
from .coco_retrieval import Retrieval
from .fine import Fine, FinePrompts
from .glue import GLUE
from .labelled_folders import Images
from .nlvr2 import NLVR2
from .picture_tasks import Category, Concept, Subcategory, UnseenConcept
from .refcoco import Grounding
from .text_tasks import Hypernym, Lexname, SameSynset
from .vqa import VQA

__all__ = ["TASKS"]

LANGUAGE = (Lexname, SameSynset, Hypernym, *GLUE)
VISION = (Concept, Subcategory, Category, UnseenConcept, Fine, FinePrompts, Images)
BOTH = (Retrieval, Captioning, VQA, NLVR2, Grounding)

TASKS: dict[str, type[Task]] = {task.name: task for task in (*LANGUAGE, *VISION, *BOTH)}
