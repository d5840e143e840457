"""Numbers as people read them: one format each for values, intervals, p values, shares, durations and counts.

Shares (unit "%") are stored between 0 and 1 and shown in per cent; a minus is U+2212; NaN is an empty text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def minus(text: str) -> str:
    """Replaces hyphens by minus signs: minus("-0.5") is "−0.5"."""
    return text.replace("-", "−")


def number(value: float, unit: str = "", *, digits: int | None = None, sign: bool = False) -> str:
    """A value without its unit: number(0.123456) is "0.1235", number(-0.5, "%") "−50.00", number(nan) "".

    Args:
        unit: Shares ("%") are shown in per cent with two decimals, everything else as it is with four.
        digits: Decimals, where these do not suit.
        sign: Whether positive values begin with "+".
    """
    if not math.isfinite(value):
        return "" if value != value else "∞" if value > 0 else "−∞"
    decimals = (2 if unit == "%" else 4) if digits is None else digits
    shown = round(100 * value if unit == "%" else value, decimals) + 0.0  # no "−0.00"
    return minus(f"{shown:{'+' * sign}.{decimals}f}")


def amount(value: float, unit: str, *, digits: int | None = None, sign: bool = False) -> str:
    """A value with its unit: amount(0.5, "%") is "50.00 %", amount(1.5, "nats") "1.5000 nats", amount(nan, "%") ""."""
    text = number(value, unit, digits=digits, sign=sign)
    return f"{text} {unit}".strip() if text else ""


def interval(low: float, high: float, unit: str = "", *, digits: int | None = None, sign: bool = False) -> str:
    """Both ends: interval(-0.5, 1, sign=True) is "−0.5000 to +1.0000"; "" where an end is NaN."""
    ends = [number(end, unit, digits=digits, sign=sign) for end in (low, high)]
    return " to ".join(ends) if all(ends) else ""


def difference_unit(unit: str) -> str:
    """Unit of a difference of two values: "points" (percentage points) of shares, else the same."""
    return "points" if unit == "%" else unit


def p_value(p: float) -> str:
    """Four decimals: p_value(0.03125) is "0.0312", p_value(1e-6) "< 0.0001", p_value(nan) ""."""
    return "" if p != p else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def percent(share: float, digits: int = 1) -> str:
    """A share with its unit: percent(0.1234) is "12.3\N{NO-BREAK SPACE}%"."""
    return f"{number(share, '%', digits=digits)}\u00a0%"


def significant(value: float, digits: int = 3) -> str:
    """Significant digits: significant(-0.012345) is "−0.0123"; "" for NaN."""
    return "" if value != value else minus(f"{value:.{digits}g}")


def duration(seconds: float) -> str:
    """Seconds, minutes or hours: duration(90) is "90 s", duration(600) "10 min", duration(9000) "2.5 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count(n: int, noun: str = "") -> str:
    """Grouped digits, and a regular noun in its number: count(12345) is "12,345", count(1, "run") "1 run"."""
    return f"{n:,} {noun}{'s' * (n != 1)}" if noun else f"{n:,}"


def listed(words: Sequence[str]) -> str:
    """An enumeration: "", "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
