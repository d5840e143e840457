"""What a study measures: one key a number, its family, its unit, and which way is better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..config import RunConfig
from ..evaluation import Result
from ..train.loop import HELD_OUT_BATCHES
from ..train.run import Record

HELD_OUT = "validation"
FAMILY = {"mlm": "language", "mim": "vision"}  # of a held-out loss; the other objectives': vision-language
FAMILIES = ("language", "vision", "vision-language")
UNITS = {"mim": "MSE", "bbp": "L1 + 1 − GIoU"}  # of a held-out loss; the others': nats
# Conditions that no model is meant to be good at.
CONTROLS = ("any object's box", "swapped phrase", "shuffled pairs", "wrong picture", "no picture", "another picture",
            "raw pixels", "random weights", "bag of words")  # fmt: skip


class Measured(NamedTuple):
    """A number as a job hands it back."""

    family: str
    metric: str
    value: float
    n: int  # samples


def key(result: Result) -> str:
    """ "task, condition, metric", without what is empty: "naming, accuracy"."""
    return ", ".join(filter(None, (result.task, result.condition, result.metric)))


def of_results(results: Sequence[Result]) -> list[Measured]:
    return [Measured(r.family, key(r), r.value, r.n) for r in results]


def held_out(record: Record, config: RunConfig) -> list[Measured]:
    """The held-out losses of the last record, as "validation/stream/objective"."""
    found = []
    for name, value in record.items():
        stream, _, objective = name.removeprefix(f"{HELD_OUT}/").partition("/")
        if name.startswith(f"{HELD_OUT}/") and "/" not in objective:  # not what the objective reports besides
            n = HELD_OUT_BATCHES * getattr(config.data, stream)
            found.append(Measured(FAMILY.get(objective, "vision-language"), name, value, n))
    return found


def is_loss(metric: str) -> bool:
    return metric.startswith(f"{HELD_OUT}/") or "loss" in metric


def better(metric: str) -> str:
    """ "less" for losses, "more" for scores, and "" for controls, of which neither is."""
    return "less" if is_loss(metric) else "" if any(c in metric for c in CONTROLS) else "more"


def unit(metric: str) -> str:
    """Of a difference, as it is shown: "%" are percentage points, of values that are shares."""
    return UNITS.get(metric.rpartition("/")[2], "nats") if is_loss(metric) else "%"
