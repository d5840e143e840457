"""The traits of views: what a person chooses, in Python or in a page, and what Python alone tells the page.

A choice never goes beyond what there is, `of(view)`. A place comes to the nearest that exists, since views of other
sizes may be linked; anything else that is wrong is refused, and the view stays as it was.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

import numpy as np
import traitlets

from xfm.base.fields import ConfigError, nearest, require
from xfm.base.strings import parse_json, shown

LONG = 1000  # characters: no name is as long, and none is looked for that is near
LARGEST = 2**31 - 1  # a place of what has no end yet
Trait = TypeVar("Trait", bound=traitlets.TraitType)
Count = Callable[[Any], int]
Known = Callable[[Any], Collection[str]]


class ChoiceError(ConfigError, traitlets.TraitError):
    """A trait that cannot have this value: the message names it, the value and what is allowed."""


def told(trait: Trait) -> Trait:
    """A trait that the view itself writes, by `tell`, and a page only draws."""
    trait.read_only = True
    return trait.tag(sync=True)


class Choice(traitlets.TraitType):
    """Synced, and its errors do not repeat a value of any length."""

    metadata = {"sync": True}  # noqa: RUF012  # which traitlets copies for each trait

    def limit(self, obj: Any) -> dict[str, Any]:
        """What a page without Python checks a value of this view by: a `Limit` of payloads.d.ts."""
        raise NotImplementedError

    def error(self, obj: Any, value: Any, error: Any = None, info: Any = None) -> Any:
        self.refuse(value, info or self.info())

    def refuse(self, value: object, allowed: object) -> NoReturn:
        raise ChoiceError(f"{self.name} = {shown(value)}: must be {allowed}")


class Flag(Choice, traitlets.Bool):
    """True or False."""

    def limit(self, obj: Any) -> dict[str, Any]:
        return {"kind": "flag"}


class Option(Choice, traitlets.Enum):
    """One of some words."""

    def limit(self, obj: Any) -> dict[str, Any]:
        return {"kind": "option", "of": list(self.values or ())}

    def validate(self, obj: Any, value: Any) -> Any:
        return super().validate(obj, value) if isinstance(value, str) else self.error(obj, value)


class Text(Choice, traitlets.Unicode):
    """Any text; bytes are none."""

    def limit(self, obj: Any) -> dict[str, Any]:
        return {"kind": "text"}

    def validate(self, obj: Any, value: Any) -> Any:
        return value if isinstance(value, str) else self.error(obj, value, info="of type str")


class Name(Choice, traitlets.Unicode):
    """One of the names that there are, the first to begin with; "" where there is none."""

    def __init__(self, of: Known) -> None:
        super().__init__()
        self.of = of

    def validate(self, obj: Any, value: Any) -> Any:
        return known(self, [value], self.of(obj) or [""])[0]

    def limit(self, obj: Any) -> dict[str, Any]:
        return {"kind": "option", "of": list(self.of(obj)) or [""]}

    def default(self, obj: Any = None) -> Any:
        return "" if obj is None else next(iter(self.of(obj)), "")


class Share(Choice, traitlets.Float):
    """A number from 0 to `most`."""

    def __init__(self, default: float, most: float = 1) -> None:
        super().__init__(default)
        self.most = most

    def limit(self, obj: Any) -> dict[str, Any]:
        return {"kind": "share", "most": self.most}

    def validate(self, obj: Any, value: Any) -> Any:
        real = isinstance(value, float | int | np.floating | np.integer) and not isinstance(value, bool)
        if not real or not 0 <= value <= self.most:  # NaN is in no interval
            self.refuse(value, f"a number from 0 to {self.most:g}")
        return float(value)


class Place(Choice, traitlets.Int):
    """Which of so many; the last for what is beyond it. -1, where it is the default: none, or all of them."""

    def __init__(self, default: int = -1, of: Count = lambda _: LARGEST) -> None:
        super().__init__(default)
        self.of = of

    def limit(self, obj: Any) -> dict[str, Any]:
        return {"kind": "place", "least": self.default_value, "count": self.of(obj)}

    def validate(self, obj: Any, value: Any) -> Any:
        if not is_whole(value):
            self.refuse(value, "a whole number")
        least = self.default_value
        return least if value <= least else min(int(value), max(self.of(obj) - 1, least))


class Several(Choice, traitlets.List):
    """Each once, in their order."""

    def validate(self, obj: Any, value: Any) -> Any:
        return self.checked(obj, value) if isinstance(value, list | tuple) else self.refuse(value, "a list")

    def checked(self, obj: Any, values: Collection[Any]) -> list[Any]:
        raise NotImplementedError


class Places(Several):
    """Some of so many."""

    def __init__(self, of: Count = lambda _: LARGEST) -> None:
        super().__init__(traitlets.Int())
        self.of = of

    def limit(self, obj: Any) -> dict[str, Any]:
        return {"kind": "places", "count": self.of(obj)}

    def checked(self, obj: Any, values: Collection[Any]) -> list[Any]:
        return places(self, values, self.of(obj)) if values else []


class Names(Several):
    """Some of the names that there are, `most` of them at once."""

    def __init__(self, of: Known, most: int = LARGEST) -> None:
        super().__init__(traitlets.Unicode())
        self.of, self.most = of, most

    def limit(self, obj: Any) -> dict[str, Any]:
        return {"kind": "names", "of": list(self.of(obj)), "most": self.most}

    def checked(self, obj: Any, values: Collection[Any]) -> list[Any]:
        names = known(self, values, self.of(obj)) if values else []
        if len(names) > self.most:
            self.refuse(names, f"at most {self.most} names")
        return names


class Texts(Several):
    """Any texts."""

    def __init__(self) -> None:
        super().__init__(traitlets.Unicode())

    def limit(self, obj: Any) -> dict[str, Any]:
        return {"kind": "texts"}

    def checked(self, obj: Any, values: Collection[Any]) -> list[Any]:
        for value in values:
            if not isinstance(value, str):
                self.refuse(value, "of type str")
        return list(dict.fromkeys(values))


def known(trait: Choice, values: Collection[Any], names: Collection[str]) -> list[str]:
    """Each once. ChoiceError for what is none of the names, with the nearest."""
    for value in values:
        if not isinstance(value, str) or value not in names:
            hint = nearest(value, names, before="; ") if isinstance(value, str) and len(value) < LONG else ""
            trait.refuse(value, f"one of {', '.join(map(shown, names))}{hint}")
    return list(dict.fromkeys(values))


def places(trait: Choice, values: Collection[Any], count: int) -> list[int]:
    """Each once. ChoiceError for what is no place before `count`."""
    for value in values:
        if not is_whole(value) or not 0 <= value < count:
            trait.refuse(value, f"whole numbers from 0 to {count - 1}" if count else "empty: there are none")
    return list(dict.fromkeys(map(int, values)))


def is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def read_choices(view: Any, text: str) -> dict[str, Any]:
    """A view's choices as its tools copy them: {"view": its class's name, "choices": values by names}. ConfigError for
    what is no state, and for a state of another view."""
    try:
        state = parse_json(text)
        name, choices = state["view"], dict(state["choices"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{shown(text)} is no state, as “Copy state” gives it") from None
    if name != type(view).__name__:
        raise ConfigError(f"a state of {shown(name)}, not of {type(view).__name__}")
    return choices


def possible_choices(view: Any, choices: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The choices that the view can have, of several items those that can be; and what it cannot have, in words."""
    possible, lost = {}, []
    for name, value in choices.items():
        try:
            possible[name] = _validated(view, name, value)
            if isinstance(view.traits()[name], Place) and value > possible[name]:
                lost.append(f"{name} = {shown(value)}: the last there is, {possible[name]}, is shown")
        except ConfigError as error:
            lost.append(str(error))
            items = [one for one in value if _can_be(view, name, [one])] if isinstance(value, list) else []
            if items and _can_be(view, name, items):
                possible[name] = items
    return possible, lost


def _validated(view: Any, name: str, value: Any) -> Any:
    require(name in view.choices(), "choice", name, f"one of {', '.join(view.choices())}")
    return view.traits()[name]._validate(view, value)


def _can_be(view: Any, name: str, value: Any) -> bool:
    with suppress(ConfigError):
        return bool(_validated(view, name, value))
    return False
