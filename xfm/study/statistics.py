"""Statistics of paired runs: mean differences with intervals, exact p, the detectable effect, equivalence, and the
correction of a primary family: Holm's, or gates through which one metric after the other is tested."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats
from statsmodels.stats.weightstats import DescrStatsW

from ..base import seeding

Judge = Literal["interval", "sign flips"]
ALPHA, POWER = 0.05, 0.8
FEWEST = 3  # pairs for an interval and a p
EXACT = 16  # pairs up to which all sign flips are enumerated; beyond, so many random ones:
_DRAWS = 99_999
_BATCH = 2_000_000  # numbers at once
_MANY = 15  # pairs from which on the t-test's power is that of sign flips
_STUDIES, _AT_ONCE = 4000, 2**23  # simulated studies, and their flips
_LARGEST = 1000.0  # standard deviations that a detectable effect is looked for up to


class Interval(NamedTuple):
    """A mean and the ends of its 95 % t interval; arrays of the values' shape without its first axis."""

    mean: Any
    low: Any
    high: Any


class Effect(NamedTuple):
    """Statistics of n paired differences. NaN: fewer than three pairs."""

    n: int
    effect: float  # their mean
    low: float  # its paired-t interval, 95 %
    high: float
    p: float  # sign-flip permutation test of the mean, two-sided, exact up to 16 pairs
    p_min: float  # the smallest p that n pairs can give
    d: float  # Cohen's d of the differences: mean / standard deviation
    detectable: float  # smallest true mean that the judging test detects at `alpha` in 80 % of studies


def mean_interval(values: ArrayLike) -> Interval:
    """Mean over the first axis with its t interval, 95 %. NaN ends for fewer than three values, a NaN mean for none.
    Values that are equal but for rounding give an interval without width."""
    x = np.asarray(values, float)
    n, mean = len(x), x.mean(0) if len(x) else np.full(x.shape[1:], np.nan)
    half = deviation(x) * t_quantile(n) / math.sqrt(n) if n >= FEWEST else np.full_like(mean, np.nan)
    return Interval(mean, mean - half, mean + half)


@functools.cache
def t_quantile(n: int) -> float:
    """Quantile of Student's t for a two-sided 95 % interval of n values."""
    return float(stats.t.ppf(1 - ALPHA / 2, n - 1))


def deviation(x: np.ndarray) -> np.ndarray:
    """Standard deviation (...) of n values (n, ...), n - 1 in the denominator; 0 for values that are equal but for
    rounding."""
    sd = x.std(0, ddof=1)
    return np.where(sd <= 1e-12 * np.abs(x).max(0), 0.0, sd)


def paired(differences: ArrayLike, judge: Judge = "interval", alpha: float = ALPHA) -> Effect:
    """Statistics of paired differences (n,), finite. Fewer than three have a mean only; equal ones have an interval
    without width, and no d.

    Args:
        judge: The test whose detectable effect is given, at `alpha`.
    """
    x = np.asarray(differences, float)
    n, (mean, low, high) = len(x), map(float, mean_interval(x))
    if n < FEWEST:
        return Effect(n, mean, *[math.nan] * 6)
    sd = float(deviation(x))
    d = mean / sd if sd else math.nan
    least = sd * size if math.isfinite(size := detectable(n, alpha, judge)) else size
    return Effect(n, mean, low, high, float(sign_flip(x)), smallest_p(n), d, least)


def sign_flip(x: np.ndarray) -> np.ndarray:
    """Two-sided p (...) of the mean of differences (n, ...): the fraction of sign flips, the observed signs among them,
    whose mean is at least as far from 0."""
    signs = _signs(len(x))
    scaled = (x / np.maximum(np.abs(x).max(0), np.finfo(float).tiny)).reshape(len(x), -1)
    blocks = np.array_split(scaled, math.ceil(signs.shape[0] * scaled.shape[1] / _BATCH), axis=1)
    means = (np.abs(signs @ block / len(x)).round(12) for block in blocks)  # equal but for rounding is equal
    return np.concatenate([(mean >= mean[0]).mean(0) for mean in means]).reshape(x.shape[1:])


@functools.lru_cache(maxsize=8)
def _signs(n: int) -> np.ndarray:
    """Flips of n signs, one a row; the first flips none."""
    if n <= EXACT:
        return 1.0 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    random = seeding.rng("sign flips").choice([-1.0, 1.0], (_DRAWS, n))
    return np.concatenate([np.ones((1, n)), random])


def smallest_p(n: int) -> float:
    """p of n differences of one sign."""
    return 2 / 2**n if n <= EXACT else 1 / (_DRAWS + 1)


