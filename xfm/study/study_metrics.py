"""What a study measures: a key for each number, its family, unit and baseline, and which direction is better."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from ..base.strings import baseline_label
from ..config import RunConfig
from ..objectives import OBJECTIVES
from ..plots.curve_records import CONSTANT
from ..runs.run import Record
from ..tasks.result import NGRAM, Result
from ..train.step import HELD_OUT_BATCHES

HELD_OUT = "validation"
FAMILIES = ("language", "vision", "vision-language")
SIGN = {"higher": 1.0, "lower": -1.0}  # by which direction is better
FLOOR = "no variant beats the baseline"  # the verdict where none leaves it behind
SHUT = "not tested: its gate is shut"  # ... and where the primary metric before it was not shown to differ

HEADINGS = ("metric", "unit", "variant", "n", "baseline", "step 0", "against", "value", "effect",
            "95 % interval", "p", "smallest p", "p (Holm)", "d", "detectable", "stated", "margin", "equivalent",
            "verdict", "note")  # fmt: skip
# of the table of effects; "against" gives way to the label of the reference, so no variant may be called like these
GATES = "p (gates)"  # heading in the place of "p (Holm)" with gatekeeping


class Ask(NamedTuple):
    """A task, and how models answer it: as they are, or fine-tuned on it."""

    task: str
    way: Literal["evaluate", "finetune"]

    @classmethod
    def parsed(cls, written: str) -> Ask:
        """Reads an entry of `Spec.tasks`: "naming", "finetune:vqa"."""
        task = written.removeprefix("finetune:")
        return cls(task, "evaluate" if task == written else "finetune")


def asked(asks: Iterable[Ask], way: str) -> list[str]:
    """Names of the tasks that are answered in this way."""
    return [ask.task for ask in asks if ask.way == way]


class Metric(NamedTuple):
    """What is known of a metric beside its values."""

    better: str = ""  # "higher", "lower"; "" for control conditions
    unit: str = "%"  # "%": a share, shown in per cent, and differences in percentage points
    baseline: float | None = None  # its value without having learnt the task
    baseline_name: str = ""
    family: str = ""
    n: int | None = None  # samples; None where runs differ

    @property
    def baseline_label(self) -> str:
        """The baseline's display name."""
        return baseline_label(self.baseline_name)

    @property
    def columns(self) -> dict[str, Any]:
        """Columns of a table, with the baseline's display name."""
        named = {"baseline": self.baseline, "baseline_name": self.baseline_label}
        return {"better": self.better, "unit": self.unit} | named


class Measured(NamedTuple):
    """One number of a run."""

    family: str
    metric: str  # the key: "task, condition, metric" without what is empty, or "validation/stream/objective"
    value: float
    n: int  # samples
    known: Metric = Metric()


def evaluated(results: Sequence[Result]) -> list[Measured]:
    """The results of an evaluation."""

    known = [Metric(r.better, r.unit, r.baseline, r.baseline_name) for r in results]
    return [Measured(r.family, r.key, r.value, r.n, of) for r, of in zip(results, known, strict=True)]


def held_out(record: Record, config: RunConfig) -> list[Measured]:
    """The held-out losses in a training record."""
    losses = []
    for name, value in record.items():
        stream, _, objective = name.removeprefix(f"{HELD_OUT}/").partition("/")
        if name.startswith(f"{HELD_OUT}/") and "/" not in objective:  # else what the objective reports beside its loss
            declared, n = OBJECTIVES[objective], HELD_OUT_BATCHES * getattr(config.data, stream)
            constant = record.get(f"{name}{CONSTANT}")  # on the same samples, where the config alone gives no level
            level = declared.chance(config, stream) or (None if constant is None else (constant, "constant"))
            known = Metric("lower", declared.unit, *(level or (None, "")))
            losses.append(Measured(declared.family, name, value, n, known))
    return losses


def own_target(metric: str) -> bool:
    """Whether it is a loss whose targets each run makes itself, as MIM's: beside a constant's it says whether that run
    learns; of two runs it does not say which is better."""
    return metric.startswith(f"{HELD_OUT}/") and metric.endswith("/mim")


def has_ngram(metric: str) -> bool:
    """Whether an n-gram can answer what a metric asks."""
    masked = metric.startswith("language, ") or (metric.startswith("minimal pairs") and ", MLM, " in metric)
    return masked and NGRAM not in metric


def of_ngram(control: str) -> str:
    """The metric that a control row of an n-gram is a baseline of; "" for other keys."""
    suffix = ", MLM" if control.startswith("minimal pairs") else ""
    return control.replace(f", {NGRAM}", suffix) if f", {NGRAM}, " in control else ""
