"""What a study will take and could find, before anything is trained: arms, runs, hours, disk, detectable effects."""

from __future__ import annotations

import html
import math
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from ..base.numbers import duration, number
from ..base.strings import printable
from ..config import SCRATCH, RunConfig
from ..objectives import build
from ..runs.weights import undrawn
from ..tasks.finetuning.config import recipe
from ..tasks.finetuning.finetune import finetune
from ..train import Run
from ..train.estimate import timed_steps
from ..train.start import before
from .power import Pilot, detectable_effects, level, seeds_needed
from .runner import Key
from .spec import Spec
from .statistics import smallest_p
from .untrained import Untrained, config_of, startable_of

__all__ = ["Plan", "make"]

_STEPS = 12  # of an arm, of which those are timed that do not warm up
_TUNED = 5  # that are timed of a fine-tuning
_SAME_PACE = {f"train.{field}": 0.5 for field in ("lr", "weight_decay", "head_lr_scale", "beta1", "beta2")}
# two arms that differ in these alone take as long


@dataclass(frozen=True)
class Plan:
    """Seconds are of one run after another; `workers` divide them."""

    spec: Spec
    workers: int
    arms: Any  # a frame: variant, fields (changed), runs, to_do, to_train, steps, step_seconds, disk (bytes a run)
    first: dict[str, int]  # warm starts and teachers to train, each shared by variants of its seed
    seconds: dict[str, float]  # training, these, measuring, fine-tuning: of all that is to do
    disk: float  # bytes
    detectable: Any  # a frame, see power.detectable_effects

    @property
    def hours(self) -> float:
        """By the clock, with as many workers busy as there are runs to do."""
        return sum(self.seconds.values()) / max(1, min(self.workers, int(self.arms["to_do"].sum()))) / 3600

    def lines(self) -> dict[str, str]:
        """The summary."""
        spec, arms = self.spec, self.arms
        to_do, to_train = int(arms["to_do"].sum()), int(arms["to_train"].sum())
        trained = f", {to_do - to_train} of them trained already" if to_train < to_do else ""
        first = " and ".join(_counted(n, kind) for kind, n in self.first.items())
        shared = f"; before them {first}, each shared by the arms of its seed"
        parts = ", ".join(f"{what} {duration(value)}" for what, value in self.seconds.items() if value)
        by = f"by {self.workers} workers" if self.workers > 1 else "by one worker"
        size = f"{_counted(len(arms), 'arm')} x {_counted(len(spec.seeds), 'seed')}"
        rows = {
            "study": f"{spec.name} ({spec.kind}): {size} of {spec.recipe}",
            "runs": f"{to_do} of {int(arms['runs'].sum())} to do{trained}{shared if first else ''}",
            "time": f"about {duration(3600 * self.hours)} {by} on this machine ({parts or 'nothing to do'})",
            "disk": f"{self.disk / 1e9:.2f} GB of run folders",
        }
        if tests := spec.tests:
            seeds, least = len(spec.seeds), smallest_p(len(spec.seeds))
            alpha = level(spec, spec.primary[0])
            comparisons = _counted(len(spec.references(spec.reference)), "comparison")
            family = f"{_counted(len(spec.primary), 'primary metric')} x {comparisons}"
            rows["tests"] = f"{family}, at {alpha:.4g} each; of {_counted(seeds, 'pair')} the smallest p is {least:.4g}"
            if tests * least > 0.05:
                after, fewer = "Holm's correction", "fewer metrics, or fewer arms"
                if spec.gatekeeping:  # metrics wait behind each other, and take no level
                    after, fewer = "gatekeeping", "fewer arms"
                rows["tests"] += (
                    f", {min(tests * least, 1):.2g} after {after}: nothing can be confirmed, whatever comes out. From "
                    f"{seeds_needed(tests)} seeds on it could; or name {fewer}"
                )
        return rows

    def shown(self) -> pd.DataFrame:
        """The arms as text."""
        arms = self.arms.assign(
            training=[duration(s * n) for s, n in zip(self.arms["step_seconds"], self.arms["steps"], strict=True)]
        )
        arms["step_seconds"] = [f"{value:.3f}" for value in arms["step_seconds"]]
        arms["disk"] = [f"{value / 1e6:.0f} MB" for value in arms["disk"]]
        return arms.rename(columns={"step_seconds": "s a step", "to_do": "to do", "to_train": "to train"}).map(
            printable
        )

    def found(self) -> pd.DataFrame:
        """The detectable effects as text; without primary metrics of each metric the largest alone."""
        table = self.detectable
        if not self.spec.primary and len(table):
            order = table["detectable"].fillna(-math.inf)
            table = table.loc[sorted(order.groupby(table["metric"], sort=False).idxmax())]
        rows = [
            {
                "metric": row.metric,
                "unit": row.unit,
                "variant": row.variant,
                "pairs": row.pairs,
                "sd": number(row.sd, row.unit),
                "detectable": number(row.detectable, row.unit),
                "at most": number(row.at_most, row.unit),
                "reference": number(row.reference, row.unit),
                "baseline": number(row.baseline, row.unit),
                "from": source,
                "note": row.note,
            }
            for row, source in zip(table.itertuples(), table["from"], strict=True)
        ]
        columns = ["metric", "unit", "variant", "pairs", "sd", "detectable", "at most", "reference", "baseline", "from",
                   "note"]  # fmt: skip
        return pd.DataFrame(rows, columns=columns).map(printable)

    def notes(self) -> list[str]:
        """What the second table means, or why there is none."""
        if not len(self.detectable):
            return ["Detectable effects are not known: Study(..., explored=[...]) names studies that explored."]
        return [
            f"detectable: the true difference that {len(self.spec.seeds)} seeds find in 80 % of studies, from the "
            "paired differences of exploration; at most: by the upper 80 % limit of their standard deviation.",
            *([] if self.spec.primary else ["No metric is primary: of each the arm with the largest."]),
        ]

    def __str__(self) -> str:
        lines, notes = self.lines(), self.notes()
        width = max(map(len, lines))
        parts = ["\n".join(f"{name:{width}}  {text}" for name, text in lines.items())]
        parts += [table.to_string(index=False) for table in (self.shown(), self.found()) if len(table)]
        return "\n\n".join([*parts, "\n".join(notes)])

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{k}</th><td>{html.escape(v)}</td></tr>" for k, v in self.lines().items())
        tables = [table.to_html(index=False) for table in (self.shown(), self.found()) if len(table)]
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes())
        return f"<table>{rows}</table>{''.join(tables)}{notes}"


