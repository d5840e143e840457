"""Nested dataclasses as data: made from dicts, changed by dotted names, refused by field, value and what is allowed."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin, get_type_hints


class ConfigError(ValueError):
    """A config that cannot be run: the message names the field, its value and what is allowed."""


def require(ok: bool, field: str, value: object, allowed: str) -> None:
    if not ok:
        raise ConfigError(f"{field} = {value!r}: must be {allowed}")


def one_of(field: str, value: object, names: Iterable[str]) -> None:
    """The value is one of `names`; ConfigError, with the nearest of them, where it is not."""
    names = tuple(names)
    hint = nearest(value, names, before="; ") if isinstance(value, str) else ""
    require(value in names, field, value, f"one of {', '.join(map(repr, names))}{hint}")


def positive(config: object, group: str, *names: str, zero: bool = False) -> None:
    """Every named field of a config is more than 0 (`zero`: or 0)."""
    for name in names:
        value = getattr(config, name)
        require(value > 0 or (zero and value == 0), f"{group}{name}", value, "0 or positive" if zero else "positive")


def shares(config: object, group: str, *names: str) -> None:
    """Every named field of a config is in [0, 1]."""
    for name in names:
        require(0 <= getattr(config, name) <= 1, f"{group}{name}", getattr(config, name), "in [0, 1]")


def typed(config: Any, group: str) -> None:
    """Every field of a config is of its type: a number that is finite, a name that is allowed, a group of its class."""
    for name, kind in types(type(config)).items():
        value, where = getattr(config, name), f"{group}{name}"
        if get_origin(kind) is Literal:
            one_of(where, value, get_args(kind))
        elif kind is float:
            require(type(value) in (int, float), where, value, "of type float")
            require(math.isfinite(value), where, value, "a finite number")
        else:
            require(type(value) is kind, where, value, f"of type {kind.__name__}")


@lru_cache
def types(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def nearest(name: str, names: Iterable[str], before: str = "", after: str = "") -> str:
    """ "did you mean 'x'?" between two texts, or nothing where no name is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"{before}did you mean {near[0]!r}?{after}" if near else ""


def unknown_field(dotted: str, names: Iterable[str]) -> ConfigError:
    names = list(names)
    hint = nearest(dotted.rsplit(".", 1)[-1], names, after=" ")
    return ConfigError(f"{dotted}: no such field; {hint}there are {', '.join(names)}")


def build(cls: Any, tree: Any, path: str = "") -> Any:
    """A dataclass of a nested dict; what is not said is the default. ConfigError for an unknown or wrong field."""
    kinds = types(cls)
    require(isinstance(tree, Mapping), path.rstrip(".") or "config", tree, f"a mapping of {', '.join(kinds)}")
    values = {}
    for key, value in tree.items():
        if key not in kinds:
            raise unknown_field(f"{path}{key}", kinds)
        kind = kinds[key]
        if dataclasses.is_dataclass(kind):
            value = build(kind, value, f"{path}{key}.")
        values[key] = float(value) if kind is float and type(value) is int else value
    return cls(**values)


def changed(tree: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with dotted fields changed, in place. ConfigError for a field that it does not have."""
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        node = tree
        for i, part in enumerate(path):
            if not isinstance(node.get(part), dict):
                raise unknown_field(".".join(path[: i + 1]), node)
            node = node[part]
        if last not in node:
            raise unknown_field(dotted, node)
        node[last] = dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]
    return tree


def leaves(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Dotted name -> value."""
    found = {}
    for name, node in tree.items():
        found |= leaves(node, f"{path}{name}.") if isinstance(node, Mapping) else {path + name: node}
    return found
