"""One number of an evaluation with its sample size, baseline, upper bound and 95 % bootstrap interval."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..base import seeding
from ..base.fields import types
from ..base.strings import brief, parse_json, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Better", "Result", "bootstrap_interval", "compare_results", "find_result", "format_lines", "from_json",
           "results_table", "to_json"]  # fmt: skip

Better = Literal["higher", "lower", ""]  # "": a control condition, which no model is meant to be good at
RESAMPLES = 2000
BLOCK = 4_000_000  # draws at once


@dataclass(frozen=True, slots=True)
class Result:
    """One row of an evaluation: the mean of per-sample scores, in [0, 1] where the unit is "%"."""

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


def bootstrap_interval(
    scores: ArrayLike,
    groups: ArrayLike | None,
    *key: object,
    of_means: Callable[[np.ndarray], np.ndarray] | None = None,
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


def results_table(results: Sequence[Result]) -> pd.DataFrame:
    """One row a result, the columns in the order of `Result`'s fields."""
    import pandas as pd

    return pd.DataFrame([dataclasses.asdict(r) for r in results], columns=[f.name for f in dataclasses.fields(Result)])


def format_lines(results: Sequence[Result]) -> str:
    """The table for a terminal, one line a result; an upper bound of 1 is not shown."""
    rows = [("task", "metric", "value", "95 % interval", "n", "baseline", "upper_bound")]
    for r in results:
        baseline = "" if r.baseline is None else f"{r.baseline:.3f} {r.baseline_name}"
        upper_bound = "" if r.upper_bound is None or r.upper_bound == 1 else f"{r.upper_bound:.3f}"
        interval = f"{r.low:.3f} to {r.high:.3f}"
        rows.append((_title(r), r.metric, f"{r.value:.3f}", interval, str(r.n), baseline, upper_bound))
    return _align(rows)


def compare_results(runs: Mapping[str, Sequence[Result]]) -> str:
    """Evaluations of several runs for a terminal: one line a number, one column a run, each with its 95 % interval.

    A line whose split and seed are not the default ones (test, 0) names them.
    """
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for name, results in runs.items():
        for r in results:
            draws = "" if (r.split, r.seed) == ("test", 0) else f" [{r.split}, seed {r.seed}]"
            row = cells.setdefault((_title(r) + draws, r.metric), {})
            row[name] = f"{r.value:.3f} ({r.low:.3f} to {r.high:.3f})"
    return _align([("task", "metric", *runs), *((*key, *(row.get(n, "") for n in runs)) for key, row in cells.items())])


def _title(result: Result) -> str:
    return f"{result.task}, {result.condition}".removesuffix(", ")


def _align(rows: Iterable[Sequence[str]]) -> str:
    rows = [[brief(cell) for cell in row] for row in rows]  # a foreign file's texts may hold anything
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def find_result(results: Sequence[Result], task: str, metric: str, condition: str = "") -> Result:
    """The result of a task, metric and condition. KeyError, which lists all keys, where there is none."""
    for r in results:
        if (r.task, r.metric, r.condition) == (task, metric, condition):
            return r
    keys = ", ".join(f"{(r.task, r.metric, r.condition)}" for r in results)
    raise KeyError(f"no result {(task, metric, condition)}; there are {keys}")


def to_json(results: Sequence[Result]) -> str:
    """Raises ValueError for a number that is not finite."""
    return json.dumps([dataclasses.asdict(r) for r in results], indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> list[Result]:
    """What `to_json` wrote. Raises ValueError, naming the row and the field, for anything else."""
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
        kind = kinds[name]
        if kind == Better:
            fits, allowed = value in get_args(Better), f"one of {', '.join(map(repr, get_args(Better)))}"
        elif kind in (int, str):
            fits, allowed = type(value) is kind, kind.__name__
        else:
            finite = isinstance(value, float) and math.isfinite(value)
            fits, allowed = finite or (value is None and kind is not float), "float, and finite"
        if not fits:
            raise ValueError(f"{where}: {name} = {shown(value)}: must be {allowed}")
    if row["n"] < 1:
        raise ValueError(f"{where}: n = {shown(row['n'])}: must be positive")
    return Result(**row)