def make(
    spec: Spec,
    runs: Path,
    todo: Iterable[Key],
    finished: Mapping[str, float],
    untrained: Untrained,
    pilots: Mapping[str, Pilot],
    workers: int,
) -> Plan:
    """Of a study of which `todo` is to be done. `finished`: seconds that a training took, by variant, where this study
    has some; of the others a few steps are timed here, in a folder that is removed."""
    todo = [*todo]
    seeds = {variant: [seed for name, seed in todo if name == variant] for variant in spec.variants}
    pace = _Pace()
    rows, disk, training = [], 0.0, 0.0
    first = dict[str, dict[Path, RunConfig]]()  # by kind
    for variant, changes in spec.variants.items():
        config = spec.configs[variant]
        own = [spec.config(variant, seed) for seed in seeds[variant]]
        left = [each for each in own if not Run.of(each, runs).done]
        for each in left:
            for kind, need in before(Run.of(each, runs)).items():
                if not (run := Run.of(need, runs)).done:
                    first.setdefault(kind, {})[run.folder] = need
        step = finished[variant] / config.train.steps if variant in finished else pace(config) if own else math.nan
        size = _bytes(config)
        training += len(left) * config.train.steps * step if left else 0.0
        disk += len(left) * size
        rows.append(
            {"variant": variant, "fields": len(changes), "runs": len(spec.seeds), "to_do": len(own),
             "to_train": len(left), "steps": config.train.steps, "step_seconds": step, "disk": size}
        )  # fmt: skip
    seconds = {"training": training}
    for kind, needed in first.items():
        seconds[f"{kind}s"] = sum(pace(c) * c.train.steps for c in needed.values())
    before_training = sum(variant in spec.compared_with for variant, _ in todo)  # step 0 of these is measured as well
    seconds["measuring"] = untrained.seconds * (len(todo) + before_training)
    tuning = {variant: startable_of(spec.configs[variant], spec.tasks) for variant in spec.variants}
    of_task = _tuned(spec) if any(tuning[variant] for variant, _ in todo) else {}
    seconds["fine-tuning"] = sum(of_task[task] for variant, _ in todo for task in tuning[variant])
    disk += sum(_bytes(config) for needed in first.values() for config in needed.values())
    disk += sum(4.0 * _parameters(spec.configs[variant]) * len(tuning[variant]) for variant, _ in todo)
    found = detectable_effects(spec, pilots)
    counts = {kind: len(needed) for kind, needed in first.items()}
    return Plan(spec, workers, pd.DataFrame(rows), counts, seconds, disk, found if pilots else found[:0])


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


class _Pace(dict[str, float]):
    """Seconds of a step, its wait for data within, timed once of all configs that take as long."""

    def __call__(self, config: RunConfig) -> float:
        plain = _plain(config)
        if plain.fingerprint not in self:
            with tempfile.TemporaryDirectory() as root:
                records, _ = timed_steps(plain, root, _STEPS)
            self[plain.fingerprint] = sum(record["seconds"] for record in records) / len(records)
        return self[plain.fingerprint]


def _plain(config: RunConfig) -> RunConfig:
    """The average of the model itself stands in for another network that guides MIM: its pass takes as long. What ties
    a run to its warm start is left out: a term of the loss, with `mlm_distillation` a pass of the language encoder."""
    target = "ema" if config.flow.mim_target in ("frozen", "teacher") else config.flow.mim_target
    return config.replace({"seed": 0, "flow.mim_target": target, **SCRATCH, **_SAME_PACE})


def _tuned(spec: Spec) -> dict[str, float]:
    """Seconds of each fine-tuning, by a few steps of it; its measuring is not in them."""
    config, taken = config_of(spec), {}
    with tempfile.TemporaryDirectory() as root:
        _, run = timed_steps(_plain(config), root, 1)
        for task in startable_of(config, spec.tasks):
            whole = recipe(task, run.folder).train
            *steps, last = [r["seconds"] for r in finetune(recipe(task, run.folder, _TUNED), root)]  # it validates
            step = median(steps)
            taken[task] = whole.steps * step + -(-whole.steps // whole.validate_every) * max(last - step, 0.0)
    return taken


def _parameters(config: RunConfig) -> int:
    with undrawn():
        return sum(parameter.numel() for parameter in build(config).parameters())


def _bytes(config: RunConfig) -> float:
    """Of a run's folder: weights, the same with two moments for a resume, those it starts from, kept copies."""
    copies = -(-config.train.steps // config.train.keep) if config.train.keep else 0
    return 4.0 * _parameters(config) * (4 + bool(config.init_from) + copies)
