"""What a study will take and could find, before anything is trained: arms, runs, hours, disk, detectable effects."""

from __future__ import annotations

import html
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from ..base.fields import require
from ..base.numbers import count, duration, listed, number
from ..base.strings import printable
from ..config import SCRATCH, RunConfig
from ..objectives import build
from ..runs.weights import undrawn
from ..tasks.finetuning.config import recipe
from ..tasks.finetuning.finetune import finetune
from ..train import Run
from ..train.estimate import timed_steps
from ..train.requirements import before
from .admission import Admission, admissions
from .measurements import Measurements
from .power import detectable_effects, level, seeds_needed
from .preregistration import read_spec, require_all_measured
from .spec import Spec
from .statistics import ALPHA, smallest_p
from .worker import reference_config, startable_of, untrained_of

_STEPS = 12  # of an arm, of which those are timed that do not warm up
_TUNED = 5  # timed steps of a fine-tuning
_SAME_PACE = {f"train.{field}": 0.5 for field in ("lr", "weight_decay", "head_lr_scale", "beta1", "beta2")}
# arms that differ in these alone take as long


@dataclass(frozen=True, repr=False)
class Plan:
    """Times of one run after another, which `workers` divide, and detectable effects."""

    spec: Spec
    workers: int
    arms: Any  # a frame: variant, fields (changed), runs, to_do, to_train, steps, step_seconds, disk (bytes a run)
    first: dict[str, int]  # warm starts and teachers to train, each shared by variants of its seed
    seconds: dict[str, float]  # of training, these, measuring, fine-tuning: of all that is to do
    disk: float  # bytes
    detectable: Any  # a frame, see power.detectable_effects
    admission: list[Admission]  # none where no metric is primary

    @property
    def hours(self) -> float:
        """Hours with as many workers busy as there are runs to do."""
        return sum(self.seconds.values()) / max(1, min(self.workers, int(self.arms["to_do"].sum()))) / 3600

    def lines(self) -> dict[str, str]:
        """The summary: study, runs, time of a run (with its share of what runs share) and of all, disk, tests."""
        spec, arms = self.spec, self.arms
        to_do, to_train = int(arms["to_do"].sum()), int(arms["to_train"].sum())
        trained = f", {to_do - to_train} of them trained already" if to_train < to_do else ""
        first = " and ".join(count(n, kind) for kind, n in self.first.items())
        shared = f"; before them {first}, each shared by the arms of its seed" if first else ""
        shares = ", ".join(f"{what} {duration(value)}" for what, value in self.seconds.items() if value)
        by = f"by {self.workers} workers" if self.workers > 1 else "by one worker"
        size = f"{count(len(arms), 'arm')} x {count(len(spec.seeds), 'seed')}"
        rows = {
            "study": f"{spec.name} ({spec.kind}): {size} of {spec.recipe}",
            "runs": f"{to_do} of {int(arms['runs'].sum())} to do{trained}{shared}",
            "a run": f"about {duration(sum(self.seconds.values()) / to_do)} on this machine" if to_do else "none to do",
            "all runs": f"about {duration(3600 * self.hours)} {by} ({shares or 'nothing to do'})",
            "disk": f"{self.disk / 1e9:.2f} GB of run folders",
        }
        unknown = sum(not (check.n or check.admitted) for check in self.admission)
        failed = sum(not check.admitted for check in self.admission) - unknown
        rule = f"{failed or 'none'} of {count(len(self.admission), 'check')} {'fails' if failed < 2 else 'fail'}"
        rule += f", {unknown} cannot be made before an exploration" * bool(unknown)
        return rows | ({"tests": _tests(spec)} if spec.tests else {}) | ({"admission": rule} if self.admission else {})

    def tables(self) -> list[pd.DataFrame]:
        """The arms, the detectable effects and what fails of the rule of admission, as text; without primary metrics
        the largest of each metric alone."""
        arms, effects = self.arms.copy(), self.detectable.rename(columns={"at_most": "at most"})
        arms["training"] = [duration(s * n) for s, n in zip(arms["step_seconds"], arms["steps"], strict=True)]
        arms["step_seconds"] = [f"{value:.3f}" for value in arms["step_seconds"]]
        arms["disk"] = [f"{value / 1e6:.0f} MB" for value in arms["disk"]]
        if not self.spec.primary and len(effects):
            order = effects["detectable"].fillna(-math.inf)
            effects = effects.loc[sorted(order.groupby(effects["metric"], sort=False).idxmax())]
        for name in ("sd", "detectable", "at most", "reference", "baseline"):
            effects[name] = [number(value, unit) for value, unit in zip(effects[name], effects["unit"], strict=True)]
        names = {"step_seconds": "s a step", "to_do": "to do", "to_train": "to train"}
        tables = arms.rename(columns=names), effects.drop(columns=["against", "alpha"]), self._refused()
        return [table.map(printable) for table in tables if len(table)]

    def _refused(self) -> pd.DataFrame:
        """Checks that are not passed; those that are for one reason in one row, with the variants' number."""
        checks: Any = pd.DataFrame(self.admission, columns=list(Admission._fields))
        rows = []
        for (part, why), same in checks[checks["why"] != ""].groupby(["part", "why"], sort=False):
            first, *others = same["variant"].unique()
            arms = count(1 + len(others), "arm") if others else first
            rows.append((part, arms, listed([*same["metric"].unique()]), why))
        return pd.DataFrame(rows, columns=["not admitted by", "variant", "of", "why"])

    def notes(self) -> list[str]:
        """What the second table means, or why there is none."""
        if not len(self.detectable):
            return ["Detectable effects are not known: Study(..., explored=[...]) names studies that explored."]
        return [
            f"detectable: the true difference that {len(self.spec.seeds)} seeds find in 80 % of studies, from the "
            "paired differences of exploration; at most: by the upper 80 % limit of their standard deviation.",
            *["No metric is primary: the arm with the largest is shown for each."] * (not self.spec.primary),
        ]

    def __str__(self) -> str:
        lines = self.lines()
        width = max(map(len, lines))
        summary = "\n".join(f"{name:{width}}  {text}" for name, text in lines.items())
        tables = [table.to_string(index=False) for table in self.tables()]
        return "\n\n".join([summary, *tables, "\n".join(self.notes())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{k}</th><td>{html.escape(v)}</td></tr>" for k, v in self.lines().items())
        tables = "".join(table.to_html(index=False) for table in self.tables())
        return f"<table>{rows}</table>{tables}{''.join(f'<p>{html.escape(note)}</p>' for note in self.notes())}"


def _tests(spec: Spec) -> str:
    """The primary family, and whether its corrected test could confirm anything."""
    tests, pairs, least = spec.tests, len(spec.seeds), smallest_p(len(spec.seeds))
    comparisons = count(len(spec.references(spec.reference)), "comparison")
    text = (
        f"{count(len(spec.primary), 'primary metric')} x {comparisons}, at {level(spec, spec.primary[0]):.4g} each; "
        f"of {count(pairs, 'pair')} the smallest p is {least:.4g}"
    )
    if tests * least <= ALPHA:
        return text
    after, fewer = "Holm's correction", "fewer metrics, or fewer arms"
    if spec.gatekeeping:  # metrics wait behind each other, and take no level
        after, fewer = "gatekeeping", "fewer arms"
    return (
        f"{text}, {min(tests * least, 1):.2g} after {after}: nothing can be confirmed, whatever comes out. From "
        f"{seeds_needed(tests)} seeds on it could; or name {fewer}"
    )


def make(data: Measurements, folder: Path, runs: Path, workers: int) -> Plan:
    """See Study.plan. A few steps of each arm without a finished run are timed here, in a folder that is removed."""
    require(type(workers) is int and workers > 0, "workers", workers, "a whole number from 1")
    spec, finished = data.spec, data.seconds()
    root = folder.parent
    pilots = {name: Measurements.read(root / name, read_spec(root / name)) for name in spec.explored}
    todo = [key for key in data.runs if key not in data.finished]
    untrained = untrained_of(spec, folder) if todo else None  # of a complete study nothing is measured again
    require_all_measured(spec, untrained.families if untrained else data.families)
    pace, rows = _Pace(), []
    first = dict[str, dict[Path, RunConfig]]()  # by kind
    for variant, changes in spec.variants.items():
        config = spec.configs[variant]
        configs = [spec.config(variant, seed) for label, seed in todo if label == variant]
        to_train = [config for config in configs if not Run.of(config, runs).done]
        for kind, need in (item for run in to_train for item in before(Run.of(run, runs)).items()):
            if not (run := Run.of(need, runs)).done:
                first.setdefault(kind, {})[run.folder] = need
        step = finished[variant] / config.train.steps if variant in finished else pace(config) if configs else math.nan
        rows.append(
            {"variant": variant, "fields": len(changes), "runs": len(spec.seeds), "to_do": len(configs),
             "to_train": len(to_train), "steps": config.train.steps, "step_seconds": step, "disk": _bytes(config)}
        )  # fmt: skip
    arms: Any = pd.DataFrame(rows)
    seconds = {"training": float((arms["to_train"] * arms["steps"] * arms["step_seconds"]).fillna(0).sum())}
    for kind, needed in first.items():
        seconds[f"{kind}s"] = sum(pace(c) * c.train.steps for c in needed.values())
    step_0 = sum(variant in spec.compared_with for variant, _ in todo)  # is measured as well
    seconds["measuring"] = untrained.seconds * (len(todo) + step_0) if untrained else 0.0
    tuning = [(variant, task) for variant, _ in todo for task in startable_of(spec.configs[variant], spec.asks)]
    of_task = _tuned(spec) if tuning else {}
    seconds["fine-tuning"] = sum(of_task[task] for _, task in tuning)
    disk = float((arms["to_train"] * arms["disk"]).sum())
    disk += sum(_bytes(config) for needed in first.values() for config in needed.values())
    disk += sum(4.0 * _parameters(spec.configs[variant]) for variant, _ in tuning)
    effects = detectable_effects(spec, pilots)
    counts = {kind: len(needed) for kind, needed in first.items()}
    checks = admissions(spec, root, data) if spec.primary else []
    return Plan(spec, workers, arms, counts, seconds, disk, effects if pilots else effects[:0], checks)


class _Pace(dict[str, float]):
    """Seconds of a step, its wait for data included, timed once for all configs that take as long."""

    def __call__(self, config: RunConfig) -> float:
        plain = _plain(config)
        if plain.fingerprint not in self:
            with tempfile.TemporaryDirectory() as root:
                records, _ = timed_steps(plain, root, _STEPS)
            self[plain.fingerprint] = sum(record["seconds"] for record in records) / len(records)
        return self[plain.fingerprint]


def _plain(config: RunConfig) -> RunConfig:
    """A config without other runs. The model's average stands in for another network that guides MIM: its pass takes as
    long. What ties a run to its warm start is left out: a term of the loss."""
    target = "ema" if config.flow.mim_target in ("frozen", "teacher") else config.flow.mim_target
    return config.replace({"seed": 0, "flow.mim_target": target, **SCRATCH, **_SAME_PACE})


def _tuned(spec: Spec) -> dict[str, float]:
    """Seconds of each fine-tuning, from a few steps of it; without its measuring."""
    config, seconds = reference_config(spec), {}
    with tempfile.TemporaryDirectory() as root:
        _, run = timed_steps(_plain(config), root, 1)
        for task in startable_of(config, spec.asks):
            whole = recipe(task, run.folder).train
            *steps, last = [r["seconds"] for r in finetune(recipe(task, run.folder, _TUNED), root)]  # it validates
            step = median(steps)
            seconds[task] = whole.steps * step + -(-whole.steps // whole.validate_every) * max(last - step, 0.0)
    return seconds


def _parameters(config: RunConfig) -> int:
    with undrawn():
        return sum(parameter.numel() for parameter in build(config).parameters())


def _bytes(config: RunConfig) -> float:
    """Size of a run's folder: weights, the same with two moments for a resume, those it starts from, kept copies."""
    copies = -(-config.train.steps // config.train.keep) if config.train.keep else 0
    return 4.0 * _parameters(config) * (4 + bool(config.init_from) + copies)
