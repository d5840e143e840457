"""A study's spec: which variants of which recipe, at which seeds, judged by what. `studies/<name>/spec.json`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, get_args

from .. import recipes
from ..base.fields import one_of, require, unknown_field
from ..base.strings import parse_json, shown
from ..config import ConfigError, RunConfig
from ..recipes.specialists import SPECIALISTS
from ..tasks import STANDARD, TRAINABLE, select_tasks
from ..tasks.finetuning.config import MeasuredSplit
from . import variants as notation
from .statistics import can_reach
from .study_metrics import GATES, HEADINGS, Ask, asked
from .variants import BASELINE, BETWEEN, LONGEST, SPECIALIST, Changes, require_changes, require_name, require_text

PAPER = (BASELINE, "no_stop_gradient", "no_guidance", "neither")
LEVELS = ("baseline", "step 0")  # rows of results.csv beside a run's own
FEW = "at most three, one of language, one of vision, one of vision-language: more are a search"
# fields that plan the analysis; at their defaults they are not written: older files and hashes stay as they are
PLAN = ("split", "gatekeeping", "margins", "detectable", "admission", "question", "hypotheses", "would_change")
_LISTS = ("seeds", "primary", "tasks", "explored", "hypotheses")
_SINGLE_THREADED = {"train.threads": 1, "train.shards": 1, "data.workers": 0}  # unless `changes` set them
_KINDS: Any = (  # of the fields beside _LISTS
    dict.fromkeys(("name", "recipe", "split", "question", "would_change"), str)
    | dict.fromkeys(("variants", "changes", "margins", "detectable", "admission"), dict)
    | dict.fromkeys(("confirmatory", "gatekeeping"), bool)
)


@dataclass(frozen=True)
class Spec:
    """Specification of a study: what it compares and how. ConfigError for a wrong field, with its value and range."""

    name: str
    recipe: str  # as in recipes.get: "demo+stage1"
    variants: dict[str, Changes]  # label -> dotted fields
    seeds: tuple[int, ...]
    changes: Changes = field(default_factory=dict)  # of all variants
    primary: tuple[str, ...] = ()  # metric keys, named before there are results
    tasks: tuple[str, ...] = STANDARD  # of the evaluation; "finetune:vqa": of fine-tuning
    confirmatory: bool = False
    explored: tuple[str, ...] = ()  # studies that led to this one; a confirmatory study uses none of their seeds
    split: MeasuredSplit = "test"  # that everything is measured on; explorations leave the test split alone
    gatekeeping: bool = False  # tests primary metrics in their order (see statistics.py); else by Holm alone
    margins: dict[str, float] = field(default_factory=dict)  # metric -> equivalence margin, in its unit
    detectable: dict[str, float] = field(default_factory=dict)  # metric -> smallest effect of interest, in its unit
    admission: dict[str, str] = field(default_factory=dict)  # primary metric -> variant that must beat its baseline
    question: str = ""
    hypotheses: tuple[str, ...] = ()
    would_change: str = ""  # results that would change the conclusion

    @classmethod
    def of(
        cls, name: str, recipe: str = "demo+stage1", variants: Any = PAPER, seeds: Any = range(10), **fields: Any
    ) -> Spec:
        """Fields in any notation that `variants` knows, over Study's defaults."""
        given = {"recipe": recipe, "seeds": seeds, "tasks": "all"} | fields
        names = [f.name for f in dataclasses.fields(cls)]
        if unknown := [name for name in given if name not in names]:
            raise unknown_field(shown(unknown[0][:LONGEST])[1:-1], names)
        given |= {name: notation.several(name, given[name]) for name in _LISTS if name in given}
        changes = given.get("changes") or {}
        require(isinstance(changes, Mapping), "changes", changes, "a mapping of dotted fields")
        changes = {name: notation.plain(value) for name, value in changes.items()}
        return cls(name, **given | {"variants": notation.labelled(variants), "changes": changes})

    def __post_init__(self) -> None:
        for name, kind in (_KINDS | dict.fromkeys(_LISTS, tuple)).items():
            require(isinstance(value := getattr(self, name), kind), name, value, f"of type {kind.__name__}")
        require_name("name", self.name)
        require_text("recipe", self.recipe)
        require_changes("changes", self.changes)
        self._require_variants()
        self._require_lists()
        self._require_plan()
        self._require_tasks()
        labels: dict[str, str] = {}
        for label, config in self.configs.items():
            if (twin := labels.setdefault(config.fingerprint, label)) != label:
                raise ConfigError(f"variants {shown(twin)} and {shown(label)}: are the same config; drop one of them")

    def _require_variants(self) -> None:
        require(bool(self.variants), "variants", self.variants, "at least one label with its dotted fields")
        for label, fields in self.variants.items():
            require_text("variants: label", label)
            free = label not in ("field", *HEADINGS, GATES)
            require(free, "variants: label", label, "another label: the tables have columns so named")
            require_changes(f"variants.{label}", fields)

    def _require_lists(self) -> None:
        for name in ("primary", "tasks", "hypotheses", "explored"):
            for i, value in enumerate(getattr(self, name)):
                (require_name if name == "explored" else require_text)(f"{name}[{i}]", value)
        seeds, primary = list(self.seeds), list(self.primary)
        whole = all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds) and len({*seeds}) == len(seeds)
        require(whole, "seeds", seeds, "different whole numbers from 0 and below 2**63")
        require(bool(seeds), "seeds", seeds, "at least one")
        require(bool(self.tasks), "tasks", list(self.tasks), "at least one")
        require(len(primary) <= 3, "primary", primary, FEW)
        require(len(set(primary)) == len(primary), "primary", primary, "different metrics")

    def _require_plan(self) -> None:
        one_of("split", self.split, get_args(MeasuredSplit))
        if self.confirmatory:
            require(bool(self.primary), "primary", list(self.primary), "named where confirmatory is true")
            require(self.split == "test", "split", self.split, "'test' where confirmatory is true")
        _require_amounts("margins", self.margins)
        _require_amounts("detectable", self.detectable)
        for metric, variant in self.admission.items():
            one_of("admission", metric, self.primary)
            one_of(f"admission.{metric}", variant, self.variants)
        for name in ("question", "would_change"):
            require_text(name, getattr(self, name) or "none")

    def _require_tasks(self) -> None:
        try:
            select_tasks(asked(self.asks, "evaluate") or "all")
        except ValueError as error:
            raise ConfigError(f"tasks = {list(self.tasks)!r}: {error}") from None
        for task in (finetuned := asked(self.asks, "finetune")):
            one_of("tasks: finetune", task, TRAINABLE)
        if finetuned:
            free = not any(config.seed_of for config in self.configs.values())  # which fine-tuning does not follow
            require(free, "tasks", list(self.tasks), "without finetune: where variants set seed_of")

    @cached_property
    def configs(self) -> dict[str, RunConfig]:
        """Label -> config at seed 0, named by the recipe and its own fingerprint: studies share equal runs."""
        base = recipes.get(self.recipe).replace({**_SINGLE_THREADED, **self.changes, "seed": 0})
        made = {}
        for label, fields in self.variants.items():
            overrides = {name: value for name, value in fields.items() if name != SPECIALIST}
            try:
                if SPECIALIST in fields:
                    one_of(SPECIALIST, fields[SPECIALIST], SPECIALISTS)
                config = SPECIALISTS.get(fields.get(SPECIALIST, ""), lambda same: same)(base).replace(overrides)
            except ConfigError as error:
                raise ConfigError(f"variant {shown(label)}: {error}") from None
            made[label] = config.replace({"name": f"{base.name.split('+')[0]}+{config.fingerprint}"})
        return made

    @cached_property
    def asks(self) -> tuple[Ask, ...]:
        """`tasks`, parsed."""
        return tuple(map(Ask.parsed, self.tasks))

    def config(self, variant: str, seed: int) -> RunConfig:
        return self.configs[variant].replace({"seed": seed})

    def fingerprint(self, variant: str, seed: int) -> str:
        """Fingerprint of `config`, cached: every reading of results.csv asks for all."""
        if (variant, seed) not in self._fingerprints:
            self._fingerprints[variant, seed] = self.config(variant, seed).fingerprint
        return self._fingerprints[variant, seed]

    @cached_property
    def _fingerprints(self) -> dict[tuple[str, int], str]:
        return {}

    @property
    def reference(self) -> str:
        """The variant that others are compared with by default: "xfm" if it is one of them, else the first."""
        return BASELINE if BASELINE in self.variants or self._partners(BASELINE) else next(iter(self.variants))

    @property
    def compared_with(self) -> tuple[str, ...]:
        """The reference, or those in the cells of a grid."""
        return tuple(dict.fromkeys(self.references(self.reference).values())) or (self.reference,)

    def admitted_by(self, metric: str) -> str:
        """The variant whose results admit a primary metric."""
        return self.admission.get(metric, self.compared_with[0])

    @property
    def tests(self) -> int:
        """Size of the primary family: metrics x comparisons; with gatekeeping the comparisons alone."""
        comparisons = len(self.references(self.reference))
        return comparisons if self.gatekeeping and self.primary else len(self.primary) * comparisons

    @property
    def kind(self) -> str:
        return "confirmatory" if self.confirms else "exploratory"

    @property
    def confirms(self) -> bool:
        """Whether it is declared confirmatory and its corrected test can reach .05 with these seeds."""
        return self.confirmatory and can_reach(self.tests, len(self.seeds))

    @cached_property
    def hash(self) -> str:
        """Sixteen hex digits (SHA-256) of the spec's content, whatever its layout in JSON."""
        text = json.dumps(self._tree(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def of_spread(self) -> bool:
        """Whether it asks what runs vary by: all but the reference fix some sources' seeds, and nothing else."""
        others = [changes for label, changes in self.variants.items() if label != self.reference]
        fixed = all(fields and all(name.partition(".")[0] == "seed_of" for name in fields) for fields in others)
        return bool(others) and fixed and self.variants.get(self.reference) == {}

    def references(self, against: str) -> dict[str, str]:
        """Variant -> the variant it is compared with: `against` for all; in a grid over several variants, the one
        called `against` in the same cell. ConfigError, with the nearest, for an unknown one."""
        if against not in self.variants and (pairs := self._partners(against)):
            return pairs
        one_of("against", against, self.variants)
        return {label: against for label in self.variants if label != against}

    def _partners(self, against: str) -> dict[str, str]:
        cells = {label: label.partition(BETWEEN)[2] for label in self.variants}
        partners = {label: BETWEEN.join((against, cell)) for label, cell in cells.items() if cell}
        return {a: b for a, b in partners.items() if b in self.variants and a != b}

    def _tree(self) -> dict[str, Any]:
        default: Any = {f.name: {} if f.default is dataclasses.MISSING else f.default for f in dataclasses.fields(self)}
        return {n: value for n, value in dataclasses.asdict(self).items() if n not in PLAN or value != default[n]}

    def to_json(self) -> str:
        return json.dumps(self._tree(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    @lru_cache  # making configs and their fingerprints takes most of the time of opening a study
    def from_json(cls, text: str) -> Spec:
        """Reads what `to_json` wrote. ConfigError for another field or type, ValueError for a text that is no JSON."""
        tree: Any = parse_json(text)
        require(isinstance(tree, Mapping), "spec", tree, "a mapping of fields")
        for name in ("name", "recipe", "variants", "seeds"):
            require(name in tree, name, None, "there")
        return cls.of(**{"tasks": STANDARD, **tree})


def _require_amounts(field: str, value: Any) -> None:
    for metric, amount in value.items():
        require_text(f"{field}: metric", metric)
        allowed = "a positive number, in the metric's unit (0.01: one point of a share)"
        require(type(amount) in (int, float) and 0 < amount < math.inf, f"{field}.{metric}", amount, allowed)
