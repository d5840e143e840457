"""The tasks by name. A new one is a file here and a line in `TASKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..context import EvalContext
from ..result import Result
from . import (
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

__all__ = ["FAMILIES", "STANDARD", "TASKS", "Task"]


@dataclass(frozen=True)
class Task:
    """What a task is about, needs, and computes."""

    family: str
    needs: tuple[str, ...]  # of the data source: keys of `data.source.CAPABILITIES`
    score: Callable[[EvalContext], list[Result]]
    heads: tuple[str, ...] = ()  # the losses of whose heads a model must have all
    asked_for: bool = False  # no part of "all" or of its family, so of no evaluation.json: only where it is named


TASKS: dict[str, Task] = {
    "mlm": Task("language", language.NEEDS, language.score, ("mlm",)),
    "lexnames": Task("language", lexnames.NEEDS, lexnames.score),
    "pairs": Task("language", sentence_pairs.NEEDS, sentence_pairs.score),
    "minimal_pairs": Task("language", minimal_pairs.NEEDS, minimal_pairs.score, ("mlm",), asked_for=True),
    "recognition": Task("vision", concept_recognition.NEEDS, concept_recognition.score),
    "retrieval": Task("vision-language", retrieval.NEEDS, retrieval.score, ("itc",)),
    "matching": Task("vision-language", exchanged_words.NEEDS, exchanged_words.score, ("itc",)),
    "naming": Task("vision-language", object_naming.NEEDS, object_naming.score, ("itc",)),
    "grounding": Task("vision-language", grounding.NEEDS, grounding.score, ("bbp",)),
    "alignment": Task("vision-language", alignment.NEEDS, alignment.score, ("bbp",)),
    "imlm": Task("vision-language", masked_words.NEEDS, masked_words.score, ("imlm",)),
    "styles": Task("vision-language", drawing_styles.NEEDS, drawing_styles.score, ("itc",)),
}
STANDARD = tuple(name for name, task in TASKS.items() if not task.asked_for)  # what "all" is
FAMILIES = tuple(dict.fromkeys(task.family for task in TASKS.values()))
