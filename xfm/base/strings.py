"""Text that came from elsewhere, before people see it: one line, of a sensible length, that moves no cursor."""

from __future__ import annotations

import json
from typing import Any

LONGEST = 200  # characters of a value, or of a text, in a message
CHANCE = "a coin"  # stored


def printable(text: object) -> str:
    """As a terminal may have it: control, bidirectional and zero-width characters and surrogates become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def baseline_label(name: str) -> str:
    """Display name of a baseline, from its name in files."""
    return "chance" if name == CHANCE else name


def shown(value: object) -> str:
    """A value in a message: its repr, cut where it is long."""
    try:
        return brief(repr(value))
    except (RecursionError, ValueError):  # nested too deeply; an integer of more digits than Python writes
        return f"a {type(value).__name__} too large to be shown"


def brief(text: object) -> str:
    """A text in a message, such as another error's: printable, cut where it is long."""
    whole = str(text)
    start = printable(whole[:LONGEST])
    return start if len(whole) <= LONGEST else f"{start}... ({len(whole):,} characters)"


def parse_json(text: str) -> Any:
    """`json.loads`, for files of others: ValueError also for what is nested deeper than Python can read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply to be read") from None