def can_reach(tests: int, n: int) -> bool:
    """Whether the corrected p of the smallest of so many tests on n pairs each can be at most .05."""
    return tests * smallest_p(n) <= ALPHA


@functools.cache
def detectable(n: int, alpha: float = ALPHA, judge: Judge = "interval") -> float:
    """Cohen's d that the judging test, two-sided at `alpha`, detects on n pairs with a probability of .8: the paired
    t-test, or sign flips by simulation. Infinite where no n differences can reach `alpha`. From 15 pairs on, both agree
    within 3 % at .05 / 24."""
    if judge == "sign flips" and n < _MANY:
        return _detectable_by_flips(n, alpha)
    at_least = stats.f.isf(alpha, 1, n - 1)  # t squared is F; statsmodels' solver fails, or errs, at some n

    def excess(d: float) -> float:
        return float(stats.ncf.sf(at_least, 1, n - 1, n * d * d)) - POWER

    return float(optimize.brentq(excess, 0, _LARGEST))  # type: ignore[arg-type]


def _detectable_by_flips(n: int, alpha: float) -> float:
    """For normal differences. A flip and its opposite are as far from 0: half of them suffice."""
    if smallest_p(n) > alpha:
        return math.inf
    flips = _signs(n)[: 2 ** (n - 1)]
    noise = seeding.rng("power of sign flips", n).normal(size=(n, min(_STUDIES, _AT_ONCE // len(flips))))

    def rate(d: float) -> float:
        means = np.abs(flips @ (noise + d))
        return float(np.mean((means >= means[0] - 1e-9).mean(0) <= alpha))

    low, high = 0.0, 64.0
    if rate(high) < POWER:
        return math.inf
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if rate(middle) >= POWER else (middle, high)
    return high


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
    """Whether paired differences (n,) are smaller than `margin` either way, at .05; fewer than three never show it, and
    have a mean only."""
    x = np.asarray(differences, float)
    if len(x) < FEWEST:
        return Equivalence(len(x), float(x.mean()) if len(x) else math.nan, math.nan, math.nan, margin, math.nan, False)
    sample: Any = DescrStatsW(x)  # its attributes are made on demand, beyond what pyright sees
    low, high = map(float, sample.tconfint_mean(2 * ALPHA))
    with np.errstate(divide="ignore", invalid="ignore"):  # all are equal
        p = float(sample.ttost_mean(-margin, margin)[0])
    return Equivalence(len(x), float(x.mean()), low, high, margin, p, p <= ALPHA)


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


def gatekeeping(p: ArrayLike) -> np.ndarray:
    """Adjusted p of comparisons whose metrics are tested in their order: p (comparisons, metrics) -> the same shape.
    A test without p yet (NaN) closes its gate, as if it gave 1.

    The graphical procedure of Bretz, Maurer, Brannath and Posch (2009, algorithm 2). Every comparison begins with an
    equal share of the level at its first metric; what rejects passes its share on to its next metric, and after the
    last one to the first of the other comparisons, equally. Of one metric it is Holm's, of one comparison a fixed
    sequence; the family-wise error stays at the level whatever is true.
    """
    raw = np.asarray(p, float)
    comparisons, metrics = raw.shape
    flat, size = np.nan_to_num(raw, nan=1.0).ravel(), raw.size
    share, passes = np.zeros(size), np.zeros((size, size))
    share[::metrics] = 1 / max(comparisons, 1)
    for i in range(size):
        if (i + 1) % metrics:
            passes[i, i + 1] = 1
        elif comparisons > 1:
            passes[i, ::metrics] = 1 / (comparisons - 1)
            passes[i, i + 1 - metrics] = 0
    adjusted, waiting, largest = np.ones(size), np.ones(size, bool), 0.0
    while (share[waiting] > 0).any():
        at = np.divide(flat, share, out=np.full(size, np.inf), where=waiting & (share > 0))
        j = int(at.argmin())
        adjusted[j] = largest = min(max(largest, at[j]), 1.0)
        waiting[j] = False
        share, passes = _without(j, share, passes, waiting)
    return np.where(np.isnan(raw), np.nan, adjusted.reshape(raw.shape))


def _without(j: int, share: np.ndarray, passes: np.ndarray, waiting: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The graph after j is rejected: its share goes along its edges, and edges to it go on to where it led."""
    share = np.where(waiting, share + share[j] * passes[j], 0.0)
    back = passes[:, j] * passes[j]  # from each node to j and back
    through = passes + np.outer(passes[:, j], passes[j])
    passes = np.divide(through, 1 - back[:, None], out=np.zeros_like(passes), where=back[:, None] < 1)
    passes = passes * np.outer(waiting, waiting)
    np.fill_diagonal(passes, 0.0)
    return share, passes
