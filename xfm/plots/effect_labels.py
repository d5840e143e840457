"""What figures of a study write beside their marks: effects and levels in words, arrows to what lies far away."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from ..base.numbers import amount, interval, number
from .palette import BLUE

SHARE = {"%": 100.0}  # shares are shown in per cent
_FAR = 4  # times as far away as the others go
LEVELS = {
    "baseline": "baseline",
    "ngram": "n-gram",
    "step_0": "before training",
}  # reference values of a metric, by their columns


def with_interval(row: Any) -> str:
    """The difference and its interval: "+1.2 (+0.3 to +2.1)"."""
    digits = 1 if row.unit == "%" else 3
    ends = interval(row.low, row.high, row.unit, digits=digits, sign=True)
    return f"{number(row.effect, row.unit, digits=digits, sign=True)} ({ends})"


def _level(value: float, unit: str) -> str:
    return amount(value, "%") if unit == "%" else number(value)


def compared_with(rows: Sequence[Any]) -> str:
    """The values of the references: one, or the least to the greatest; "" where there are no pairs yet."""
    values = [row.mean_against for row in rows if row.n]
    ends = (min(values), max(values)) if values else ()
    return " to ".join(dict.fromkeys(_level(value, rows[0].unit) for value in ends))


def known_levels(row: Any) -> list[str]:
    """A metric's reference values in words: a panel may have no room for their lines."""
    named = {"baseline": f" ({row.baseline_name})"}
    levels = {name: _level(getattr(row, name, math.nan), row.unit) for name in LEVELS}
    shown = {name: f"{LEVELS[name]} {level}{named.get(name, '')}" for name, level in levels.items() if level}
    counted = shown.pop("ngram", "")  # beside the baseline: a label has room for four lines
    return [f"{text}, {counted}" if name == "baseline" and counted else text for name, text in shown.items()]


def unit_name(row: Any) -> str:
    """Unit of a difference."""
    return "percentage points" if row.unit == "%" else row.unit


def far(spans: Mapping[str, tuple[float, float]]) -> set[str]:
    """Of named intervals (low, high) those that are far away: none, unless at least three, and two thirds, are near,
    and all others begin four times as far from zero as these end."""
    ends = {name: max(map(abs, span)) for name, span in spans.items()}
    begins = {name: max(0.0, low, -high) for name, (low, high) in spans.items()}
    names = sorted(spans, key=ends.__getitem__)
    for i in range(max(3, math.ceil(2 * len(names) / 3)), len(names)):
        end = ends[names[i - 1]]
        if end and all(begins[name] > _FAR * end for name in names[i:]):
            return {*names[i:]}
    return set()


def mark_far(axes: Axes, x: float, y: float, text: str, full: bool = True) -> None:
    """An arrow at the edge that x lies beyond, with words; the panel keeps its limits."""
    axes.set_xlim(axes.get_xlim())
    edge, side = axes.get_xlim()[int(x > 0)], 1 if x > 0 else -1
    look: dict[str, Any] = {"color": BLUE, "mfc": BLUE if full else "white", "markersize": 6, "clip_on": False}
    axes.plot(edge, y, ">" if x > 0 else "<", zorder=4, **look)
    axes.annotate(text, (edge, y), (-7 * side, 0), textcoords="offset points", fontsize=8, va="center",
                  ha="right" if x > 0 else "left", zorder=4)  # fmt: skip
