"""Whether a value has the shape that a TypedDict, or another type of xfm_widgets/payloads.py, says."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal, Union


def problems(value: Any, annotation: Any, where: str = "") -> list[str]:
    if typing.is_typeddict(annotation):
        return of_dictionary(value, annotation, where)
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return [] if value in inner else [f"{where} is {value!r}, not one of {inner}"]
    if origin in (Union, types.UnionType):
        found = [problems(value, one, where) for one in inner]
        return [] if [] in found else min(found, key=len)
    if origin is list and isinstance(value, list):
        return [p for i, item in enumerate(value) for p in problems(item, inner[0], f"{where}[{i}]")]
    if origin is dict and isinstance(value, dict):
        keys = [p for key in value for p in problems(key, inner[0], f"a key of {where}")]
        return keys + [p for key, item in value.items() for p in problems(item, inner[1], f"{where}.{key}")]
    if origin is tuple and isinstance(value, list | tuple) and len(value) == len(inner):  # JSON has arrays alone
        return [
            p
            for i, (item, one) in enumerate(zip(value, inner, strict=True))
            for p in problems(item, one, f"{where}[{i}]")
        ]
    return [] if origin is None and plain(value, annotation) else [f"{where} is {type(value).__name__}: {annotation}"]


def of_dictionary(value: Any, annotation: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is {type(value).__name__}, not {annotation.__name__}"]
    hints = typing.get_type_hints(annotation)
    found = [f"{where}.{key} is missing" for key in sorted(annotation.__required_keys__ - value.keys())]
    found += [f"{where}.{key} is not in {annotation.__name__}" for key in sorted(value.keys() - hints.keys())]
    return found + [
        p for key in hints.keys() & value.keys() for p in problems(value[key], hints[key], f"{where}.{key}")
    ]


def plain(value: Any, annotation: type) -> bool:
    """JSON's types, exactly: a number of numpy is none, and True is no number; a whole number may stand for a float."""
    return type(value) is annotation or (annotation is float and type(value) is int)
