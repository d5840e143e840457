"""Nested dataclasses as data: made from dicts, changed by dotted names, refused by field, value and what is allowed."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from .strings import brief, shown

FINITE = sys.float_info.max
ENTRIES, KEY = 100, 50  # of an open group: the most, and the most characters of a name
NEAREST = 100  # characters of the longest name that is compared with others


class Range(NamedTuple):
    """Range of a number, declared in its field's type: `Annotated[float, Range(0, 180, "in [0, 180] (degrees)")]`."""

    least: float
    most: float
    allowed: str  # for the error message
    above: bool = False  # without `least` itself
    below: bool = False  # without `most` itself

    def __contains__(self, value: Any) -> bool:
        least = value > self.least if self.above else value >= self.least
        return least and (value < self.most if self.below else value <= self.most)


POSITIVE = Range(0, FINITE, "positive", above=True)
NOT_NEGATIVE = Range(0, FINITE, "0 or positive")
Count = Annotated[int, POSITIVE]
Size = Annotated[int, NOT_NEGATIVE]
Rate = Annotated[float, POSITIVE]
Weight = Annotated[float, NOT_NEGATIVE]
Share = Annotated[float, Range(0, 1, "in [0, 1]")]
Fraction = Annotated[float, Range(0, 1, "in [0, 1)", below=True)]


class ConfigError(ValueError):
    """A config that cannot be run: the message names the field, its value and what is allowed."""


def require(ok: bool, field: str, value: object, allowed: str) -> None:
    """ConfigError, naming the field, its value and what is allowed, unless `ok`."""
    if not ok:
        raise ConfigError(f"{brief(field)} = {shown(value)}: must be {allowed}")


def one_of(field: str, value: object, names: Iterable[str]) -> None:
    """The value is one of `names`; ConfigError, with the nearest of them, where it is not."""
    if value not in (names := tuple(names)):  # the nearest is not looked for in vain
        hint = nearest(value, names, before="; ") if isinstance(value, str) else ""
        require(False, field, value, f"one of {', '.join(map(repr, names))}{hint}")


class Group:
    """Base class of a config's dataclasses, which checks their fields: `class TrainConfig(Group, path="train.")`."""

    _path = ""

    def __init_subclass__(cls, path: str = "") -> None:
        cls._path = path

    def __post_init__(self) -> None:
        typed(self, self._path)


def typed(config: Any, group: str) -> None:
    """Checks that each field of a config has its type (a finite number, a name from a list, a dataclass), then that
    each number is in the range of its type. Raises ConfigError."""
    for name, kind in types(type(config)).items():
        _require_type(f"{group}{name}", value := getattr(config, name), kind)
        if _values_of(kind):
            object.__setattr__(config, name, Table(value))
    for name, allowed in _ranges(type(config)).items():
        values = getattr(config, name)
        for key, value in values.items() if isinstance(values, Mapping) else [("", values)]:
            require(value in allowed, f"{group}{name}.{key}".rstrip("."), value, allowed.allowed)


def _require_type(where: str, value: Any, kind: Any) -> None:
    if get_origin(kind) is Literal:
        one_of(where, value, get_args(kind))
    elif values := _values_of(kind):
        require(isinstance(value, Mapping), where, value, "a mapping of names")
        require(len(value) <= ENTRIES, where, f"{len(value):,} names", f"at most {ENTRIES}")
        for key, entry in value.items():
            valid = isinstance(key, str) and re.fullmatch(rf"\w{{1,{KEY}}}", key)
            require(bool(valid), where, key, f"a mapping of names: letters, digits and _, at most {KEY}")
            _require_type(f"{where}.{key}", entry, values)
    elif get_origin(kind) is tuple:  # of any length; JSON's list
        entry = get_args(kind)[0]
        require(type(value) is tuple, where, value, f"a list (in Python: a tuple) of {entry.__name__}")
        for i, one in enumerate(value):
            _require_type(f"{where}[{i}]", one, entry)
    elif kind is float:
        require(type(value) in (int, float), where, value, "of type float")
        require(-FINITE <= value <= FINITE, where, value, "a finite number")
    else:
        require(type(value) is kind, where, value, f"of type {kind.__name__}")
        require(kind is not int or abs(value) < 2**63, where, value, "in [0, 2**63)")


@lru_cache
def types(cls: Any) -> dict[str, Any]:
    """Field -> resolved type of a dataclass."""
    return get_type_hints(cls)


