"""Statistics of paired runs: mean difference, interval, exact p, the detectable effect, equivalence."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from .. import seeding

__all__ = ["ALPHA", "FEWEST", "Effect", "Equivalence", "can_reach", "detectable", "equivalence", "holm", "paired",
           "sign_flip", "smallest_p"]  # fmt: skip

ALPHA, POWER = 0.05, 0.8
FEWEST = 3  # pairs for an interval and a p
_EXACT = 16  # pairs up to which all sign flips are enumerated; beyond, so many random ones:
_DRAWS = 99_999
_BATCH = 2_000_000  # numbers at once


@dataclass(frozen=True)
class Effect:
    """Of n paired differences. NaN: fewer than three pairs."""

    n: int
    effect: float  # their mean
    low: float  # its paired-t interval, 95 %
    high: float
    p: float  # sign-flip permutation test of the mean, two-sided, exact up to 16 pairs
    p_min: float  # the smallest p that n pairs can give
    d: float  # Cohen's d of the differences: mean / standard deviation
    detectable: float  # the smallest true mean that a paired t-test at `alpha` finds in 80 % of studies of n pairs


def paired(differences: ArrayLike, alpha: float = ALPHA) -> Effect:
    """Statistics of paired differences (n,), finite. `alpha`: the level of the detectable effect.

    With fewer than three there is only the mean. Where all are equal the interval has no width; then d is 0 or
    infinite.
    """
    x = np.asarray(differences, float)
    n, mean = len(x), float(x.mean()) if len(x) else math.nan
    if n < FEWEST:
        return Effect(n, mean, *[math.nan] * 6)
    deviation = float(x.std(ddof=1))
    if deviation <= 1e-12 * np.abs(x).max():  # equal but for rounding
        d, deviation = (math.copysign(math.inf, mean) if mean else 0.0), 0.0
        low = high = mean
    else:
        d = mean / deviation
        low, high = map(float, stats.t.interval(1 - ALPHA, n - 1, mean, deviation / math.sqrt(n)))
    return Effect(n, mean, low, high, float(sign_flip(x)), smallest_p(n), d, deviation * detectable(n, alpha))


def sign_flip(x: np.ndarray) -> np.ndarray:
    """Differences (n, ...) -> two-sided p (...) of their mean, were each as likely to have the other sign."""
    x = x / np.maximum(np.abs(x).max(0), np.finfo(float).tiny)

    def mean(x: np.ndarray, axis: int) -> np.ndarray:
        return x.mean(axis).round(12)  # sums that are equal but for rounding are equal

    test = stats.permutation_test(
        (x,),
        mean,
        permutation_type="samples",
        n_resamples=2**_EXACT if len(x) <= _EXACT else _DRAWS,
        vectorized=True,
        batch=max(1, _BATCH // x.size),
        rng=seeding.rng("sign flips"),
    )
    return np.asarray(test.pvalue)


def smallest_p(n: int) -> float:
    """The p of n differences of one sign."""
    return 2 / 2**n if n <= _EXACT else 2 / (_DRAWS + 1)


def can_reach(tests: int, n: int) -> bool:
    """Whether Holm's p of the smallest of so many tests on n pairs each can be at most .05."""
    return tests * smallest_p(n) <= ALPHA


@functools.cache
def detectable(n: int, alpha: float = ALPHA) -> float:
    """Cohen's d that a two-sided paired t-test at `alpha` on n pairs finds with a probability of .8."""
    return float(TTestPower().solve_power(nobs=n, alpha=alpha, power=POWER))  # type: ignore[arg-type]


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's adjustment over a family. A test without p yet (NaN) counts in the family's size, as if it gave 1."""
    raw = np.asarray(p, float)
    if not len(raw):
        return raw
    # statsmodels' multipletests collects garbage in every call, which takes longer than a study's whole table
    filled = np.nan_to_num(raw, nan=1.0)
    order = np.argsort(filled)
    adjusted = np.empty_like(filled)
    adjusted[order] = np.minimum(np.maximum.accumulate(filled[order] * np.arange(len(filled), 0, -1)), 1.0)
    return np.where(np.isnan(raw), np.nan, adjusted)


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided paired t-tests (TOST; Schuirmann, 1987) of n differences against a margin."""

    n: int
    effect: float
    low: float  # the 90 % interval: inside the margin exactly where p <= .05
    high: float
    margin: float
    p: float
    equivalent: bool


def equivalence(differences: ArrayLike, margin: float) -> Equivalence:
    """Whether paired differences (n,) are smaller than `margin` either way, at .05; with fewer than three it is not
    shown, and there is only the mean."""
    x = np.asarray(differences, float)
    if len(x) < FEWEST:
        return Equivalence(len(x), float(x.mean()) if len(x) else math.nan, math.nan, math.nan, margin, math.nan, False)
    sample: Any = DescrStatsW(x)  # its attributes are made on demand, beyond what pyright sees
    low, high = map(float, sample.tconfint_mean(2 * ALPHA))
    p = float(sample.ttost_mean(-margin, margin)[0])
    return Equivalence(len(x), float(x.mean()), low, high, margin, p, p <= ALPHA)
