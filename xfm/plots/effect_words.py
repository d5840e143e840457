"""A metric and its effects in words, as figures of a study have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base.numbers import amount, interval, number

__all__ = ["LEVELS", "SHARE", "compared_with", "known_levels", "unit_name", "with_interval"]

SHARE = {"%": 100.0}  # shares are shown in per cent
LEVELS = {"baseline": "baseline", "step_0": "before training"}  # reference values of a metric, by their columns


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
    named = {"baseline": f" ({row.baseline_name})", "step_0": ""}
    levels = {name: _level(getattr(row, name), row.unit) for name in LEVELS}
    return [f"{LEVELS[name]} {level}{named[name]}" for name, level in levels.items() if level]


def unit_name(row: Any) -> str:
    """Unit of a difference."""
    return "percentage points" if row.unit == "%" else row.unit
