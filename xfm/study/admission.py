"""The rule of admission: what explorations must show before a confirmatory study trains anything.

An effect on what no model has learnt says nothing. On the validation split, with the very configs that the study
confirms, by the lower end of a 95 % interval over the seeds:

* baseline: the reference (or the variant that the spec names for the metric) beats the strongest cheap baseline of each
  primary metric: its own (a bag of words, raw pixels, the best constant box, chance) or an n-gram;
* learnt: each arm beats such a baseline on whatever it trains;
* horizons: each arm was trained for two numbers of steps, as an effect may be of the one at which training ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..base.fields import leaves
from ..base.numbers import amount, count, interval, listed
from ..config import ConfigError, RunConfig
from ..objectives import losses_by_stream
from .measurements import Measurements
from .preregistration import read_spec
from .spec import Spec
from .statistics import FEWEST, mean_interval
from .study_metrics import HELD_OUT, Metric, has_ngram, own_target

HORIZONS = 2
_ASKED = {"mlm": "language, loss (nats)", "bbp": "grounding, acc@0.5"}  # losses whose held-out value has no baseline
_LENGTH = {"name", "seed", "train.steps", "train.validate_every", "train.probe_every", "train.keep"}


class Admission(NamedTuple):
    """One check of the rule. NaN: nothing was measured, or there is no baseline."""

    part: str  # "baseline", "learnt", "horizons"
    metric: str  # of "baseline"; else what was found of the arm
    variant: str  # that is asked
    n: int = 0  # its seeds in the studies that explored
    mean: float = nan
    low: float = nan  # 95 % t interval over the seeds, of the difference to the runs' own baselines
    high: float = nan
    baseline: float = nan  # mean over the runs
    baseline_name: str = ""
    better: str = ""
    unit: str = ""
    admitted: bool = False
    why: str = ""  # it is not; "" where it is


def admissions(spec: Spec, root: Path, own: Measurements | None = None) -> list[Admission]:
    """All checks, from the studies under `root` that explored on the validation split. `own`: results of the study
    itself, by which an arm is judged that the explorations have too few seeds of; the two are never pooled."""
    explored = [read_spec(root / name) for name in spec.explored]
    studies = [Measurements.read(root / each.name, each) for each in explored if each.split == "validation"]
    checks = [_baseline(spec, metric, studies) for metric in spec.primary]
    itself = [own] if own is not None and own.finished else []
    by = {v: itself if itself and _seeds(spec, v, studies) < FEWEST else studies for v in spec.variants}
    checks += [_learnt(spec, variant, studies) for variant, studies in by.items()]
    return checks + [_horizons(spec.configs[variant], variant, studies) for variant, studies in by.items()]


def require_admitted(spec: Spec, root: Path) -> None:
    """ConfigError, with numbers, where a confirmatory study fails a check."""
    refused = [check for check in admissions(spec, root) if not check.admitted] if spec.confirmatory else []
    if not refused:
        return
    if reasons := "; ".join(f"{check.metric!r}: {check.why}" for check in refused if check.part == "baseline"):
        raise ConfigError(
            f"primary = {reasons}. A metric may be primary where the reference beats its strongest baseline in "
            "explorations: choose another metric or a longer regime, or name in `explored` the studies (split = "
            "'validation') that show it"
        )
    reasons = "; ".join(f"{check.variant}: {check.why}" for check in refused)
    raise ConfigError(
        f"variants = {reasons}. Each arm must have learnt what it trains, at two numbers of steps, in the studies that "
        "`explored` names (split = 'validation'); --plan lists all checks"
    )


def label_of(spec: Spec, fingerprint: str) -> str:
    """What a study calls the variant with a config's fingerprint; "" where it has none."""
    return next((label for label, config in spec.configs.items() if config.fingerprint == fingerprint), "")


def _runs(spec: Spec, variant: str, studies: Sequence[Measurements]) -> list[tuple[Measurements, str]]:
    """The studies that have runs of a variant's config, and its label there."""
    labels = [(data, label_of(data.spec, spec.configs[variant].fingerprint)) for data in studies]
    return [(data, label) for data, label in labels if label in {*data.results["variant"]}]


def _seeds(spec: Spec, variant: str, studies: Sequence[Measurements]) -> int:
    runs = _runs(spec, variant, studies)
    return len({seed for data, label in runs for seed in data.results.query("variant == @label")["seed"]})


