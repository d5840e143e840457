"""The six answers of a run: what it can do, each beside its baseline, from the rows of its evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..base.numbers import interval, percent
from ..base.strings import baseline_label

ANSWERS = {  # (task, metric, condition) of an evaluation: what it says
    ("image to text", "R@1", "ITC"): "image to text, R@1 by ITC",
    ("text to image", "R@1", "ITC"): "text to image, R@1 by ITC",
    ("matching (name exchanged)", "accuracy", "ITM"): "exchanged names noticed by ITM",
    ("grounding", "acc@0.5", ""): "phrases grounded, acc@0.5",
    ("naming", "accuracy", ""): "objects named",
    ("language", "accuracy", ""): "masked tokens predicted",
}
HEADER = ("answer", "value", "95 % interval", "baseline", "n")


def answers(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row of text, as HEADER has it, for each of ANSWERS that was measured."""
    measured = {(row["task"], row["metric"], row["condition"]): row for row in rows}
    return [_row(title, measured[key]) for key, title in ANSWERS.items() if key in measured]


def _row(title: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    name = baseline_label(row["baseline_name"])
    baseline = "" if row["baseline"] is None else f"{percent(row['baseline'])} ({name})"
    return title, percent(row["value"]), interval(row["low"], row["high"], "%", digits=1), baseline, f"{row['n']:,}"
