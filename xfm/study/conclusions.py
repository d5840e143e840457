"""answers.json of a study: what became of its question and hypotheses, by whoever read the results.

{"question": "...", "hypotheses": [{"held": "holds", "why": "..."}, ...], "results": "9f86d081884c"}

`hypotheses`: one of HELD each, and why, in the order of the spec; `results`: a hash of the values that were read, so
that the report tells when they are others now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..base.fields import one_of, require
from ..base.files import write_atomically
from ..base.strings import parse_json
from .growing_csv import StudyError, explained
from .measurements import Measurements
from .spec import Spec
from .variants import require_text

HELD = ("holds", "holds in part", "does not hold", "not decided")
_NAME = "answers.json"
_WAY_OUT = "Put a good copy back, or write them anew: study.answer(...)"


class Answer(NamedTuple):
    """Of one hypothesis: one of HELD, and why."""

    held: str
    why: str


class Answers(NamedTuple):
    """Of a whole study."""

    question: str
    hypotheses: tuple[Answer, ...]
    results: str  # `digest` of what was read


def digest(results: pd.DataFrame) -> str:
    """Twelve hex digits of the runs' values (Study.results), in whatever order they finished."""
    columns = (results[name].tolist() for name in ("variant", "seed", "metric", "value"))
    rows = sorted(zip(*columns, strict=True))
    return hashlib.blake2b(repr(rows).encode(), digest_size=6).hexdigest()


def require_answers(question: object, hypotheses: Sequence[Answer], asked: Sequence[str]) -> None:
    """ConfigError unless there is an answer in words to the question, and one to each hypothesis `asked`."""
    require_text("question", question)
    number = len(hypotheses) == len(asked)
    require(number, "hypotheses", len(hypotheses), f"one answer to each of the {len(asked)}, in their order")
    for i, answer in enumerate(hypotheses, 1):
        one_of(f"hypothesis {i}: held", answer.held, HELD)
        require_text(f"hypothesis {i}: why", answer.why)


def record(folder: Path, data: Measurements, question: str, hypotheses: Sequence[tuple[str, str]] = ()) -> None:
    """Writes answers.json in the place of what was written before: an answer in words to the question, and to each
    hypothesis of the spec, in their order, one of HELD and why. ConfigError for anything else. StudyError where a study
    that confirms has runs to do: it is read once, when it is whole."""
    given = list(hypotheses) if isinstance(hypotheses, Iterable) and not isinstance(hypotheses, str) else None
    good = given is not None and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in given)
    require(good, "hypotheses", hypotheses, 'a list of pairs, as [("holds", "why"), ...]')
    answers = Answers(question, tuple(Answer(*pair) for pair in given or ()), digest(data.results))
    require_answers(question, answers.hypotheses, data.spec.hypotheses)
    if data.spec.confirms and data.to_do:
        raise StudyError(f"{folder}: runs to do: {data.to_do}. A study that confirms is read when it is whole")
    tree = answers._asdict() | {"hypotheses": [answer._asdict() for answer in answers.hypotheses]}
    write_atomically(folder / _NAME, json.dumps(tree, indent=1, ensure_ascii=False) + "\n")


def read(folder: Path, asked: Sequence[str]) -> Answers | None:
    """None where nothing is answered yet. StudyError for another content, as for more hypotheses than are `asked`."""
    path = folder / _NAME
    with explained(path, "must have question, hypotheses (held and why of each) and results", _WAY_OUT):
        try:
            tree = parse_json(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        answers = Answers(**tree | {"hypotheses": tuple(Answer(**answer) for answer in tree["hypotheses"])})
        require_answers(answers.question, answers.hypotheses, asked)
        require_text("results", answers.results)
        return answers


def table(folder: Path, spec: Spec) -> pd.DataFrame:
    """A row a hypothesis that `record` wrote an answer to: hypothesis, held, why."""
    answers = read(folder, spec.hypotheses)
    rows = zip(spec.hypotheses, answers.hypotheses, strict=True) if answers else []
    return pd.DataFrame([(asked, *answer) for asked, answer in rows], columns=["hypothesis", "held", "why"])
