"""What paired runs say: the mean difference, its interval, an exact p, and how many seeds an effect would need."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from .. import seeding

LEVEL, ALPHA, POWER = 0.95, 0.05, 0.8
FEWEST = 3  # pairs for an interval and a p
EXACT = 16  # pairs up to which all sign flips are gone through; beyond, so many random ones:
DRAWS = 99_999
BATCH = 2_000_000  # numbers at once
BEYOND = 100_000  # seeds that nobody will train


@dataclass(frozen=True)
class Effect:
    """Of n paired differences. NaN: not to be had from so few."""

    n: int
    effect: float  # their mean
    low: float  # its paired-t interval, 95 %
    high: float
    p: float  # sign-flip permutation of the mean, two-sided, exact up to 16 pairs
    p_min: float  # the smallest p that n pairs can give
    d: float  # Cohen's d of the differences: mean / standard deviation
    n_needed: float  # pairs at which a paired t-test finds such a d, at .05, in 80 % of studies; NaN: more than 100,000


def paired(differences: ArrayLike) -> Effect:
    """Statistics of paired differences (n,), finite.

    With fewer than three there is only the mean. Where all are equal the interval has no width; then d is 0 or
    infinite.
    """
    x = np.asarray(differences, float)
    n, mean = len(x), float(x.mean()) if len(x) else math.nan
    if n < FEWEST:
        return Effect(n, mean, *[math.nan] * 6)
    deviation = float(x.std(ddof=1))
    if deviation <= 1e-12 * np.abs(x).max():  # equal but for rounding
        d = math.copysign(math.inf, mean) if mean else 0.0
        low = high = mean
    else:
        d = mean / deviation
        low, high = map(float, stats.t.interval(LEVEL, n - 1, mean, deviation / math.sqrt(n)))
    return Effect(n, mean, low, high, float(sign_flip(x)), smallest_p(n), d, needed(d))


def sign_flip(x: np.ndarray) -> np.ndarray:
    """Differences (n, ...) -> two-sided p (...) of their mean, were each as likely to have the other sign."""
    x = x / np.maximum(np.abs(x).max(0), np.finfo(float).tiny)

    def mean(x: np.ndarray, axis: int) -> np.ndarray:
        return x.mean(axis).round(12)  # sums that are equal but for rounding are equal

    draws = 2**EXACT if len(x) <= EXACT else DRAWS
    test = stats.permutation_test(
        (x,),
        mean,
        permutation_type="samples",
        n_resamples=draws,
        vectorized=True,
        batch=max(1, BATCH // x.size),
        rng=seeding.rng("sign flips"),
    )
    return np.asarray(test.pvalue)


def smallest_p(n: int) -> float:
    return 2 / 2**n if n <= EXACT else 2 / (DRAWS + 1)


def needed(d: float) -> float:
    """The fewest pairs at which the power of a two-sided paired t-test at .05 reaches .8; NaN beyond 100,000."""
    low, high = 1, 2
    while not enough(d, high):
        low, high = high, 2 * high
        if low >= BEYOND:
            return math.nan
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(d, middle) else (middle, high)
    return float(high)


def enough(d: float, n: int) -> bool:
    if abs(d) * math.sqrt(n) > 100:  # the library's noncentral t knows no such numbers; the power is 1
        return True
    return d != 0 and float(TTestPower().power(abs(d), n, ALPHA)) >= POWER  # type: ignore[arg-type]


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's adjustment over a family. A test that is still without p counts in the family's size, as if it gave 1."""
    raw = np.asarray(p, float)
    if not len(raw):
        return raw
    adjusted = np.asarray(multipletests(np.nan_to_num(raw, nan=1.0), method="holm")[1])
    return np.where(np.isnan(raw), np.nan, adjusted)