@lru_cache
def _ranges(cls: Any) -> dict[str, Range]:
    """Field -> range of a dataclass's numbers; of an open group, that of its entries."""
    hints = get_type_hints(cls, include_extras=True)
    kinds = {name: get_args(hint)[1] if get_origin(hint) is Mapping else hint for name, hint in hints.items()}
    annotated = {name: kind.__metadata__[0] for name, kind in kinds.items() if get_origin(kind) is Annotated}
    return {name: allowed for name, allowed in annotated.items() if isinstance(allowed, Range)}


def nearest(name: str, names: Iterable[str], before: str = "", after: str = "") -> str:
    """ "did you mean 'x'?" between two texts, or nothing where no name is near."""
    near = difflib.get_close_matches(name, list(names), n=1) if len(name) <= NEAREST else []
    return f"{before}did you mean {near[0]!r}?{after}" if near else ""


def unknown_field(dotted: str, names: Iterable[str]) -> ConfigError:
    """The error of a field that is none of `names`, with the nearest."""
    hint = nearest(dotted.rsplit(".", 1)[-1], names := list(names), after=" ")
    return ConfigError(f"{brief(dotted)}: no such field; {hint}there are {', '.join(names)}")


class Table(dict):
    """A mapping that cannot be changed in place: an open group of a config, whose keys are data."""

    def _refuse(self, *_: object, **__: object) -> None:
        raise TypeError("a config is not changed in place; config.replace makes another one")

    __setitem__ = __delitem__ = __ior__ = update = pop = popitem = clear = setdefault = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type, tuple[dict]]:
        return Table, (dict(self),)


def _values_of(kind: Any) -> Any:
    """The type of an open group's values, Mapping[str, V] -> V; None for another type."""
    return get_args(kind)[1] if get_origin(kind) is Mapping else None


def to_tree(config: Any) -> Any:
    """Nested dicts of a config, with lists where it has tuples, as JSON has it."""
    if isinstance(config, tuple):
        return list(config)
    if dataclasses.is_dataclass(config):
        return {f.name: to_tree(getattr(config, f.name)) for f in dataclasses.fields(config)}
    return {name: to_tree(value) for name, value in config.items()} if isinstance(config, Mapping) else config


def build(kind: Any, tree: Any, path: str = "") -> Any:
    """A value of a type from JSON's: a dataclass of a nested dict, where what is not there is the default. ConfigError
    for an unknown or wrong field."""
    if dataclasses.is_dataclass(kind):
        kinds = types(kind)
        require(isinstance(tree, Mapping), path.rstrip(".") or "config", tree, f"a mapping of {', '.join(kinds)}")
        if unknown := [name for name in tree if name not in kinds]:
            raise unknown_field(f"{path}{unknown[0]}", kinds)
        return kind(**{name: build(kinds[name], value, f"{path}{name}.") for name, value in tree.items()})  # type: ignore[operator]
    if values := _values_of(kind):
        require(isinstance(tree, Mapping), path.rstrip("."), tree, "a mapping of names")
        return Table({name: build(values, value, f"{path}{name}.") for name, value in tree.items()})
    if get_origin(kind) is tuple and isinstance(tree, list | tuple):
        return tuple(build(get_args(kind)[0], value, path) for value in tree)
    return float(tree) if kind is float and type(tree) is int and abs(tree) <= FINITE else tree


def changed(tree: dict[str, Any], changes: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with dotted fields changed, in place. `new`: the open groups by dotted name, each with what a new entry
    starts as. ConfigError for a field that the tree does not have."""
    for dotted, value in changes.items():
        node, names = tree, str(dotted).split(".")
        for i, part in enumerate(names):
            group = ".".join(names[:i])
            if part not in node and group in new:
                node[part] = copy.deepcopy(new[group])
            if part not in node or (i < len(names) - 1 and not isinstance(node[part], dict)):
                raise unknown_field(".".join(names[: i + 1]), node)
            if i < len(names) - 1:
                node = node[part]
        try:
            node[names[-1]] = to_tree(value)
        except RecursionError:
            raise ConfigError(f"{dotted}: nested too deeply to be a value") from None
    return tree


def differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The dotted fields in which two trees differ, with both values; "none" of one that only the other has."""
    old, new = ({name: repr(value) for name, value in leaves(tree).items()} for tree in (there, asked))
    differing = [name for name in old | new if old.get(name) != new.get(name)]
    return ", ".join(f"{k}: {old.get(k, 'none')} there, {new.get(k, 'none')} asked" for k in differing)


def leaves(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Dotted name -> value."""
    by_name = {}
    for name, node in tree.items():
        by_name |= leaves(node, f"{path}{name}.") if isinstance(node, Mapping) else {path + name: node}
    return by_name
