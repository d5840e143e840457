"""One number of a task, and how it is measured: value, sample size, baseline, upper bound, 95 % bootstrap interval."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..base import seeding
from ..base.fields import one_of, require, types
from ..base.strings import baseline_label, brief, parse_json, shown

OfMeans = Callable[[np.ndarray], np.ndarray]  # means (..., k) -> the metric (...)
Better = Literal["higher", "lower", ""]  # "": a control condition, which no model is meant to be good at
NGRAM = "n-gram"  # the control condition of MLM, stronger than its baselines
RESAMPLES = 2000
BLOCK = 4_000_000  # draws at once


@dataclass(frozen=True, slots=True)
class Result:
    """One number of an evaluation: the mean of per-sample scores, in [0, 1] where the unit is "%"."""

    task: str
    condition: str  # the input or the method: "ITC", "swapped phrase"; "" where there is one only
    metric: str
    value: float
    low: float  # the 95 % interval
    high: float
    n: int  # samples
    baseline: float | None
    baseline_name: str  # "chance", "best constant box", "bag of words"
    upper_bound: float | None  # what a perfect model would score, where that is known
    seed: int  # of the evaluation's draws, not of the run
    split: str
    family: str = ""  # "language", "vision", "vision-language"
    better: Better = "higher"
    unit: str = "%"  # "%": a share, shown in per cent; "nats"

    @property
    def baseline_label(self) -> str:
        """The baseline's display name."""
        return baseline_label(self.baseline_name)

    @property
    def beats_baseline(self) -> bool:
        """Whether the whole interval is on the better side of the baseline."""
        if self.baseline is None:
            return False
        return self.low > self.baseline if self.better == "higher" else self.high < self.baseline

    @property
    def title(self) -> str:
        """Task and condition."""
        return f"{self.task}, {self.condition}".removesuffix(", ")

    @property
    def key(self) -> str:
        """Key of the metric in studies: task, condition, metric."""
        return ", ".join(filter(None, (self.task, self.condition, self.metric)))


