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
    read = union(tokens)
    assert not tokens, f"{kind}: {tokens} is left"
    return check(value, read, where, declared() if types is None else types)


def union(tokens: list[str]) -> Any:
    """Takes `A | B` from the tokens: ("|", A, B), ("[]", A), ("[", A, B), ("Record", A, B), or a name."""
    kinds = [single(tokens)]
    while tokens[:1] == ["|"]:
        tokens.pop(0)
        kinds.append(single(tokens))
    return ("|", *kinds) if len(kinds) > 1 else kinds[0]


def single(tokens: list[str]) -> Any:
    kind: Any = tokens.pop(0)
    if closing := {"(": ")", "[": "]", "Record": ">"}.get(kind):
        if kind == "Record":
            tokens.pop(0)
        inner = [union(tokens)]
        while tokens.pop(0) != closing:
            inner.append(union(tokens))
        kind = inner[0] if kind == "(" else (kind, *inner)
    while tokens[:1] == ["[]"]:
        tokens.pop(0)
        kind = ("[]", kind)
    return kind


def check(value: Any, kind: Any, where: str, types: Types) -> list[str]:
    if isinstance(kind, str):
        return named(value, kind, where, types)
    form, *inner = kind
    if form == "|":  # the problems with the alternative that has the fewest
        return min((check(value, one, where, types) for one in inner), key=len)
    wanted: Any = {"[]": list, "[": (list, tuple), "Record": dict}[form]
    if not isinstance(value, wanted) or (form == "[" and len(value) != len(inner)):  # JSON has arrays alone
        return [f"{where} is {value!r:.80}, not {'a dictionary' if form == 'Record' else 'such a list'}"]
    if form == "Record":
        keys = [p for key in value for p in check(key, inner[0], f"a key of {where}", types)]
        return keys + [p for key, one in value.items() for p in check(one, inner[1], f"{where}.{key}", types)]
    kinds = inner if form == "[" else inner * len(value)
    return [p for i, (v, k) in enumerate(zip(value, kinds, strict=True)) for p in check(v, k, f"{where}[{i}]", types)]


def named(value: Any, name: str, where: str, types: Types) -> list[str]:
    if name[0] == '"':
        return [] if value == json.loads(name) else [f"{where} is {value!r}, not {name}"]
    if name in PLAIN:  # exactly: a number of numpy is none, True is no number; a whole number may stand for a float
        fits = type(value) is PLAIN[name] or (name == "number" and type(value) is int)
        return [] if fits else [f"{where} is {type(value).__name__}, not {name}"]
    if isinstance(kinds := types[name], str):
        return problems(value, kinds, where, types)
    if not isinstance(value, dict):
        return [f"{where} is {type(value).__name__}, not {name}"]
    known = {key.removesuffix("?"): kind for key, kind in kinds.items()}
    found = [f"{where}.{key} is missing" for key in kinds if not key.endswith("?") and key not in value]
    found += [f"{where}.{key} is not in {name}" for key in value if key not in known]
    return found + [
        p for k, kind in known.items() if k in value for p in problems(value[k], kind, f"{where}.{k}", types)
    ]
