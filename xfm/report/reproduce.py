"""How a run departs from its recipe, and the command that trains it again."""

from __future__ import annotations

import shlex
from typing import Any

from .. import recipes
from ..base.fields import leaves
from ..config import ConfigError, RunConfig


def departures(config: RunConfig) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """The recipe that the run is named after, else the one with the fewest other fields; and what differs from it, by
    dotted name: (the recipe's value, the run's)."""
    try:
        candidates = {config.name: recipes.get(config.name)}
    except ConfigError:
        candidates = {name: make() for name, make in recipes.RECIPES.items()}
    ours = leaves(config.to_dict())
    differing = {
        name: {f: (v, ours.get(f)) for f, v in leaves(recipe.to_dict()).items() if v != ours.get(f)}
        for name, recipe in candidates.items()
    }
    nearest = min(differing, key=lambda name: len(differing[name]))
    return nearest, differing[nearest]


def command(config: RunConfig) -> str:
    """What trains the same run again."""
    recipe, differing = departures(config)
    words = ["xfm", "pretrain", recipe]
    for name, (_, value) in differing.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            group, _, last = option.rpartition(".")
            words.append(f"--{group}.{last if value else f'no-{last}'}")
        else:
            words += [f"--{option}", *map(str, value if isinstance(value, list | tuple) else [value])]
    return shlex.join(words)
