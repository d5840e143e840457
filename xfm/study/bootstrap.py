"""An interval that speaks of other seeds and other test items: both are resampled, each by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..base import seeding
from .statistics import FEWEST, t_quantile

__all__ = ["TwoWay", "two_way"]

RESAMPLES = 2000


@dataclass(frozen=True)
class TwoWay:
    """Of differences (seeds x items). NaN: fewer than three seeds, or items."""

    seeds: int
    items: int  # or groups of them
    effect: float
    low: float  # 95 %
    high: float


def two_way(differences: ArrayLike, groups: ArrayLike | None = None, *key: object) -> TwoWay:
    """The mean of differences (seeds, items) with its interval over both, the resampling a function of `key`.

    Every item is answered by every seed's run, so the differences of one item, and of one seed, are not independent:
    rows and columns are drawn with replacement, each by itself (the pigeonhole bootstrap; Owen, 2007), which is
    conservative. The interval is the mean -/+ Student's t times the bootstrap's standard error, corrected for the few
    rows: percentiles of ten or so resampled seeds are too narrow. Items of one of the `groups` (items,) come together.
    """
    x = np.asarray(differences, float)
    if x.ndim != 2 or not x.size or not np.isfinite(x).all():
        raise ValueError(f"differences of shape {x.shape}: must be finite, seeds by items, and at least one")
    group = np.arange(x.shape[1]) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(group).astype(float)
    sums = np.stack([np.bincount(group, row) for row in x])  # (seeds, groups)
    rows, columns, mean = *sums.shape, float(x.mean())
    if min(rows, columns) < FEWEST:
        return TwoWay(rows, columns, mean, math.nan, math.nan)
    rng = seeding.rng("two-way bootstrap", *key)
    of_rows = rng.multinomial(rows, np.full(rows, 1 / rows), RESAMPLES) / rows
    of_columns = rng.multinomial(columns, np.full(columns, 1 / columns), RESAMPLES)
    means = ((of_rows @ sums) * of_columns).sum(1) / (of_columns @ sizes)
    fewest = min(rows, columns)
    half = float(means.std(ddof=1) * math.sqrt(fewest / (fewest - 1)) * t_quantile(fewest))
    return TwoWay(rows, columns, mean, mean - half, mean + half)