def bootstrap_interval(
    scores: ArrayLike,
    groups: ArrayLike | None,
    *key: object,
    of_means: OfMeans | None = None,
    lowest: float = 0.0,
) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of the mean of `scores` (n,), or of a function of the means (..., k) of (n, k)
    of them; the resampling is a function of `key`.

    Samples of one group (`groups` (n,), None: each its own) are resampled together, as phrases of one picture do not
    err independently. Where all scores are 0, or all are 1, no resample differs: the interval is then Clopper and
    Pearson's (1934), each group a trial (`lowest`: a score can be, -1 of a difference); of other equal scores it has no
    width. Raises ValueError for no scores and for scores that are not finite.
    """
    scores = np.asarray(scores, float)
    if scores.ndim != (1 if of_means is None else 2) or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"scores of shape {scores.shape}: must be finite, one a sample, and at least one")
    group = np.arange(len(scores)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    totals = np.stack([np.bincount(group, column) for column in scores.reshape(len(scores), -1).T], 1)
    sizes, count = np.bincount(group).astype(float), len(totals)
    if of_means is None and scores[0] in (0, 1) and (scores == scores[0]).all():
        furthest = 0.025 ** (1 / count)
        return (furthest, 1.0) if scores[0] else (lowest * (1 - furthest), 1 - furthest)
    rng, of = seeding.rng("bootstrap", *key), of_means or (lambda means: means[..., 0])
    means: list[np.ndarray] = []
    for start in range(0, RESAMPLES, step := max(1, BLOCK // count)):
        drawn = rng.integers(count, size=(min(step, RESAMPLES - start), count))
        sums = np.stack([column[drawn].sum(1) for column in totals.T], 1)
        means.append(of(sums / sizes[drawn].sum(1)[:, None]))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return float(low), float(high)


def measured(
    named: tuple[str, str, str],
    scores: ArrayLike,
    key: Sequence[object],
    baseline: tuple[float, str] | None = None,
    groups: ArrayLike | None = None,
    of_means: OfMeans | None = None,
    **fields: Any,
) -> Result:
    """The Result of per-sample `scores`, with its interval: all numbers of tasks are made here.

    Args:
        named: task, condition, metric.
        scores, groups, of_means: as in `bootstrap_interval`.
        key: what the resampling is a function of.
        baseline: its value and its name.
        fields: `lowest` as in `bootstrap_interval`, and the other fields of Result.
    """
    scores = np.asarray(scores, float)
    value = scores.mean() if of_means is None else of_means(scores.mean(0))
    interval = bootstrap_interval(scores, groups, *key, of_means=of_means, lowest=fields.pop("lowest", 0.0))
    level, name = (None, "") if baseline is None else (float(baseline[0]), baseline[1])
    numbers = {"value": float(value), "low": interval[0], "high": interval[1], "n": len(scores)}
    return Result(*named, **numbers, baseline=level, baseline_name=name, **{"upper_bound": None, **fields})  # type: ignore[arg-type]


class Measure(NamedTuple):
    """A metric of a whole split, as a function of the means of what each item contributes: a bootstrap of items is then
    exact for correlations as well as for shares."""

    name: str
    of_items: Callable[[Sequence[Any], Sequence[Any]], np.ndarray]  # predicted, true -> (n,) or (n, k)
    of_means: OfMeans | None = None  # None: the mean of (n,)
    best: float = 1.0  # what a perfect model has
    about: Callable[[Sequence[Any]], np.ndarray] = lambda targets: np.ones(len(targets), bool)  # (n,): what it is of

    def parts(self, predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
        """(n, k): of all items, also of those that it is not of."""
        return np.asarray(self.of_items(predicted, targets), float).reshape(len(targets), -1)

    def value(self, predicted: Sequence[Any], targets: Sequence[Any]) -> float:
        means = self.parts(predicted, targets)[self.about(targets)].mean(0)
        return float(means[0] if self.of_means is None else self.of_means(means))

    def result(
        self,
        named: tuple[str, str],
        predicted: Sequence[Any],
        targets: Sequence[Any],
        groups: np.ndarray | None,
        key: Sequence[object],
        **fields: Any,
    ) -> Result:
        """`measured` of the items that it is of; `named`: task and condition; `groups` (n,) of all items."""
        about = self.about(targets)
        parts, groups = self.parts(predicted, targets)[about], None if groups is None else groups[about]
        parts = parts[:, 0] if self.of_means is None else parts
        fields |= {"groups": groups, "of_means": self.of_means, "upper_bound": self.best}
        return measured((*named, self.name), parts, key, **fields)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """0 where both are 0, as in scikit-learn."""
    return np.where(below > 0, above / np.where(below > 0, below, 1), 0.0)


def _confusion(predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
    """(n, 4): true positive, false positive, false negative, true negative of labels 1 and 0"""
    p, t = np.asarray(predicted, bool), np.asarray(targets, bool)
    return np.stack([p & t, p & ~t, ~p & t, ~p & ~t], 1)


def f1(m: np.ndarray) -> np.ndarray:
    """F1 of mean confusions (..., 4), as those of `binary_f1`."""
    return ratio(2 * m[..., 0], 2 * m[..., 0] + m[..., 1] + m[..., 2])


def _matthews(m: np.ndarray) -> np.ndarray:
    tp, fp, fn, tn = np.moveaxis(m, -1, 0)
    return ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


def _moments(predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
    """(n, 5): x, y, and their squares and product"""
    x, y = np.asarray(predicted, float), np.asarray(targets, float)
    return np.stack([x, y, x * x, y * y, x * y], 1)


def _pearson(m: np.ndarray) -> np.ndarray:
    x, y, xx, yy, xy = np.moveaxis(m, -1, 0)
    return ratio(xy - x * y, np.sqrt(np.maximum((xx - x * x) * (yy - y * y), 0)))


binary_f1 = Measure("F1", _confusion, f1)
matthews = Measure("Matthews correlation", _confusion, _matthews)
pearson = Measure("Pearson correlation", _moments, _pearson)


def to_json(results: Sequence[Result]) -> str:
    """Results as JSON. ValueError for a number that is not finite."""
    return json.dumps([dataclasses.asdict(r) for r in results], indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> list[Result]:
    """Reads results from the JSON of `to_json`. ValueError, with row and field, for anything else."""
    rows = parse_json(text)
    if not isinstance(rows, list):
        raise ValueError(f"an evaluation is a list of results, not {type(rows).__name__}")
    return [_from_row(row, f"result {i}") for i, row in enumerate(rows)]


def _from_row(row: Any, where: str) -> Result:
    kinds = types(Result)
    if not isinstance(row, dict) or row.keys() != kinds.keys():
        fields = brief(", ".join(row)) if isinstance(row, dict) else shown(row)
        raise ValueError(f"{where}: has {fields}; must have exactly {', '.join(kinds)}")
    for name, value in row.items():
        kind, field = kinds[name], f"{where}: {name}"
        if kind == Better:
            one_of(field, value, get_args(Better))
        elif kind in (int, str):
            require(type(value) is kind, field, value, kind.__name__)
        else:
            finite = isinstance(value, float) and math.isfinite(value)
            require(finite or (value is None and kind is not float), field, value, "float, and finite")
    require(row["n"] >= 1, f"{where}: n", row["n"], "positive")
    return Result(**row)
