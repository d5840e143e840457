"""All variants of a study at once, over the seeds that they share: the Pareto front, the main table."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pandas as pd

from ..base import seeding
from ..base.fields import require
from ..base.numbers import number
from ..base.strings import printable
from ..config import ConfigError
from ..tasks.result import NGRAM
from .growing_csv import StudyError
from .measurements import Measurements, lacking
from .statistics import FEWEST, mean_interval
from .study_metrics import FAMILIES, SIGN, own_target

RESAMPLES = 2000
_AT_ONCE = 4_000_000  # comparisons
_AXES = (2, 3)  # metrics of a front


def pareto(data: Measurements, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
    """A row a variant x metric, for two or three metrics ((): the primary ones), over the seeds that all variants have.

    Returns:
        mean, low, high (t, 95 %), effect against the reference with effect_low and effect_high (paired t, uncorrected),
        baseline, lacking (a specialist without this metric stands at the baseline); and for the variant: front
        (whether its means are on it), probability (the fraction of studies with resampled seeds in which they are), and
        dominated_by, the variants that are better on every metric, interval by interval.

    Raises:
        ConfigError: For metrics without a better direction.
        StudyError: Where there are no seeds with all results.
    """
    if not len(data.values):
        raise StudyError(f"{data.spec.name}: there are no results yet. Call study.run() first")
    chosen = data.chosen(metrics)
    require(len(chosen) in _AXES, "metrics", chosen, "two or three, as one of language, vision and vision-language")
    _require_direction(data, chosen)
    variants, none = list(data.spec.variants), {pair for pair in lacking(data.values) if pair[1] in chosen}
    values = data.complete(chosen, variants, more=_at_baseline(data, none))
    if not len(values):
        names = ", ".join(chosen)
        raise StudyError(f"{data.spec.name}: at no seed have all variants {names}. Run the missing ones first")
    signs = [SIGN[data.metrics[m].better] for m in chosen]
    there, probability, dominated = front(values * signs, data.spec.name, *chosen)
    means = mean_interval(values)
    differences = mean_interval(values - values[:, [variants.index(data.spec.compared_with[0])]])
    names, rows = ("mean", "low", "high", "effect", "effect_low", "effect_high"), []
    for (v, variant), (m, metric) in itertools.product(enumerate(variants), enumerate(chosen)):
        known, better = data.metrics[metric], [variants[u] for u in np.flatnonzero(dominated[v])]
        row = {"variant": variant, "metric": metric, "family": data.families[metric], "better": known.better}
        row |= {"unit": known.unit, **{n: float(x[v, m]) for n, x in zip(names, (*means, *differences), strict=True)}}
        row |= {"baseline": data.baselines.get(metric, np.nan), "lacking": (variant, metric) in none, "n": len(values)}
        row |= {"front": bool(there[v]), "probability": float(probability[v]), "dominated_by": ", ".join(better)}
        rows.append(row)
    return pd.DataFrame(rows)


def by_field(data: Measurements, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
    """The study as the paper's main table, in text: a row a metric with its baseline, grouped by field; a column a
    variant, its cells "mean (low to high)" over its own seeds (t, 95 %), "" where it has no such metric. `metrics`:
    keys; the first of each task and the primary ones."""
    values, judged, primary = data.values, data.judged(), data.spec.primary
    there = [m for m in dict.fromkeys(values["metric"]) if m in judged or m in primary]
    first = {re.split(r" \(|, ", metric)[0]: metric for metric in reversed(there)}.values()  # of each task
    chosen = data.chosen(metrics) if metrics else [m for m in there if m in primary or m in first]
    variants = [v for v in data.spec.variants if v in {*values["variant"]}]
    rows = []
    for family in (f for f in FAMILIES if f in {*values["family"]}):
        for metric in (m for m in chosen if data.families.get(m) == family):
            known, runs = data.known(metric), values[values["metric"] == metric]
            baseline = number(data.baselines.get(metric, np.nan), known.unit)
            baseline = f"{baseline} ({known.baseline_label})" if baseline else ""
            if (level := data.ngram.get(metric)) is not None:
                baseline += f", {number(level, known.unit)} ({NGRAM})"
            means: Any = {v: mean_interval(x) for v, x in runs.groupby("variant")["value"]}
            row = {"field": family, "metric": printable(metric), "baseline": baseline}
            rows.append(row | {v: _cell(means[v], known.unit) if v in means else "" for v in variants})
    return pd.DataFrame(rows, columns=["field", "metric", "baseline", *variants], dtype=str)


def front(values: np.ndarray, *key: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The Pareto front of (seeds, variants, metrics), higher is better; the resampling is a function of `key`.

    Returns:
        For each variant whether its means are on the front; the fraction of studies, their seeds resampled with all
        their runs, in which they are (NaN for fewer than three); and (variants, variants), by which variants it is
        dominated: on every metric, by the 95 % interval of their differences seed by seed, uncorrected.
    """
    n, variants, metrics = values.shape
    if n < FEWEST:
        return on_front(values.mean(0)), np.full(variants, np.nan), np.zeros((variants, variants), bool)
    counts = seeding.rng("pareto", *key).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
    means = np.einsum("rs,svm->rvm", counts, values)
    chunk = max(1, _AT_ONCE // (variants**2 * metrics))
    share = np.mean(np.concatenate([on_front(means[i : i + chunk]) for i in range(0, RESAMPLES, chunk)]), 0)
    better = (mean_interval(values[:, :, None, :] - values[:, None, :, :]).low > 0).all(-1)
    return on_front(values.mean(0)), share, better.T


def on_front(means: np.ndarray) -> np.ndarray:
    """(..., variants, metrics), higher is better -> (..., variants): whether no variant is at least as good on all
    metrics and better on one."""
    ours, theirs = means[..., :, None, :], means[..., None, :, :]
    beaten = (theirs >= ours).all(-1) & (theirs > ours).any(-1)
    return np.asarray(~beaten.any(-1))


def _at_baseline(data: Measurements, none: Collection[tuple[str, str]]) -> list[pd.DataFrame]:
    """Rows of the baseline at each seed of a variant, for the metrics that it lacks."""
    seeds: Any = data.values[["variant", "seed"]].drop_duplicates()
    known = data.baselines
    return [seeds[seeds["variant"] == v].assign(metric=m, value=known[m]) for v, m in sorted(none) if m in known]


def _require_direction(data: Measurements, metrics: Collection[str]) -> None:
    for metric in metrics:
        if not data.directed(metric) or own_target(metric):
            raise ConfigError(f"metrics = {metric!r}: is a control: neither direction is better. Choose another one")


def _cell(mean_low_high: Iterable[Any], unit: str) -> str:
    digits = 1 if unit == "%" else 2
    mean, low, high = (number(float(x), unit, digits=digits) for x in mean_low_high)
    return f"{mean} ({low} to {high})" if low else mean
