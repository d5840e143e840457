"""All tasks by name, each with the ways in which it can be answered. A new one is a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .context import EvalContext
from .finetuning.task import Family, Trainable
from .own.captioning import Captioning
from .own.coco_retrieval import Retrieval
from .own.glue import GLUE
from .own.labelled_folders import Images
from .own.nlvr2 import NLVR2
from .own.picture_tasks import Category, Concept, Fine, FinePrompts, Subcategory, UnseenConcept
from .own.refcoco import Grounding
from .own.text_tasks import Hypernym, Lexname, SameSynset
from .own.vqa import VQA
from .result import Result
from .world import (
    alignment,
    concept_recognition,
    drawing_styles,
    exchanged_words,
    grounding,
    language,
    lexnames,
    masked_words,
    minimal_pairs,
    object_naming,
    retrieval,
    sentence_pairs,
)

Way = Literal["zero-shot", "probe", "finetune"]


@dataclass(frozen=True)
class Measurement:
    """How a frozen model answers: by heads of its pre-training (zero-shot), or by probes of its states."""

    way: Literal["zero-shot", "probe"]
    needs: tuple[str, ...]  # of the data source: keys of `data.source.CAPABILITIES`
    score: Callable[[EvalContext], list[Result]]
    heads: tuple[str, ...] = ()  # the losses of whose heads a model must have all
    asked_for: bool = False  # not part of "all" or of its family, so of no evaluation.json: measured only where named


@dataclass(frozen=True)
class Task:
    """Name and family of a task, and the ways to measure it, frozen or fine-tuned."""

    name: str
    family: Family
    frozen: Measurement | None = None
    trained: type[Trainable] | None = None  # with a head of its own

    @property
    def ways(self) -> tuple[Way, ...]:
        return *((self.frozen.way,) if self.frozen else ()), *(("finetune",) if self.trained else ())


def _frozen(way: Literal["zero-shot", "probe"], module: Any, *heads: str, asked_for: bool = False) -> Measurement:
    """By the file of a task in `world/`."""
    return Measurement(way, module.NEEDS, module.score, heads, asked_for)


def _trained(*kinds: type[Trainable]) -> tuple[Task, ...]:
    return tuple(Task(kind.name, kind.family, trained=kind) for kind in kinds)


_LANGUAGE = (
    Task("mlm", "language", _frozen("zero-shot", language, "mlm")),
    Task("lexnames", "language", _frozen("probe", lexnames)),
    Task("pairs", "language", _frozen("probe", sentence_pairs)),
    Task("minimal_pairs", "language", _frozen("zero-shot", minimal_pairs, "mlm", asked_for=True)),
    *_trained(Lexname, SameSynset, Hypernym, *GLUE),
)
_VISION = (
    Task("recognition", "vision", _frozen("probe", concept_recognition)),
    *_trained(Concept, Subcategory, Category, UnseenConcept, Fine, FinePrompts, Images),
)
_BOTH: tuple[Task, ...] = (
    Task("retrieval", "vision-language", _frozen("zero-shot", retrieval, "itc"), Retrieval),
    Task("matching", "vision-language", _frozen("zero-shot", exchanged_words, "itc")),
    Task("naming", "vision-language", _frozen("zero-shot", object_naming, "itc")),
    *_trained(Captioning, VQA, NLVR2),
    Task("grounding", "vision-language", _frozen("zero-shot", grounding, "bbp"), Grounding),
    Task("alignment", "vision-language", _frozen("zero-shot", alignment, "bbp")),
    Task("imlm", "vision-language", _frozen("zero-shot", masked_words, "imlm")),
    Task("styles", "vision-language", _frozen("zero-shot", drawing_styles, "itc")),
)

TASKS: dict[str, Task] = {task.name: task for task in (*_LANGUAGE, *_VISION, *_BOTH)}
# rows of an evaluation.json stand in the order of TASKS
MEASURED: dict[str, Measurement] = {name: task.frozen for name, task in TASKS.items() if task.frozen}
TRAINABLE: dict[str, type[Trainable]] = {name: task.trained for name, task in TASKS.items() if task.trained}
STANDARD = tuple(name for name, measurement in MEASURED.items() if not measurement.asked_for)  # what "all" is
FAMILIES = tuple(dict.fromkeys(task.family for task in TASKS.values()))
