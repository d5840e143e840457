"""Weighted sums of a study's variants, seed by seed: a difference, an interaction, one as a share of another."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..base.fields import one_of, require
from .measurements import Measurements
from .spec import Spec
from .statistics import FEWEST, mean_interval, paired, t_quantile
from .study_metrics import FLOOR

_SHARE = ["metric", "n", "share", "low", "high", "whole", "whole_low", "whole_high"]
Weights = Mapping[str, float]


def contrast(data: Measurements, weights: Weights, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
    """A row a metric: the weighted sum of variants, seed by seed, as {"no_guidance": 1, "xfm": -1}: n, effect, low and
    high (paired t, 95 %), p (sign flips), d, detectable; all uncorrected. `metrics`: keys; the primary ones, or all
    where there are none."""
    _require_weights(data.spec, "weights", weights)
    rows = []
    for metric in data.chosen(metrics):
        result, known = paired(_sums(data, metric, list(weights), weights)), data.known(metric)
        differs = "different" if result.low > 0 or result.high < 0 else "no difference shown"
        verdict = "" if result.n < FEWEST else FLOOR if metric in data.at_floor else differs
        row = {"metric": metric, **result._asdict(), "verdict": verdict}
        rows.append(row | {"unit": known.unit, "better": known.better})
    return pd.DataFrame(rows).set_index("metric") if rows else pd.DataFrame()


def share(data: Measurements, part: Weights, whole: Weights, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
    """A row a metric: how large one contrast is beside another, as a technique's effect in one regime beside its effect
    in the reference's: n (seeds that all of them have), share with low and high (95 %, Fieller's theorem; infinite
    where the whole itself is not shown), and whole with whole_low and whole_high (paired t, 95 %); uncorrected.
    `metrics`: keys; the primary ones, or all where there are none."""
    for name, weights in (("part", part), ("whole", whole)):
        _require_weights(data.spec, name, weights)
    return pd.DataFrame(_shares(data, part, whole, metrics), columns=_SHARE)


def recovered(data: Measurements, start: str, goal: str, metrics: str | Iterable[str] = ()) -> pd.DataFrame:
    """A row a further variant x metric: the fraction of the gap between two variants that it closes (0: none, 1: all):
    variant, and the columns of `share`; the part is variant - start, the whole goal - start."""
    for name, variant in (("start", start), ("goal", goal)):
        one_of(name, variant, data.spec.variants)
    require(start != goal, "goal", goal, "another variant than start")
    others = [variant for variant in data.spec.variants if variant not in (start, goal)]
    whole = {goal: 1, start: -1}
    rows = [[v, *row] for v in others for row in _shares(data, {v: 1, start: -1}, whole, metrics)]
    return pd.DataFrame(rows, columns=["variant", *_SHARE])


def combinations(spec: Spec) -> list[tuple[str, str, str]]:
    """Two variants, and the one that changes what they change together; none where the reference changes something."""
    if spec.variants.get(spec.compared_with[0]):
        return []
    changes = {label: frozenset(map(repr, fields.items())) for label, fields in spec.variants.items() if fields}
    return [
        (a, b, c)
        for a, b in itertools.combinations(changes, 2)
        for c in changes
        if c not in (a, b) and changes[a] | changes[b] == changes[c] and changes[a].isdisjoint(changes[b])
    ]


def ratio(above: np.ndarray, below: np.ndarray) -> tuple[float, float, float]:
    """Ratio of two means over the seeds, (seeds,) each, paired, with its 95 % interval: all r for which a t-test of
    above - r * below shows nothing (Fieller, 1954). Infinite ends where `below` is not shown to differ from 0, as no
    ratio is excluded then; NaN for fewer than three seeds."""
    n, a, b = len(above), float(above.mean()), float(below.mean())
    quotient = a / b if b else np.nan
    if n < FEWEST:
        return quotient, np.nan, np.nan
    (aa, ab), (_, bb) = np.cov(above, below) * t_quantile(n) ** 2 / n
    square, half, rest = b * b - bb, a * b - ab, a * a - aa  # of r: square * r * r - 2 * half * r + rest <= 0
    if square <= 0:
        return quotient, -np.inf, np.inf
    root = np.sqrt(max(0.0, half * half - square * rest))
    return quotient, float((half - root) / square), float((half + root) / square)


def _sums(data: Measurements, metric: str, arms: list[str], weights: Weights) -> np.ndarray:
    """The weighted sum of a metric, (seeds,), at the seeds that all `arms` have."""
    return data.complete([metric], arms)[:, :, 0] @ np.array([weights.get(arm, 0.0) for arm in arms], float)


def _shares(data: Measurements, part: Weights, whole: Weights, metrics: str | Iterable[str]) -> Iterator[list[Any]]:
    """The rows of `share`."""
    arms = list({**part, **whole})
    for metric in data.chosen(metrics):
        above, below = (_sums(data, metric, arms, weights) for weights in (part, whole))
        if len(above):
            yield [metric, len(above), *ratio(above, below), *map(float, mean_interval(below))]


def _require_weights(spec: Spec, field: str, weights: Weights) -> None:
    require(isinstance(weights, Mapping) and bool(weights), field, weights, "a mapping of variants to numbers")
    for variant, weight in weights.items():
        one_of(field, variant, spec.variants)
        good = isinstance(weight, int | float) and np.isfinite(weight)
        require(good, f"{field}.{variant}", weight, "a finite number")
