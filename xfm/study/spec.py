"""A study on paper: which variants of which recipe, at which seeds, judged by what. `studies/<name>/spec.json`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .. import recipes
from ..config import ConfigError, RunConfig
from ..config_utils import one_of, require, unknown_field
from ..downstream.tasks import TASKS as FINETUNED
from ..evaluation import STANDARD, select_tasks
from ..specialists import SPECIALISTS
from ..text import parse_json, shown
from .formatting import HEADINGS
from .statistics import can_reach
from .variants import BASELINE, BETWEEN, SPECIALIST, Changes

__all__ = ["FEW", "FINETUNE", "Spec", "require_name"]

FINETUNE = "finetune:"  # a task that a run is fine-tuned on
_ALONE = {
    "train.threads": 1,
    "train.shards": 1,
    "data.workers": 0,
}  # of every run, unless `changes` says otherwise: one thread in all
_MOST = 3  # primary metrics
FEW = "at most three, one of language, one of vision, one of vision-language: more are a search"
_NAME = 200  # bytes: disks take 255, with what is added to a name while a file is written
_LONGEST = 1000  # characters of a label, a metric, a recipe
_DEEPEST = 8  # groups within groups: a config has fewer


@dataclass(frozen=True)
class Spec:
    """What is compared. Raises ConfigError, naming the field, its value and what is allowed."""

    name: str
    recipe: str  # as in recipes.get: "demo+stage1"
    variants: dict[str, Changes]  # label -> dotted fields
    seeds: tuple[int, ...]
    changes: Changes = field(default_factory=dict)  # of all variants
    primary: tuple[str, ...] = ()  # metrics by key (see metrics.py), named before there are results
    tasks: tuple[str, ...] = STANDARD  # of the evaluation; "finetune:vqa": of fine-tuning
    confirmatory: bool = False
    explored: tuple[str, ...] = ()  # studies that led to this one: a confirmatory one uses none of their seeds

    def __post_init__(self) -> None:
        require_name("name", self.name)
        _require_text("recipe", self.recipe)
        self._require_variants()
        require(type(self.confirmatory) is bool, "confirmatory", self.confirmatory, "true or false")
        _require_data("changes", self.changes)
        for name in ("primary", "tasks"):
            for i, value in enumerate(getattr(self, name)):
                _require_text(f"{name}[{i}]", value)
        for i, value in enumerate(self.explored):
            require_name(f"explored[{i}]", value)
        seeds, primary = list(self.seeds), list(self.primary)
        require(bool(seeds), "seeds", seeds, "at least one")
        good = all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds)
        require(good, "seeds", seeds, "whole numbers from 0 and below 2**63")
        require(len(set(seeds)) == len(seeds), "seeds", seeds, "different from each other")
        require(len(primary) <= _MOST, "primary", primary, FEW)
        require(len(set(primary)) == len(primary), "primary", primary, "different metrics")
        named = "named where confirmatory is true: what it is judged by is said beforehand"
        require(bool(primary) or not self.confirmatory, "primary", primary, named)
        try:
            select_tasks(self.evaluated or "all")
        except ValueError as error:
            raise ConfigError(f"tasks = {list(self.tasks)!r}: {error}") from None
        for task in self.finetuned:
            one_of("tasks: finetune", task, FINETUNED)
        twins: dict[str, str] = {}
        for label, config in self.configs.items():
            if (twin := twins.setdefault(config.fingerprint, label)) != label:
                same = f"variants {shown(twin)} and {shown(label)}: are the same config; drop one, or change it"
                raise ConfigError(same)

    def _require_variants(self) -> None:
        require(isinstance(self.variants, Mapping), "variants", self.variants, "a mapping of label to dotted fields")
        require(bool(self.variants), "variants", self.variants, "at least one")
        for label, fields in self.variants.items():
            _require_text("variants: label", label)
            columns = f"another label: the tables have columns of the names {', '.join(HEADINGS)}"
            require(label not in HEADINGS, "variants: label", label, columns)
            _require_data(f"variants.{label}", fields)

    @cached_property
    def configs(self) -> dict[str, RunConfig]:
        """By label, at seed 0. The name says the recipe and the config's own fingerprint, so that studies which ask for
        the same run share it, whatever they call it."""
        base = recipes.get(self.recipe).replace({**_ALONE, **self.changes, "seed": 0})
        made = {}
        for label, fields in self.variants.items():
            own = {name: value for name, value in fields.items() if name != SPECIALIST}
            try:
                if SPECIALIST in fields:
                    one_of(SPECIALIST, fields[SPECIALIST], SPECIALISTS)
                config = SPECIALISTS.get(fields.get(SPECIALIST, ""), lambda same: same)(base).replace(own)
            except ConfigError as error:
                raise ConfigError(f"variant {shown(label)}: {error}") from None
            made[label] = config.replace({"name": f"{base.name.split('+')[0]}+{config.fingerprint}"})
        return made

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The tasks of the evaluation."""
        return tuple(task for task in self.tasks if not task.startswith(FINETUNE))

    @property
    def finetuned(self) -> tuple[str, ...]:
        """The tasks of fine-tuning, by their names."""
        return tuple(task.removeprefix(FINETUNE) for task in self.tasks if task.startswith(FINETUNE))

    def config(self, variant: str, seed: int) -> RunConfig:
        return self.configs[variant].replace({"seed": seed})

    def fingerprint(self, variant: str, seed: int) -> str:
        """Of `config`, made once: results.csv asks for that of every run whenever it is read."""
        if (variant, seed) not in self._fingerprints:
            self._fingerprints[variant, seed] = self.config(variant, seed).fingerprint
        return self._fingerprints[variant, seed]

    @cached_property
    def _fingerprints(self) -> dict[tuple[str, int], str]:
        return {}

    @property
    def reference(self) -> str:
        """What variants are compared with unless another is named: "xfm" where it is one of them, else the first."""
        named = {name for label in self.variants for name in (label, label.partition(BETWEEN)[0])}
        return BASELINE if BASELINE in named else next(iter(self.variants))

    @property
    def tests(self) -> int:
        """Of the primary family: metrics x comparisons with the reference."""
        return len(self.primary) * len(self.references(self.reference))

    @property
    def confirms(self) -> bool:
        """Whether it was declared confirmatory and Holm's test could reach .05 with these seeds."""
        return self.confirmatory and can_reach(self.tests, len(self.seeds))

    @property
    def kind(self) -> str:
        return "confirmatory" if self.confirms else "exploratory"

    def references(self, against: str) -> dict[str, str]:
        """What each variant is compared with: one variant for all; or, where a grid was made of several variants, the
        one called `against` in the same cell. ConfigError, with the nearest, where there is none such."""
        if against not in self.variants:
            cells = {label: label.partition(BETWEEN)[2] for label in self.variants}
            partners = {label: BETWEEN.join((against, cell)) for label, cell in cells.items() if cell}
            if pairs := {a: b for a, b in partners.items() if b in self.variants and a != b}:
                return pairs
        one_of("against", against, self.variants)
        return {label: against for label in self.variants if label != against}

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """What `to_json` wrote. ConfigError for another field or type, ValueError for what is no JSON."""
        tree: Any = parse_json(text)
        fields = {f.name: f for f in dataclasses.fields(cls)}
        kinds = {"name": str, "recipe": str, "variants": dict, "changes": dict, "confirmatory": bool}  # others: lists
        require(isinstance(tree, Mapping), "spec", tree, f"a mapping of {', '.join(fields)}")
        for name, value in tree.items():
            if name not in fields:
                raise unknown_field(shown(name[:_LONGEST])[1:-1], fields)
            kind = kinds.get(name, list)
            require(isinstance(value, kind), name, value, f"of type {kind.__name__}")
        for name in ("name", "recipe", "variants", "seeds"):
            require(name in tree, name, None, "there")
        values: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in tree.items()}
        return cls(**values)