def _check(part: str, metric: str, variant: str, runs: Sequence[tuple[Measurements, str]]) -> Admission:
    """Whether runs beat the strongest baseline of a metric, seed by seed."""
    facts = next((data.metrics[metric] for data, _ in runs if metric in data.metrics), Metric(unit=""))
    gains = [data.against_strongest(metric, label) for data, label in runs]
    rows: Any = pd.concat([table for table, _ in gains] or [pd.DataFrame()])
    name = next((name for table, name in gains if len(table)), facts.baseline_label)
    about: Any = {"baseline_name": name, "better": facts.better, "unit": facts.unit}
    there = listed([data.spec.name for data, _ in runs])
    if (own_target(metric) and part == "baseline") or not len(rows):  # each run's own targets: no direction is better
        why = "has no baseline, or no better direction" if facts.family else f"was not measured in {there}"
        return Admission(part, metric, variant, **about, why=why)
    rows = rows.drop_duplicates("seed")
    mean, level, n = float(rows["value"].mean()), float(rows["level"].mean()), len(rows)
    ends = mean_interval(rows["gain"])
    low, high = sorted(level + (1 if facts.better == "higher" else -1) * float(end) for end in (ends.low, ends.high))
    why = ""
    if missing := [data.spec.name for data, _ in runs if has_ngram(metric) and metric not in data.ngram]:
        why = f"its n-gram is not known: xfm study {missing[0]} --metrics"
    elif n < FEWEST:
        why = f"{variant} has {n} seeds in {there}; an interval needs {FEWEST}"
    elif not ends.low > 0:
        reached = f"{amount(mean, facts.unit)} ({interval(low, high, facts.unit)}, {n} seeds)"
        why = f"{variant} has {reached}, and the baseline ({name}) is {amount(level, facts.unit)}; "
        why += f"{facts.better} is better"
    return Admission(part, metric, variant, n, mean, low, high, level, **about, admitted=not why, why=why)


def _baseline(spec: Spec, metric: str, studies: Sequence[Measurements]) -> Admission:
    variant = spec.admitted_by(metric)
    if runs := _runs(spec, variant, studies):
        return _check("baseline", metric, variant, runs)
    named = listed([data.spec.name for data in studies])
    without = f"of {', '.join(spec.explored)} none has split = 'validation'" if spec.explored else "there is none"
    why = f"no run of {variant}'s config in {named}: the regime must be the one that is confirmed"
    return Admission("baseline", metric, variant, why=why if studies else f"no study explored it ({without})")


def _learnt(spec: Spec, variant: str, studies: Sequence[Measurements]) -> Admission:
    """Whatever an arm trains and its runs have a baseline of: held-out losses, and what _ASKED names."""
    runs = _runs(spec, variant, studies)
    have = {metric for data, label in runs for metric in {*data.gains[data.gains["variant"] == label]["metric"]}}
    checks = [_check("learnt", metric, variant, runs) for metric in trained(spec.configs[variant]) if metric in have]
    failed = [check for check in checks if not check.admitted]
    why = "; ".join(f"{check.metric}: {check.why}" for check in failed)
    why = why if checks else "no run of its config has measured what it trains"
    names = listed([check.metric for check in failed]) or count(len(checks), "metric")
    about = names if checks else f"{', '.join(trained(spec.configs[variant]))}, not measured"
    n = max((check.n for check in checks), default=0)
    return Admission("learnt", about, variant, n, admitted=not why, why=why)


def trained(config: RunConfig) -> list[str]:
    """Metrics that say whether a run has learnt what it trains."""
    losses = [(s, name) for s, names in losses_by_stream(config).items() for name in names if config.weight(name) > 0]
    metrics = [_ASKED[name] for name in dict.fromkeys(name for _, name in losses) if name in _ASKED]
    return [*(f"{HELD_OUT}/{stream}/{name}" for stream, name in losses), *metrics]


def _horizons(config: RunConfig, variant: str, studies: Sequence[Measurements]) -> Admission:
    """At how many steps a config, but for its length, has ended."""
    lengths, seeds = set[int](), set[int]()
    for data in studies:
        for label, other in data.spec.configs.items():
            if _but_for_length(other) == _but_for_length(config):
                runs: Any = data.results[data.results["variant"] == label]
                lengths |= {other.train.steps} if len(runs) else set()
                seeds |= {*runs["seed"]}
    steps = f"{listed([f'{n:,}' for n in sorted(lengths)])} steps" if lengths else "no step"
    why = "" if len(lengths) >= HORIZONS else f"ends at {steps}; show the effect at {HORIZONS} numbers of steps"
    return Admission("horizons", steps, variant, len(seeds), admitted=not why, why=why)


def _but_for_length(config: RunConfig) -> dict[str, Any]:
    return {name: value for name, value in leaves(config.to_dict()).items() if name not in _LENGTH}
