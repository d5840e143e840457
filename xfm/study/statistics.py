"""Statistics of paired runs: mean difference, interval, exact p, e-value, the detectable effect, equivalence."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats
from statsmodels.stats.weightstats import DescrStatsW

from ..base import seeding
from . import e_values
from .e_values import smallest

__all__ = ["ALPHA", "EXACT", "FEWEST", "POWER", "Effect", "Equivalence", "Judge", "can_reach", "detectable",
           "deviation", "equivalence", "mean_interval", "paired", "sign_flip", "smallest_p", "t_quantile"]  # fmt: skip

Judge = Literal["interval", "sign flips", "e-values"]
ALPHA, POWER = 0.05, 0.8
FEWEST = 3  # pairs for an interval and a p
EXACT = 16  # pairs up to which all sign flips are enumerated; beyond, so many random ones:
_DRAWS = 99_999
_BATCH = 2_000_000  # numbers at once
_MANY = 15  # pairs from which on the t-test's power is that of sign flips
_STUDIES, _AT_ONCE = 4000, 2**23  # simulated studies, and their flips
_LARGEST = 1000.0  # standard deviations that a detectable effect is looked for up to


@dataclass(frozen=True)
class Effect:
    """Of n paired differences. NaN: fewer than three pairs."""

    n: int
    effect: float  # their mean
    low: float  # its paired-t interval, 95 %
    high: float
    p: float  # sign-flip permutation test of the mean, two-sided, exact up to 16 pairs; by e-values: 1 / the largest
    p_min: float  # the smallest p that n pairs can give (by e-values: n equal ones)
    d: float  # Cohen's d of the differences: mean / standard deviation
    detectable: float  # the smallest true mean that the test which judges finds at `alpha` in 80 % of studies
    e: float  # the e-value of n pairs in their order: evidence against there being no effect, valid at any n


def mean_interval(values: ArrayLike) -> tuple[float, float, float]:
    """The mean of n values and its t interval, 95 %; of fewer than three the mean alone, the rest NaN. Where all are
    equal but for rounding the interval has no width."""
    x = np.asarray(values, float)
    n, mean = len(x), float(x.mean()) if len(x) else math.nan
    if n < FEWEST:
        return mean, math.nan, math.nan
    half = float(deviation(x)) * t_quantile(n) / math.sqrt(n)
    return mean, mean - half, mean + half


@functools.cache
def t_quantile(n: int) -> float:
    """The quantile that a two-sided 95 % interval of n values reaches to."""
    return float(stats.t.ppf(1 - ALPHA / 2, n - 1))


def deviation(x: np.ndarray) -> np.ndarray:
    """The standard deviation (...) of n values (n, ...), n - 1 in the denominator; 0 of values that are equal but for
    rounding."""
    found = x.std(0, ddof=1)
    return np.where(found <= 1e-12 * np.abs(x).max(0), 0.0, found)


def paired(differences: ArrayLike, judge: Judge = "interval", alpha: float = ALPHA) -> Effect:
    """Statistics of paired differences (n,), finite, in the order of the seeds. `judge`, at `alpha`: what the
    detectable effect is of; by e-values, which hold at whatever n, p is theirs in place of the permutation test's.

    With fewer than three there is only the mean. Where all are equal the interval has no width; then d is 0 or
    infinite.
    """
    x = np.asarray(differences, float)
    n = len(x)
    mean, low, high = mean_interval(x)
    if n < FEWEST:
        return Effect(n, mean, *[math.nan] * 7)
    sd, e = float(deviation(x)), e_values.e_process(x)
    d = mean / sd if sd else math.copysign(math.inf, mean) if mean else 0.0
    sequential = judge == "e-values"
    p = min(1.0, 1 / float(e.max())) if sequential else _p(tuple(x))
    found = sd * size if math.isfinite(size := detectable(n, alpha, judge)) else size
    return Effect(n, mean, low, high, p, smallest_p(n, sequential), d, found, float(e[-1]))


@functools.lru_cache(maxsize=2**14)  # a report asks for each many times
def _p(differences: tuple[float, ...]) -> float:
    return float(sign_flip(np.asarray(differences)))


def sign_flip(x: np.ndarray) -> np.ndarray:
    """Differences (n, ...) -> two-sided p (...) of their mean, were each as likely to have the other sign: the share of
    sign flips, the differences as they are among them, whose mean is at least as far from 0."""
    signs = _signs(len(x))
    each = (x / np.maximum(np.abs(x).max(0), np.finfo(float).tiny)).reshape(len(x), -1)
    blocks = np.array_split(each, math.ceil(signs.shape[0] * each.shape[1] / _BATCH), axis=1)
    means = (np.abs(signs @ block / len(x)).round(12) for block in blocks)  # equal but for rounding is equal
    return np.concatenate([(mean >= mean[0]).mean(0) for mean in means]).reshape(x.shape[1:])


@functools.lru_cache(maxsize=8)
def _signs(n: int) -> np.ndarray:
    """Flips of n signs, one a row; the first flips none."""
    if n <= EXACT:
        return 1.0 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    drawn = seeding.rng("sign flips").choice([-1.0, 1.0], (_DRAWS, n))
    return np.concatenate([np.ones((1, n)), drawn])


def smallest_p(n: int, sequential: bool = False) -> float:
    """The p of n differences of one sign; sequential: of n equal ones."""
    if sequential:
        return min(1.0, 1 / float(e_values.e_process(np.ones(n)).max(initial=1.0)))
    return 2 / 2**n if n <= EXACT else 1 / (_DRAWS + 1)


def can_reach(tests: int, n: int, sequential: bool = False) -> bool:
    """Whether the corrected p of the smallest of so many tests on n pairs each can be at most .05."""
    return tests * smallest_p(n, sequential) <= ALPHA


@functools.cache
def detectable(n: int, alpha: float = ALPHA, judge: Judge = "interval") -> float:
    """Cohen's d that what judges, two-sided, at `alpha` finds on n pairs with a probability of .8: the interval of the
    paired t-test; or sign flips or e-values, by simulation. Infinite where no n differences could pass. Of many pairs
    flips find what the t-test does: of 15 within 3 % at .05 / 24."""
    if judge == "e-values":
        return e_values.detectable(n, alpha, POWER)
    if judge == "sign flips" and n < _MANY:
        return _detectable_by_flips(n, alpha)
    at_least = stats.f.isf(alpha, 1, n - 1)  # t squared is F; statsmodels' solver fails, or errs, at some n

    def excess(d: float) -> float:
        return float(stats.ncf.sf(at_least, 1, n - 1, n * d * d)) - POWER

    return float(optimize.brentq(excess, 0, _LARGEST))  # type: ignore[arg-type]


def _detectable_by_flips(n: int, alpha: float) -> float:
    """Of normal differences. A flip and its opposite are as far from 0: half of them will do."""
    flips = _signs(n)[: 2 ** (n - 1)]
    noise = seeding.rng("power of sign flips", n).normal(size=(n, min(_STUDIES, _AT_ONCE // len(flips))))

    def found(d: float) -> float:
        means = np.abs(flips @ (noise + d))
        return float(np.mean((means >= means[0] - 1e-9).mean(0) <= alpha))

    return smallest(found, POWER) if smallest_p(n) <= alpha else math.inf


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
    with np.errstate(divide="ignore", invalid="ignore"):  # all are equal
        p = float(sample.ttost_mean(-margin, margin)[0])
    return Equivalence(len(x), float(x.mean()), low, high, margin, p, p <= ALPHA)
