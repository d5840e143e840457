"""Evidence that may be looked at after every seed: a test martingale of paired differences by their signs.

Were there no effect, a difference would be as likely to have the other sign, whatever its size. Then for any bet b that
is fixed before the sign is seen, exp(b x) / cosh(b x) has the expectation 1 (de la Pena, 1999; Ramdas, Ruf, Larsson and
Koolen, 2020), and so has the product over the seeds: it exceeds 1 / alpha at any time at all with a probability of at
most alpha (Ville, 1939). A mixture over bets of several sizes, as high on either side, needs no guess of the effect.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from ..base import seeding

__all__ = ["BETS", "detectable", "e_process", "smallest"]

BETS = (0.25, 0.5, 1.0, 2.0)  # in root mean squares of the differences so far, whose sizes are no news of their signs
_STUDIES = 4000  # simulated ones


def e_process(x: np.ndarray) -> np.ndarray:
    """Differences (n, ...) in the order in which they came -> the e-value (n, ...) after each. Seeds may be added for
    as long as one likes: of studies without an effect at most alpha ever have one above 1 / alpha."""
    x = np.asarray(x, float)
    counts = np.arange(1, len(x) + 1).reshape(-1, *[1] * (x.ndim - 1))
    largest = np.abs(x).max(0, initial=np.finfo(float).tiny)
    z = x / largest
    scale = np.sqrt(np.cumsum(z**2, 0) / counts)
    z = np.divide(z, scale, out=np.zeros_like(z), where=scale > 0)
    logs = [np.cumsum(b * z - _log_cosh(b * z), 0) for bet in BETS for b in (bet, -bet)]
    return np.exp(np.logaddexp.reduce(logs, 0) - np.log(len(logs)))


def _log_cosh(y: np.ndarray) -> np.ndarray:
    return np.abs(y) + np.log1p(np.exp(-2 * np.abs(y))) - np.log(2)


@functools.cache
def detectable(n: int, alpha: float, power: float) -> float:
    """The mean, in standard deviations, at which e-values of at most n normal differences exceed 1 / alpha in that
    share of studies, to two digits or so; infinite where none does."""
    noise = seeding.rng("e-values", n).normal(size=(n, _STUDIES))

    def found(d: float) -> float:
        return float(np.mean(e_process(noise + d).max(0) >= 1 / alpha))

    return smallest(found, power)


def smallest(share: Callable[[float], float], wanted: float, most: float = 64.0) -> float:
    """The smallest effect of which the share of studies that find it, which grows with it, is `wanted`; infinite where
    that is not so at `most`."""
    low, high = 0.0, most
    if share(most) < wanted:
        return np.inf
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if share(middle) >= wanted else (middle, high)
    return high
