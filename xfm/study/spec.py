"""A study on paper: which variants of which recipe, at which seeds, judged by what. `studies/<name>/spec.json`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

from .. import recipes
from ..base.fields import one_of, require, unknown_field
from ..base.strings import parse_json, shown
from ..config import ConfigError, RunConfig
from ..recipes.specialists import SPECIALISTS
from ..tasks import STANDARD, TRAINABLE, select_tasks
from ..tasks.finetuning.config import MeasuredSplit
from .formatting import GATES, HEADINGS
from .spec_fields import LONGEST, require_amounts, require_changes, require_name, require_text
from .statistics import Judge, can_reach
from .variants import BASELINE, BETWEEN, SPECIALIST, Changes

__all__ = ["FEW", "FINETUNE", "LEVELS", "PLAN", "Spec"]

FINETUNE = "finetune:"  # a task that a run is fine-tuned on
LEVELS = ("baseline", "step 0")  # what stands beside a run's own values, as rows of "xfm (baseline)"
_ALONE = {
    "train.threads": 1,
    "train.shards": 1,
    "data.workers": 0,
}  # of every run, unless `changes` says otherwise: one thread in all
_MOST = 3  # primary metrics
FEW = "at most three, one of language, one of vision, one of vision-language: more are a search"
PLAN = ("split", "gatekeeping", "sequential", "margins", "detectable", "admission", "question", "hypotheses",
        "would_change")  # fmt: skip
# how it is judged, said beforehand; at their defaults these are not written: older files, and their hashes, stay


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
    split: MeasuredSplit = "test"  # what all is measured on; an exploration leaves the test split alone
    gatekeeping: bool = False  # primary metrics are tested in their order (see corrections.py); else by Holm alone
    sequential: bool = False  # tested by e-values, so that seeds may be added after results (see e_values.py)
    margins: dict[str, float] = field(default_factory=dict)  # metric -> difference that is as good as none, in its unit
    detectable: dict[str, float] = field(default_factory=dict)  # metric -> the smallest effect that is looked for
    admission: dict[str, str] = field(default_factory=dict)  # primary metric -> variant that must beat its baseline
    question: str = ""
    hypotheses: tuple[str, ...] = ()  # in their order
    would_change: str = ""  # what results would change our mind

    def __post_init__(self) -> None:
        require_name("name", self.name)
        require_text("recipe", self.recipe)
        self._require_variants()
        for name in ("confirmatory", "gatekeeping", "sequential"):
            require(type(getattr(self, name)) is bool, name, getattr(self, name), "true or false")
        require_changes("changes", self.changes)
        for name in ("primary", "tasks", "hypotheses"):
            for i, value in enumerate(getattr(self, name)):
                require_text(f"{name}[{i}]", value)
        for i, value in enumerate(self.explored):
            require_name(f"explored[{i}]", value)
        seeds, primary = list(self.seeds), list(self.primary)
        require(bool(seeds), "seeds", seeds, "at least one")
        require(bool(self.tasks), "tasks", list(self.tasks), "at least one")
        good = all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds)
        require(good, "seeds", seeds, "whole numbers from 0 and below 2**63")
        require(len(set(seeds)) == len(seeds), "seeds", seeds, "different from each other")
        require(len(primary) <= _MOST, "primary", primary, FEW)
        require(len(set(primary)) == len(primary), "primary", primary, "different metrics")
        named = "named where confirmatory is true: what it is judged by is said beforehand"
        require(bool(primary) or not self.confirmatory, "primary", primary, named)
        self._require_plan()
        try:
            select_tasks(self.evaluated or "all")
        except ValueError as error:
            raise ConfigError(f"tasks = {list(self.tasks)!r}: {error}") from None
        for task in self.finetuned:
            one_of("tasks: finetune", task, TRAINABLE)
        if self.finetuned:
            fixed = any(config.seed_of for config in self.configs.values())
            allowed = "left out where variants set seed_of, which a fine-tuning's own draws do not follow"
            require(not fixed, "tasks", f"{FINETUNE}{self.finetuned[0]}", allowed)
        twins: dict[str, str] = {}
        for label, config in self.configs.items():
            if (twin := twins.setdefault(config.fingerprint, label)) != label:
                same = f"variants {shown(twin)} and {shown(label)}: are the same config; drop one, or change it"
                raise ConfigError(same)

    def _require_plan(self) -> None:
        """What is said before running."""
        one_of("split", self.split, get_args(MeasuredSplit))
        asked = "'test' where confirmatory is true: the validation split is for explorations"
        require(self.split == "test" or not self.confirmatory, "split", self.split, asked)
        require_amounts("margins", self.margins)
        require_amounts("detectable", self.detectable)
        require(isinstance(self.admission, Mapping), "admission", self.admission, "a mapping of metrics to variants")
        for metric, variant in self.admission.items():
            one_of("admission", metric, self.primary)
            one_of(f"admission.{metric}", variant, self.variants)
        for name in ("question", "would_change"):
            if getattr(self, name) != "":
                require_text(name, getattr(self, name))

    def _require_variants(self) -> None:
        require(isinstance(self.variants, Mapping), "variants", self.variants, "a mapping of label to dotted fields")
        require(bool(self.variants), "variants", self.variants, "at least one")
        for label, fields in self.variants.items():
            require_text("variants: label", label)
            columns = f"another label: the tables have columns of the names field, {', '.join(HEADINGS)}"
            require(label not in ("field", *HEADINGS, GATES), "variants: label", label, columns)
            taken = label.endswith(tuple(f" ({level})" for level in LEVELS))
            rows = f"another label: results.csv has rows of {' and '.join(f'“… ({level})”' for level in LEVELS)}"
            require(not taken, "variants: label", label, rows)
            require_changes(f"variants.{label}", fields)

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
        there = BASELINE in self.variants or self._partners(BASELINE)
        return BASELINE if there else next(iter(self.variants))

    @property
    def compared_with(self) -> tuple[str, ...]:
        """The variants that the others are compared with: the reference, or the one in each cell of a grid."""
        against = self.references(self.reference).values()
        return tuple(dict.fromkeys(against)) or (self.reference,)

    def admitted_by(self, metric: str) -> str:
        """The variant that a primary metric is admitted by."""
        return self.admission.get(metric, self.compared_with[0])

    @property
    def tests(self) -> int:
        """Of the primary family: metrics x comparisons with the reference; with gatekeeping the comparisons, which one
        metric after the other is open to."""
        comparisons = len(self.references(self.reference))
        return comparisons if self.gatekeeping and self.primary else len(self.primary) * comparisons

    @property
    def judge(self) -> Judge:
        """What judges primary metrics where they are corrected."""
        return "e-values" if self.sequential else "sign flips"

    @property
    def confirms(self) -> bool:
        """Whether it was declared confirmatory and the corrected test could reach .05 with these seeds."""
        return self.confirmatory and can_reach(self.tests, len(self.seeds), self.sequential)

    @cached_property
    def hash(self) -> str:
        """Sixteen hex digits (SHA-256) of what was written down, whatever the layout of its JSON; of a sequential study
        without the seeds, which may grow."""
        tree = {name: value for name, value in self._tree().items() if not (self.sequential and name == "seeds")}
        text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def of_spread(self) -> bool:
        """Whether it asks what runs vary by: all but the reference fix the seeds of some sources, and nothing else."""
        others = [changes for label, changes in self.variants.items() if label != self.reference]
        fixed = all(own and all(name.partition(".")[0] == "seed_of" for name in own) for own in others)
        return bool(others) and fixed and self.variants.get(self.reference) == {}

    @property
    def kind(self) -> str:
        return "confirmatory" if self.confirms else "exploratory"

    def references(self, against: str) -> dict[str, str]:
        """What each variant is compared with: one variant for all; or, where a grid was made of several variants, the
        one called `against` in the same cell. ConfigError, with the nearest, where there is none such."""
        if against not in self.variants and (pairs := self._partners(against)):
            return pairs
        one_of("against", against, self.variants)
        return {label: against for label in self.variants if label != against}

    def _partners(self, against: str) -> dict[str, str]:
        """In a grid that was made of several variants, to each label the one called `against` in its cell."""
        cells = {label: label.partition(BETWEEN)[2] for label in self.variants}
        partners = {label: BETWEEN.join((against, cell)) for label, cell in cells.items() if cell}
        return {a: b for a, b in partners.items() if b in self.variants and a != b}

    def _tree(self) -> dict[str, Any]:
        default: Any = {f.name: {} if f.default is dataclasses.MISSING else f.default for f in dataclasses.fields(self)}
        tree = dataclasses.asdict(self).items()
        return {name: value for name, value in tree if name not in PLAN or value != default[name]}

    def to_json(self) -> str:
        return json.dumps(self._tree(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """What `to_json` wrote. ConfigError for another field or type, ValueError for what is no JSON."""
        tree: Any = parse_json(text)
        fields = {f.name: f for f in dataclasses.fields(cls)}
        kinds = dict.fromkeys(("name", "recipe", "split", "question", "would_change"), str)
        kinds |= dict.fromkeys(("variants", "changes", "margins", "detectable", "admission"), dict)
        kinds |= dict.fromkeys(("confirmatory", "gatekeeping", "sequential"), bool)  # others: lists
        require(isinstance(tree, Mapping), "spec", tree, f"a mapping of {', '.join(fields)}")
        for name, value in tree.items():
            if name not in fields:
                raise unknown_field(shown(name[:LONGEST])[1:-1], fields)
            kind = kinds.get(name, list)
            require(isinstance(value, kind), name, value, f"of type {kind.__name__}")
        for name in ("name", "recipe", "variants", "seeds"):
            require(name in tree, name, None, "there")
        values: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in tree.items()}
        return cls(**values)
