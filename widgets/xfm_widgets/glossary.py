"""The words that each view explains in place, of docs/glossary.md."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


def terms_of(view: str) -> list[tuple[str, str]]:
    """Terms of a view and their meanings, by the view's class name; empty for a user-defined view."""
    return [(term, read("glossary")[term]) for term in read("terms").get(view, ())]


@cache
def read(name: str) -> dict[str, Any]:
    """ "glossary": term -> meaning; "terms": view -> its terms."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text("utf-8"))
