"""What a spec's fields may hold: names of folders, printable texts, and what JSON has; and nothing else."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from ..base.fields import require

__all__ = ["LONGEST", "require_amounts", "require_data", "require_name", "require_text"]

_NAME = 200  # bytes: disks take 255, with what is added to a name while a file is written
LONGEST = 1000  # characters of a label, a metric, a recipe, a question
_DEEPEST = 8  # groups within groups: a config has fewer


def require_amounts(field: str, value: object) -> None:
    """ConfigError unless the value is a mapping of metrics to positive numbers in their units."""
    require(isinstance(value, Mapping), field, value, "a mapping of metrics to numbers")
    for metric, amount in value.items():  # type: ignore[attr-defined]
        require_text(f"{field}: metric", metric)
        good = type(amount) in (int, float) and 0 < amount < math.inf
        require(
            good, f"{field}.{metric}", amount, "a positive number, in the metric's unit (0.01: one point of a share)"
        )


def require_name(field: str, value: object) -> None:
    """ConfigError unless the value can be the name of a study, and of its folder on any disk."""
    good = isinstance(value, str) and re.fullmatch(r"\w[\w.+-]*", value) and len(value.encode()) <= _NAME
    require(bool(good), field, value, f"a folder's name: letters, digits and any of . _ + -, at most {_NAME} bytes")


def require_text(field: str, value: object) -> None:
    """ConfigError unless the value is a text that is the same in every table, on every screen, in every file."""
    good = isinstance(value, str) and value.isprintable() and value == value.strip() and len(value) <= LONGEST
    allowed = f"a text of one printable line without blanks at its ends, 1 to {LONGEST:,} characters"
    require(good and value != "", field, value, allowed)


def require_changes(field: str, value: object) -> None:
    """ConfigError unless the value maps dotted fields of a config to data; but for those that a study sets itself."""
    require_data(field, value)
    assert isinstance(value, Mapping)
    for name in ("seed", "name"):
        require(name not in value, f"{field}.{name}", value.get(name), "left out: `seeds` and the config say it")


def require_data(field: str, value: object, depth: int = 0) -> None:
    """ConfigError unless the value, at `depth` 0 a mapping, is what JSON has, and a config could hold."""
    if isinstance(value, Mapping):
        require(depth < _DEEPEST, field, "...", "a config's field or group, which are not nested as deeply")
        for name, inner in value.items():
            require_text(field, name)
            require_data(f"{field}.{name}", inner, depth + 1)
        return
    require(depth > 0, field, value, "a mapping of dotted fields")
    number = type(value) is float or (type(value) is int and abs(value) < 2**63)
    good = value is None or type(value) is bool or number or (isinstance(value, str) and value.isprintable())
    require(good, field, value, "true, false, a number, a printable text, or a mapping of names to these")
