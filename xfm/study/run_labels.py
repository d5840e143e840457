"""Names that can be read, of runs whose folders a study has named by their config's fingerprint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..base.fields import leaves
from ..base.strings import shown
from ..config import RunConfig
from ..recipes import RECIPES, get
from ..recipes import changes as named_changes
from .variants import BASELINE

__all__ = ["readable"]

_BY_FINGERPRINT = re.compile(r"([^+]+)\+[0-9a-f]{12}")
_UNTOLD = ("name", "seed")  # fields that no variant changes


def readable(configs: Mapping[str, RunConfig]) -> dict[str, str]:
    """Of runs' configs, by folder: "smoke no_stop_gradient, seed 0" where the run is named by a fingerprint, the folder
    as it is where it is not, and behind the name where two runs would have the same.

    A variant is told by what sets it apart from its recipe among the runs that are given: what all of a recipe's runs
    change alike is left out, unless there is one run alone.
    """
    named = {folder: match for folder, c in configs.items() if (match := _BY_FINGERPRINT.fullmatch(c.name))}
    names = {folder: folder for folder in configs}
    for recipe in dict.fromkeys(match[1] for match in named.values()):
        fields = {f: leaves(configs[f].to_dict()) for f, match in named.items() if match[1] == recipe}
        plain = leaves(get(recipe).to_dict()) if recipe in RECIPES else next(iter(fields.values()))
        for folder, own in fields.items():
            others = [*fields.values(), *([plain] if len({configs[f].name for f in fields}) == 1 else [])]
            apart = {f for f in {*own, *plain} - {*_UNTOLD} if any(o.get(f) != own.get(f) for o in others)}
            changed = {f: own.get(f) for f in sorted(apart) if own.get(f) != plain.get(f)}
            names[folder] = f"{recipe} {_told(changed)}, seed {configs[folder].seed}"
    said = list(names.values())
    return {folder: f"{name} ({folder})" if said.count(name) > 1 else name for folder, name in names.items()}


def _told(changed: Mapping[str, Any]) -> str:
    """By the names that changes have, the widest first, and by their fields what none has named."""
    left, parts = dict(changed), list[str]()
    for name, fields in sorted(named_changes().items(), key=lambda item: -len(item[1])):
        if fields.items() <= left.items():
            parts.append(name)
            left = {field: value for field, value in left.items() if field not in fields}
    return (
        "+".join([*parts, *(f"{f}={v if isinstance(v, int | float) else shown(v)}" for f, v in left.items())])
        or BASELINE
    )
