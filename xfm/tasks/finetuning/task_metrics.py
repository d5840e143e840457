"""Metrics of a whole split: a function of the mean of what each item contributes, so that a bootstrap of items is exact
for all of them, correlations as well as shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..result import bootstrap_interval

__all__ = ["Metric", "binary_f1", "matthews", "mean", "pearson", "ratio"]

Of = Callable[[Sequence[Any], Sequence[Any]], np.ndarray]


def mean(means: np.ndarray) -> np.ndarray:
    """(..., 1) -> (...)"""
    return means[..., 0]


class Metric(NamedTuple):
    """`of_items`: predicted and true values -> (n,) or (n, k); `of_means`: their means (..., k) -> the metric (...)."""

    name: str
    of_items: Of
    of_means: Callable[[np.ndarray], np.ndarray] = mean
    unit: str = "%"
    best: float = 1.0  # what a perfect model has
    about: Callable[[Sequence[Any]], np.ndarray] = lambda targets: np.ones(len(targets), bool)  # (n,): what it is of

    def parts(self, predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
        """(n, k): of all, also of what it is not of."""
        return np.asarray(self.of_items(predicted, targets), float).reshape(len(targets), -1)

    def value(self, predicted: Sequence[Any], targets: Sequence[Any]) -> float:
        return float(self.of_means(self.parts(predicted, targets)[self.about(targets)].mean(0)))

    def interval(
        self, predicted: Sequence[Any], targets: Sequence[Any], groups: np.ndarray | None, *key: object
    ) -> tuple[float, float]:
        """95 % bootstrap interval over the items that it is of, or over `groups` (n,) of them."""
        own = self.about(targets)
        parts, drawn = self.parts(predicted, targets)[own], None if groups is None else groups[own]
        if self.of_means is mean:
            return bootstrap_interval(parts[:, 0], drawn, *key)
        return bootstrap_interval(parts, drawn, *key, of_means=self.of_means)


def _confusion(predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
    """(n, 4): true positive, false positive, false negative, true negative of labels 1 and 0"""
    p, t = np.asarray(predicted, bool), np.asarray(targets, bool)
    return np.stack([p & t, p & ~t, ~p & t, ~p & ~t], 1)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """0 where both are none, as sklearn has it."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), 0.0)


def _f1(m: np.ndarray) -> np.ndarray:
    return ratio(2 * m[..., 0], 2 * m[..., 0] + m[..., 1] + m[..., 2])


def _matthews(m: np.ndarray) -> np.ndarray:
    tp, fp, fn, tn = np.moveaxis(m, -1, 0)
    return ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


def _pairs(predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
    """(n, 5): x, y, and their squares and product"""
    x, y = np.asarray(predicted, float), np.asarray(targets, float)
    return np.stack([x, y, x * x, y * y, x * y], 1)


def _pearson(m: np.ndarray) -> np.ndarray:
    x, y, xx, yy, xy = np.moveaxis(m, -1, 0)
    return ratio(xy - x * y, np.sqrt(np.maximum((xx - x * x) * (yy - y * y), 0)))


binary_f1 = Metric("F1", _confusion, _f1)
matthews = Metric("Matthews correlation", _confusion, _matthews)
pearson = Metric("Pearson correlation", _pairs, _pearson)
