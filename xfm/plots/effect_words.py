"""A metric and its effects in words, as figures of a study have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["LEVELS", "SHARE", "compared_with", "known_levels", "unit_name", "with_interval"]

SHARE = {"%": 100.0}  # shares are shown in per cent
LEVELS = {"baseline": "baseline", "step_0": "before training"}  # of a metric, by their columns


def with_interval(row: Any) -> str:
    """The difference and its interval in words."""
    share, digits = SHARE.get(row.unit, 1.0), 1 if row.unit == "%" else 3
    effect, low, high = (f"{share * x:+.{digits}f}".replace("-", "−") for x in (row.effect, row.low, row.high))
    return f"{effect} ({low} to {high})"


def _level(value: float, row: Any) -> str:
    return (f"{100 * value:.2f} %" if row.unit == "%" else f"{value:.4f}").replace("-", "−")


def compared_with(rows: Sequence[Any]) -> str:
    """The values of what is compared with: one, or the least to the greatest; "" where there are no pairs yet."""
    values = [row.mean_against for row in rows if row.n]
    if not values:
        return ""
    return " to ".join(dict.fromkeys(_level(value, rows[0]) for value in (min(values), max(values))))


def known_levels(row: Any) -> list[str]:
    """A metric's levels in words: a panel may have no room for their lines."""
    named = {"baseline": f" ({row.baseline_name})", "step_0": ""}
    values = {name: getattr(row, name) for name in LEVELS}
    return [f"{LEVELS[n]} {_level(value, row)}{named[n]}" for n, value in values.items() if value == value]


def unit_name(row: Any) -> str:
    """Of differences."""
    return "percentage points" if row.unit == "%" else row.unit
