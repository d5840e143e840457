"""Variants: what is changed, as dotted fields, under a label. Composed of names, overrides, and grids over fields.

"no_stop_gradient", "neither+no_mim", "xfm" (nothing changed), "no_mim+train.lr=0.001", {"train.lr": 0.001}
"clip_like+train.steps=4000": a specialist, and what is changed in it
grid({"flow.text_gradient.{itm,imlm,bbp}": [0, 0.1, 1]})
grid({"data.texts": [4, 16], "train.lr": [3e-4, 1e-3]}, ["xfm", "no_stop_gradient"])
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..base.fields import leaves, nearest, require
from ..base.strings import parse_json, shown
from ..config import ConfigError
from ..recipes import changes as named_changes
from ..recipes.specialists import SPECIALISTS

__all__ = ["BASELINE", "BETWEEN", "SPECIALIST", "Changes", "VariantSpec", "cell", "changes", "grid", "labelled",
           "plain"]  # fmt: skip

Changes = dict[str, Any]  # dotted field -> value
VariantSpec = str | Mapping[str, Any]  # one variant, as people write it
BASELINE = "xfm"  # the name of what nothing is changed in
BETWEEN = ", "  # the parts of a label that a grid made
SPECIALIST = "specialist"  # no field of a config: what else of its recipe a variant is


def changes(written: VariantSpec) -> Changes:
    """The dotted fields of one variant. ConfigError for an unknown name, with the nearest, and where two parts set one
    field differently."""
    if not isinstance(written, str):
        good = isinstance(written, Mapping) and all(isinstance(field, str) for field in written)
        require(good, "variant", written, "a name, or a mapping of dotted fields")
        return _merged([_expanded(field, value) for field, value in written.items()], _label(written))
    parts = re.split(r"(?<!=)\+(?=[A-Za-z_])", written)  # not that of 1e+3, nor one that a value begins with
    return _merged([_part(p, written) for p in parts], written)


def _part(text: str, whole: str) -> Changes:
    field, equals, value = text.partition("=")
    if equals:
        return _expanded(field.strip(), _parsed(value.strip()))
    known = named_changes() | {name: {SPECIALIST: name} for name in SPECIALISTS}
    names = (BASELINE, *known)
    if text not in names:
        hint = nearest(text, names, after="; ")
        raise ConfigError(
            f"variant {shown(whole)}: {shown(text)} is unknown; {hint}there are {', '.join(names)}, and overrides "
            "as in train.lr=0.001"
        )
    return dict(known.get(text, {}))


def _parsed(text: str) -> Any:
    """A value as JSON has it; anything else is a text."""
    try:
        return parse_json(text)
    except ValueError:
        return text


def _expanded(field: str, value: Any) -> Changes:
    """Single fields of one that may name several, as "flow.text_gradient.{itm,bbp}", and whose value may be a group."""
    before, brace, rest = field.partition("{")
    if brace:
        names, _, after = rest.partition("}")
        return {f: v for name in names.split(",") for f, v in _expanded(before + name.strip() + after, value).items()}
    return leaves({field: plain(value)})


def _merged(parts: Iterable[Changes], where: str) -> Changes:
    together: Changes = {}
    for fields in parts:
        for field, value in fields.items():
            if together.setdefault(field, value) != value:
                raise ConfigError(
                    f"variant {shown(where)}: sets {field} = {shown(together[field])} and {shown(value)}: must set it "
                    "once"
                )
    return together


def _label(fields: Mapping[str, Any]) -> str:
    values = {field: plain(value) for field, value in fields.items()}
    return BETWEEN.join(f"{f}={v if isinstance(v, str) else json.dumps(v, default=str)}" for f, v in values.items())


def plain(value: Any) -> Any:
    """A group of a config as a mapping, and any other value as it is."""
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]


def grid(fields: Mapping[str, Sequence[Any]], variants: Iterable[str] = (BASELINE,)) -> dict[str, Changes]:
    """Every combination of the fields' values, for every variant: label -> changes.

    Labels are "train.lr=0.001, data.texts=8", after the variant's name where there are several of those. A field may
    name several that move together, "flow.text_gradient.{itm,imlm,bbp}". ConfigError for a field without values, and
    where a variant sets a field of the grid.
    """
    variants = list(variants)
    for field, values in fields.items():
        if isinstance(values, str) or not values:
            raise ConfigError(f"grid: {field} = {values!r}: must be a list of values")
    made: dict[str, Changes] = {}
    for name, values in itertools.product(variants, itertools.product(*fields.values())):
        cell = dict(zip(fields, values, strict=True))
        text = _label(cell) if len(variants) == 1 else BETWEEN.join((name, _label(cell)))
        made[text] = _merged([changes(name), *(_expanded(f, v) for f, v in cell.items())], text)
    return made


def labelled(variants: Mapping[str, VariantSpec] | Iterable[VariantSpec]) -> dict[str, Changes]:
    """Label -> changes, of whatever way variants are written. ConfigError where a label comes twice."""
    if isinstance(variants, Mapping):
        return {str(name): changes(written) for name, written in variants.items()}
    require(isinstance(variants, Iterable), "variants", variants, "a list of variants, or a mapping of labels to them")
    made: dict[str, Changes] = {}
    for written in [variants] if isinstance(variants, str) else variants:
        fields = changes(written)
        name = written if isinstance(written, str) else _label(written)
        if name in made:
            raise ConfigError(f"variant {shown(name)}: is there twice")
        made[name] = fields
    return made


def cell(name: str) -> dict[str, Any]:
    """Field -> value (a finite number, or a text) of a label that `grid` made; the variant's name, where it has one, is
    under ""."""
    fields: dict[str, Any] = {}
    for piece in re.split(r", (?![^{]*\})", name):
        field, equals, text = piece.partition("=")
        value = _parsed(text)
        number = isinstance(value, int | float) and abs(value) < math.inf
        fields[field if equals else ""] = (value if number else text) if equals else piece
    return fields
