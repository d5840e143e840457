"""Several variants at once, over the seeds that all of them have: contrasts, the Pareto front, mean ranks.

Values are (seeds, variants, metrics); failures are in them as the worst of their metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..base import seeding
from .statistics import FEWEST, t_quantile

__all__ = ["Front", "contrast", "dominates", "front", "intervals", "mean_ranks", "on_front", "ratio"]

RESAMPLES = 2000
_AT_ONCE = 4_000_000  # comparisons


def contrast(values: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """The weighted sum of a metric's values (seeds, variants), seed by seed -> (seeds,)"""
    return values @ np.asarray(weights, float)


def intervals(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and 95 % t interval over the first axis, the seeds; NaN ends of fewer than three, NaN of none."""
    n = len(values)
    mean = values.mean(0) if n else np.full(values.shape[1:], np.nan)
    if n < FEWEST:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = values.std(0, ddof=1) * t_quantile(n) / np.sqrt(n)
    return mean, mean - half, mean + half


def ratio(above: np.ndarray, below: np.ndarray) -> tuple[float, float, float]:
    """The ratio of two means over the seeds, (seeds,) each, paired, with its 95 % interval: all r for which a t-test of
    above - r * below finds nothing (Fieller, 1954). Without ends (infinite) where `below` is not shown to differ from
    0: then no ratio is excluded for good; NaN of fewer than three seeds."""
    n, a, b = len(above), float(above.mean()), float(below.mean())
    share = a / b if b else np.nan
    if n < FEWEST:
        return share, np.nan, np.nan
    (aa, ab), (_, bb) = np.cov(above, below) * t_quantile(n) ** 2 / n
    square, half, rest = b * b - bb, a * b - ab, a * a - aa  # of r: square * r * r - 2 * half * r + rest <= 0
    if square <= 0:
        return share, -np.inf, np.inf
    root = np.sqrt(max(0.0, half * half - square * rest))
    return share, float((half - root) / square), float((half + root) / square)


def on_front(means: np.ndarray) -> np.ndarray:
    """(..., variants, metrics), higher is better -> (..., variants): whether no variant is at least as good on all
    metrics and better on one."""
    ours, theirs = means[..., :, None, :], means[..., None, :, :]
    beaten = (theirs >= ours).all(-1) & (theirs > ours).any(-1)
    return np.asarray(~beaten.any(-1))


def dominates(values: np.ndarray) -> np.ndarray:
    """(seeds, variants, metrics), higher is better -> (variants, variants): whether the first is better than the second
    on every metric, by the 95 % interval of their differences seed by seed, uncorrected; with three seeds or more."""
    _, low, _ = intervals(values[:, :, None, :] - values[:, None, :, :])
    return np.asarray((low > 0).all(-1))


@dataclass(frozen=True)
class Front:
    """Of each variant, (variants,)."""

    there: np.ndarray  # whether its means are on the front
    probability: np.ndarray  # share of the studies, their seeds resampled, in which they are; NaN: fewer than three
    dominated: np.ndarray  # (variants, variants): by which it is dominated on every metric, interval by interval


def front(values: np.ndarray, *key: object) -> Front:
    """The Pareto front of (seeds, variants, metrics), higher is better; the resampling a function of `key`. Seeds are
    drawn with all their runs, so that variants stay paired."""
    n, variants, metrics = values.shape
    if n < FEWEST:
        shape = variants, variants
        return Front(on_front(values.mean(0)), np.full(variants, np.nan), np.zeros(shape, bool))
    counts = seeding.rng("pareto", *key).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
    means = np.einsum("rs,svm->rvm", counts, values)
    chunk = max(1, _AT_ONCE // (variants**2 * metrics))
    share = np.mean(np.concatenate([on_front(means[i : i + chunk]) for i in range(0, RESAMPLES, chunk)]), 0)
    return Front(on_front(values.mean(0)), share, dominates(values).T)


def mean_ranks(values: np.ndarray, failed: np.ndarray | None = None) -> np.ndarray:
    """(seeds, variants, metrics), higher is better -> (seeds, variants): of each seed the mean rank over the metrics, 1
    is the best, ties share theirs. Those that `failed` (of the same shape) are last, below the worst that did not."""
    ranked = values if failed is None else np.where(failed, -np.inf, values)
    return stats.rankdata(-ranked, axis=1).mean(2)
