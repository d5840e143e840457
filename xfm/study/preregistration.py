"""A study's spec.json, and the rules of a confirmatory study: metrics that explorations admit, fresh seeds, and a spec
that stays as it was.

An effect on a metric that no model is better at than its baseline says nothing of what is learnt. So a metric may be
primary where the reference (or the variant that the spec names for the metric) beats the baseline in explorations, by
the lower end of its interval over their seeds, with the very config that the study confirms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..base.fields import nearest
from ..base.files import explain_os_error, write_atomically
from ..base.numbers import amount, interval
from ..base.strings import printable, shown
from ..config import ConfigError
from ..tasks import answerable
from . import code_pin, run_records, store
from .growing_csv import StudyError
from .measurements import Measurements
from .spec import FEW, Spec
from .statistics import FEWEST, mean_interval
from .study_metrics import Metric, asked, own_target
from .variants import require_name

_FROZEN = "A confirmatory study stays as it was written down. Give the changed one another name, and fresh seeds"


def read_spec(folder: Path) -> Spec:
    """The spec of a study's folder. StudyError without one, ConfigError for one that cannot be run."""
    path = folder / "spec.json"
    require_name("study", folder.name)
    try:
        spec = Spec.from_json(path.read_text("utf-8"))
    except FileNotFoundError:
        names = sorted(p.parent.name for p in folder.parent.glob("*/spec.json"))
        existing = f"{nearest(folder.name, names, after=' ')}there are {', '.join(names) or 'none'}"
        raise StudyError(f"{path}: no study here; {existing}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or printable(error)
        raise StudyError(f"{path}: cannot be read ({reason}); put a good copy back, or move it away") from error
    if spec.name != folder.name:
        raise ConfigError(f"{path}: name = {spec.name!r}: must be the folder's, {folder.name!r}")
    return spec


def write_spec(spec: Spec, folder: Path, measured: Collection[store.Key]) -> None:
    """Writes the spec. If it has changed, only records of the runs `measured` stay: their rows confirm their config."""
    path = folder / "spec.json"
    if not path.exists() or read_spec(folder).configs != spec.configs:
        run_records.keep_records(folder, measured)
    if not measured:
        with explain_os_error(folder / store.METRICS):
            (folder / store.METRICS).unlink(missing_ok=True)
    write_atomically(path, spec.to_json())


def require_fresh(spec: Spec, root: Path) -> None:
    """ConfigError if an exploration has used a seed, by its spec or its results."""
    for name in spec.explored:
        used = {*read_spec(root / name).seeds}
        used |= {seed for _, seed, _ in store.results_of(root / name)}
        if taken := [seed for seed in spec.seeds if seed in used]:
            raise ConfigError(
                f"seeds = {list(spec.seeds)}: {taken} were used by {name!r}, which explored; a confirmatory study "
                f"needs fresh ones, as from {max(used) + 1}"
            )


def require_unchanged(spec: Spec, folder: Path) -> None:
    """ConfigError if a confirmatory study has results of another spec, or any study of another split or other tasks.
    code.json, if there, decides: spec.json may have been edited since."""
    if not (folder / store.RESULTS).exists():
        return
    path = folder / "spec.json"
    if path.exists():
        before = read_spec(folder)
        if before.split != spec.split:
            raise ConfigError(f"{path}: has results on split = {before.split!r}; give the other split its own study")
        if before != spec and (before.confirmatory or spec.confirmatory):
            changed = ", ".join(f.name for f in fields(Spec) if getattr(before, f.name) != getattr(spec, f.name))
            raise ConfigError(f"{path}: has another {changed}, and results. {_FROZEN}")
    pin = code_pin.read(folder)
    if pin is None or not pin.spec:
        return
    before, now = pin.spec, code_pin.written(spec)
    for name in ("split", "tasks", "hash"):
        if before[name] != now[name] and (name != "hash" or before["confirmatory"] or spec.confirmatory):
            why = f"{name} = {now[name]!r}: the results are of {before[name]!r} (code.json); put that back"
            raise ConfigError(
                f"{path}: {why}. {_FROZEN}" if name == "hash" else f"{path}: {why}, or make another study"
            )


def require_answerable(spec: Spec) -> None:
    """ConfigError for a task of the evaluation that no variant can answer."""
    for task in asked(spec.asks, "evaluate"):
        if not any(answerable(config, task) for config in spec.configs.values()):
            why = "the data source lacks what it needs, or the models lack its head"
            raise ConfigError(f"tasks = {task!r}: no variant can answer it ({', '.join(spec.variants)}): {why}")


def require_all_measured(spec: Spec, families: Mapping[str, str]) -> None:
    """ConfigError for a metric of the spec that is not measured (metric -> family), and for two primary ones of a
    family."""
    of_family: dict[str, str] = {}
    for field in ("primary", "margins", "detectable"):
        for metric in getattr(spec, field):
            if metric not in families:
                there = f"{nearest(metric, families, after=' ')}there are {'; '.join(families)}"
                raise ConfigError(f"{field} = {shown(metric)}: no such metric is measured; {there}")
    for metric in spec.primary:
        if (other := of_family.setdefault(families[metric], metric)) != metric:
            raise ConfigError(f"primary = {metric!r}: {other!r} is of {families[metric]} too; there are {FEW}")


class Admission(NamedTuple):
    """Of a primary metric on the seeds that explored. NaN: nothing was measured, or there is no baseline."""

    metric: str
    variant: str  # that must beat the baseline
    n: int  # its seeds in the studies that explored
    mean: float
    low: float  # 95 % t interval over the seeds, of the difference to the runs' own baselines
    high: float
    baseline: float  # mean over the runs
    baseline_name: str
    better: str
    unit: str
    admitted: bool
    why: str  # it is not; "" where it is


def admissions(spec: Spec, root: Path) -> list[Admission]:
    """Of each primary metric, from the studies under `root` that explored on the validation split."""
    explored = [name for name in spec.explored if read_spec(root / name).split == "validation"]
    return [_admission(spec, metric, root, explored) for metric in spec.primary]


def require_admitted(spec: Spec, root: Path) -> None:
    """ConfigError, with mean, interval and baseline, where a primary metric of a confirmatory study is not admitted."""
    refused = [row for row in admissions(spec, root) if not row.admitted] if spec.confirmatory else []
    if refused:
        reasons = "; ".join(f"{row.metric!r}: {row.why}" for row in refused)
        raise ConfigError(
            f"primary = {reasons}. A metric may be primary where the reference beats its baseline in explorations: "
            "choose another metric or a longer regime, or name in `explored` the studies (split = 'validation') that "
            "show it"
        )


def label_of(spec: Spec, fingerprint: str) -> str:
    """What a study calls the variant with a config's fingerprint; "" where it has none."""
    return next((label for label, config in spec.configs.items() if config.fingerprint == fingerprint), "")


def _admission(spec: Spec, metric: str, root: Path, explored: list[str]) -> Admission:
    variant = spec.admitted_by(metric)
    studies = [Measurements.read(root / name, read_spec(root / name)) for name in explored]
    runs = [(data, label_of(data.spec, spec.configs[variant].fingerprint)) for data in studies]
    gains = [data.gains[(data.gains["metric"] == metric) & (data.gains["variant"] == label)] for data, label in runs]
    rows: Any = pd.concat(gains or [pd.DataFrame()])
    known = next((data.metrics[metric] for data in studies if metric in data.metrics), Metric(unit=""))
    about = known.baseline_label, known.better, known.unit
    if own_target(metric) or not len(rows):  # for a loss against each run's own targets no direction is better
        same = any((data.results["variant"] == label).any() for data, label in runs)
        why = _nothing(spec, variant, explored, same, bool(known.family))
        nan = float("nan")
        return Admission(metric, variant, 0, nan, nan, nan, nan, *about, False, why)
    rows = rows.drop_duplicates("seed")
    mean, level, n = float(rows["value"].mean()), float(rows["level"].mean()), len(rows)
    ends = mean_interval(rows["gain"])
    low, high = sorted(level + (1 if known.better == "higher" else -1) * float(end) for end in (ends.low, ends.high))
    why = ""
    if n < FEWEST:
        why = f"{variant} has {n} seeds in {', '.join(explored)}; an interval needs {FEWEST}"
    elif not ends.low > 0:
        reached = f"{amount(mean, known.unit)} ({interval(low, high, known.unit)}, {n} seeds)"
        base = f"the baseline ({known.baseline_label}) is {amount(level, known.unit)}"
        why = f"{variant} has {reached}, and {base}; {known.better} is better"
    return Admission(metric, variant, n, mean, low, high, level, *about, not why, why)


def _nothing(spec: Spec, variant: str, explored: list[str], same: bool, known: bool) -> str:
    if not explored:
        named = f"of {', '.join(spec.explored)} none has split = 'validation'" if spec.explored else "there is none"
        return f"no study explored it ({named})"
    if not same:
        return f"{', '.join(explored)} has no run of {variant}'s config: the regime must be the one that is confirmed"
    return "has no baseline, or no better direction" if known else f"was not measured in {', '.join(explored)}"
