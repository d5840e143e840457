"""Whether a value that a view sends has its type of static/payloads.d.ts, by which `tsc` checks the JavaScript."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from javascript import STATIC

PLAIN = {"string": str, "boolean": bool, "DataView": bytes, "Int": int, "null": type(None), "number": float}
TOKEN = re.compile(r'\s*("[^"]*"|[\w$]+|\[\]|.)')
Types = Mapping[str, Any]  # by name: a type's text, or an interface's as {field: text}, "?" behind what may be missing


@cache
def declared() -> Types:
    return parse((STATIC / "payloads.d.ts").read_text("utf-8"))


def parse(source: str) -> Types:
    source = re.sub(r"/\*.*?\*/|//.*", "", source)
    types: dict[str, Any] = dict(re.findall(r"^export type (\w+) = (.+?);", source, re.MULTILINE))
    for name, base, body in re.findall(r"^export interface (\w+)(?: extends (\w+))? \{\n(.*?)^\}", source, re.M | re.S):
        types[name] = types.get(base, {}) | dict(re.findall(r"^  (\w+\??): (.+?);", body, re.MULTILINE))
    return types


def problems(value: Any, kind: str, where: str, types: Types | None = None) -> list[str]:
    tokens = TOKEN.findall(kind.strip())
    found = union(value, tokens, where, declared() if types is None else types)
    assert not tokens, f"{kind}: {tokens} is left"
    return found


def union(value: Any, tokens: list[str], where: str, types: Types) -> list[str]:
    """Takes `A | B` from the tokens; the problems with the alternative that has the fewest."""
    found = [single(value, tokens, where, types)]
    while tokens[:1] == ["|"]:
        tokens.pop(0)
        found.append(single(value, tokens, where, types))
    return min(found, key=len)


def single(value: Any, tokens: list[str], where: str, types: Types) -> list[str]:
    """Takes one type from the tokens, and the [] behind it."""
    first = tokens.pop(0)
    inner: list[list[str]] = []
    closing = {"(": ")", "[": "]", "Record": ">"}.get(first, "")
    if first == "Record":
        tokens.pop(0)
    while closing:  # the types between the brackets
        depth, end = 0, 0
        while depth or tokens[end] not in (",", closing):
            depth += (tokens[end] in "([<") - (tokens[end] in ")]>")
            end += 1
        inner.append(tokens[:end])
        closing = "" if tokens[end] == closing else closing
        del tokens[: end + 1]
    many = 0
    while tokens[:1] == ["[]"]:
        tokens.pop(0)
        many += 1
    return listed(value, first, inner, many, where, types)


def listed(value: Any, first: str, inner: list[list[str]], many: int, where: str, types: Types) -> list[str]:
    if many:
        if not isinstance(value, list):
            return [f"{where} is {type(value).__name__}, not a list"]
        return [p for i, one in enumerate(value) for p in listed(one, first, inner, many - 1, f"{where}[{i}]", types)]
    if first == "(":
        return union(value, [*inner[0]], where, types)
    if first == "[":
        if not isinstance(value, list | tuple) or len(value) != len(inner):  # JSON has arrays alone
            return [f"{where} is {value!r}, not {len(inner)} values"]
        return [p for i, one in enumerate(value) for p in union(one, [*inner[i]], f"{where}[{i}]", types)]
    if first == "Record":
        if not isinstance(value, dict):
            return [f"{where} is {type(value).__name__}, not a dictionary"]
        keys = [p for key in value for p in union(key, [*inner[0]], f"a key of {where}", types)]
        return keys + [p for key, one in value.items() for p in union(one, [*inner[1]], f"{where}.{key}", types)]
    if first[0] == '"':
        return [] if value == json.loads(first) else [f"{where} is {value!r}, not {first}"]
    if (
        first in PLAIN
    ):  # exactly: a number of numpy is none, and True is no number; a whole number may stand for a float
        fits = type(value) is PLAIN[first] or (first == "number" and type(value) is int)
        return [] if fits else [f"{where} is {type(value).__name__}, not {first}"]
    kind = types[first]
    return problems(value, kind, where, types) if isinstance(kind, str) else fields(value, first, where, types)


def fields(value: Any, name: str, where: str, types: Types) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is {type(value).__name__}, not {name}"]
    kinds = {key.removesuffix("?"): kind for key, kind in types[name].items()}
    found = [f"{where}.{key} is missing" for key in types[name] if not key.endswith("?") and key not in value]
    found += [f"{where}.{key} is not in {name}" for key in value if key not in kinds]
    return found + [
        p for k, kind in kinds.items() if k in value for p in problems(value[k], kind, f"{where}.{k}", types)
    ]