def require_name(field: str, value: object) -> None:
    """ConfigError unless the value can be the name of a study, and of its folder on any disk."""
    good = isinstance(value, str) and re.fullmatch(r"\w[\w.+-]*", value) and len(value.encode()) <= _NAME
    require(bool(good), field, value, f"a folder's name: letters, digits and any of . _ + -, at most {_NAME} bytes")


def _require_text(field: str, value: object) -> None:
    """ConfigError unless the value is a text that is the same in every table, on every screen, in every file."""
    good = isinstance(value, str) and value.isprintable() and value == value.strip() and len(value) <= _LONGEST
    allowed = f"a text of one printable line without blanks at its ends, 1 to {_LONGEST:,} characters"
    require(good and value != "", field, value, allowed)


def _require_data(field: str, value: object, depth: int = 0) -> None:
    """ConfigError unless the value, at `depth` 0 a mapping, is what JSON has, and a config could hold."""
    if isinstance(value, Mapping):
        require(depth < _DEEPEST, field, "...", "a config's field or group, which are not nested as deeply")
        for name, inner in value.items():
            _require_text(field, name)
            _require_data(f"{field}.{name}", inner, depth + 1)
        return
    require(depth > 0, field, value, "a mapping of dotted fields")
    number = type(value) is float or (type(value) is int and abs(value) < 2**63)
    good = value is None or type(value) is bool or number or (isinstance(value, str) and value.isprintable())
    require(good, field, value, "true, false, a number, a printable text, or a mapping of names to these")
