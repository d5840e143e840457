"""Variants: changed config fields under a label, composed of named changes, overrides and grids over fields.

"no_stop_gradient", "neither+no_mim", "xfm" (nothing changed), "no_mim+train.lr=0.001", {"train.lr": 0.001}
"clip_like+train.steps=4000": a specialist, and what is changed in it
grid({"flow.text_gradient.{itm,imlm,bbp}": [0, 0.1, 1]})
grid({"data.texts": [4, 16], "train.lr": [3e-4, 1e-3]}, ["xfm", "no_stop_gradient"])
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..base.fields import leaves, nearest, require
from ..base.strings import parse_json, shown
from ..config import ConfigError, RunConfig
from ..recipes import RECIPES, get
from ..recipes import changes as named_changes
from ..recipes.specialists import SPECIALISTS

Changes = dict[str, Any]  # dotted field -> value
VariantSpec = str | Mapping[str, Any]  # one variant, as people write it
BASELINE = "xfm"  # the variant that changes nothing
BETWEEN = ", "  # joins the parts of a grid's labels
SPECIALIST = "specialist"  # no config field: names the specialist that a variant trains instead
LONGEST = 1000  # characters of a label, a metric, a recipe, a question
_NAME_BYTES = 200  # disks take 255, with what is added to a name while a file is written
_FINGERPRINTED = re.compile(r"([^+]+)\+[0-9a-f]{12}")  # names of runs that a study trains


def changes(written: VariantSpec) -> Changes:
    """Dotted fields of one variant. ConfigError for an unknown name, and for parts that set a field differently."""
    if not isinstance(written, str):
        good = isinstance(written, Mapping) and all(isinstance(field, str) for field in written)
        require(good, "variant", written, "a name, or a mapping of dotted fields")
        return _merged([_expanded(field, value) for field, value in written.items()], _label(written))
    pieces = re.split(r"(?<!=)\+(?=[A-Za-z_])", written)  # not that of 1e+3, nor one that a value begins with
    return _merged([_part(p, written) for p in pieces], written)


def _part(text: str, whole: str) -> Changes:
    field, equals, value = text.partition("=")
    if equals:
        return _expanded(field.strip(), parsed(value.strip()))
    changes_by_name = named_changes() | {name: {SPECIALIST: name} for name in SPECIALISTS}
    names = (BASELINE, *changes_by_name)
    if text not in names:
        hint = nearest(text, names, after="; ")
        raise ConfigError(
            f"variant {shown(whole)}: {shown(text)} is unknown; {hint}there are {', '.join(names)}, and overrides "
            "as in train.lr=0.001"
        )
    return dict(changes_by_name.get(text, {}))


def parsed(text: str) -> Any:
    """A JSON value; any other text is itself."""
    try:
        return parse_json(text)
    except ValueError:
        return text


def _expanded(field: str, value: Any) -> Changes:
    """Single fields of one that names several, as "flow.text_gradient.{itm,bbp}", or whose value is a group."""
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
    """A config's group as a mapping; any other value as it is."""
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]


def grid(fields: Mapping[str, Sequence[Any]], variants: Iterable[str] = (BASELINE,)) -> dict[str, Changes]:
    """Variants of a full factorial design: label -> changes, for all combinations of the fields' values.

    Labels are "train.lr=0.001, data.texts=8", preceded by the variant's name if there are several. A field may name
    several that share a value, "flow.text_gradient.{itm,imlm,bbp}". ConfigError for a field without values, and for a
    variant that sets a field of the grid.
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
    """Label -> changes of variants in any notation. ConfigError for a repeated label."""
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


def require_name(field: str, value: object) -> None:
    """ConfigError unless the value can name a study and its folder on any disk."""
    good = isinstance(value, str) and re.fullmatch(r"\w[\w.+-]*", value) and len(value.encode()) <= _NAME_BYTES
    allowed = f"a folder's name: letters, digits and any of . _ + -, at most {_NAME_BYTES} bytes"
    require(bool(good), field, value, allowed)


def require_text(field: str, value: object) -> None:
    """ConfigError unless the value is one printable line, the same in every table and file."""
    good = isinstance(value, str) and value.isprintable() and value == value.strip() and len(value) <= LONGEST
    allowed = f"a text of one printable line without blanks at its ends, 1 to {LONGEST:,} characters"
    require(good and value != "", field, value, allowed)


def require_changes(field: str, value: Any) -> None:
    """ConfigError unless the value maps dotted fields, without those that the study sets; RunConfig checks the rest."""
    require(isinstance(value, Mapping), field, value, "a mapping of dotted fields")
    for name in value:
        require_text(field, name)
        require(name not in ("seed", "name"), f"{field}.{name}", value[name], "left out: `seeds` and the config say it")


def readable(configs: Mapping[str, RunConfig]) -> dict[str, str]:
    """Folder -> readable name of a run: "smoke no_stop_gradient, seed 0" if a study named it by a fingerprint, else the
    folder. Two runs of one name have their folders behind it.

    A variant is named by its changes to the recipe, without those that all the recipe's runs share; one variant alone
    has all of them.
    """
    matches = {folder: match for folder, c in configs.items() if (match := _FINGERPRINTED.fullmatch(c.name))}
    names = {folder: folder for folder in configs}
    for recipe in dict.fromkeys(match[1] for match in matches.values()):
        fields = {f: leaves(configs[f].to_dict()) for f, match in matches.items() if match[1] == recipe}
        base = leaves(get(recipe).to_dict()) if recipe in RECIPES else next(iter(fields.values()))
        for folder, values in fields.items():
            others = [*fields.values(), *([base] if len({configs[f].name for f in fields}) == 1 else [])]
            changed = {
                field: values.get(field) for field in sorted({*values, *base} - {"name", "seed"})
                if values.get(field) != base.get(field) and any(o.get(field) != values.get(field) for o in others)
            }  # fmt: skip
            names[folder] = f"{recipe} {_named(changed)}, seed {configs[folder].seed}"
    taken = list(names.values())
    return {folder: f"{name} ({folder})" if taken.count(name) > 1 else name for folder, name in names.items()}


def _named(changed: Changes) -> str:
    """Changed fields as named changes, the widest first, then as overrides."""
    rest, names = dict(changed), list[str]()
    for name, fields in sorted(named_changes().items(), key=lambda item: -len(item[1])):
        if fields.items() <= rest.items():
            names.append(name)
            rest = {field: value for field, value in rest.items() if field not in fields}
    names += [f"{field}={v if isinstance(v, int | float) else shown(v)}" for field, v in rest.items()]
    return "+".join(names) or BASELINE


def several(field: str, values: Any) -> tuple[Any, ...]:
    require(isinstance(values, Iterable), field, values, "a list")
    return (values,) if isinstance(values, str) else tuple(values)
