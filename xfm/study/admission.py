"""The rule by which a metric may be primary: somebody must have learnt it, on other seeds and another split.

An effect on a metric that no model is better at than its baseline says nothing of what is learnt. So the reference (or
the variant that the spec names for the metric) must beat the baseline in the studies that explored, by the lower end of
its interval over their seeds, with the very config that the study confirms.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..base.numbers import amount, interval
from ..config import ConfigError
from .measurements import Measurements
from .preregistration import read_spec
from .spec import Spec
from .statistics import FEWEST, mean_interval
from .study_metrics import own_target


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


def _admission(spec: Spec, metric: str, root: Path, explored: list[str]) -> Admission:
    variant = spec.admitted_by(metric)
    studies = [Measurements.read(root / name, read_spec(root / name)) for name in explored]
    labels = [_label(data.spec, spec.configs[variant].fingerprint) for data in studies]
    parts = [_gains(data, label, metric) for data, label in zip(studies, labels, strict=True)]
    rows: Any = pd.concat(parts).drop_duplicates("seed") if parts else pd.DataFrame()
    known = next((data.metrics[metric] for data in studies if metric in data.metrics), None)
    if own_target(metric):  # for a loss against each run's own targets no direction is better
        rows = rows[:0]
    better, unit, name = (known.better, known.unit, known.baseline_label) if known else ("", "", "")
    if not len(rows):
        same = any((data.results["variant"] == label).any() for data, label in zip(studies, labels, strict=True))
        nan = float("nan")
        why = _nothing(spec, variant, explored, same, bool(known))
        return Admission(metric, variant, 0, nan, nan, nan, nan, name, better, unit, False, why)
    low, high = map(float, mean_interval(rows["gain"])[1:])
    mean, level, n = float(rows["value"].mean()), float(rows["level"].mean()), len(rows)
    low_end, high_end = (level + low, level + high) if better == "higher" else (level - high, level - low)
    why = ""
    if n < FEWEST:
        why = f"{variant} has {n} seeds in {', '.join(explored)}; an interval needs {FEWEST}"
    elif not low > 0:
        reached = f"{amount(mean, unit)} ({interval(low_end, high_end, unit)}, {n} seeds)"
        why = f"{variant} has {reached}, and the baseline ({name}) is {amount(level, unit)}; {better} is better"
    return Admission(metric, variant, n, mean, low_end, high_end, level, name, better, unit, not why, why)


def _nothing(spec: Spec, variant: str, explored: list[str], same: bool, known: bool) -> str:
    if not explored:
        named = f"of {', '.join(spec.explored)} none has split = 'validation'" if spec.explored else "there is none"
        return f"no study explored it ({named})"
    if not same:
        return f"{', '.join(explored)} has no run of {variant}'s config: the regime must be the one that is confirmed"
    return "has no baseline, or no better direction" if known else f"was not measured in {', '.join(explored)}"


def _label(spec: Spec, fingerprint: str) -> str:
    """What an exploration calls the variant with a config's fingerprint; "" where it has none."""
    return next((label for label, config in spec.configs.items() if config.fingerprint == fingerprint), "")


def _gains(data: Measurements, variant: str, metric: str) -> Any:
    return data.gains[(data.gains["metric"] == metric) & (data.gains["variant"] == variant)]
