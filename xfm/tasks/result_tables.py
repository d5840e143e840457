"""Results as tables: a data frame, lines for a terminal, and several runs side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..base.strings import brief
from .result import Result

if TYPE_CHECKING:
    import pandas as pd


def results_table(results: Sequence[Result]) -> pd.DataFrame:
    """One row per result, with `Result`'s fields as columns; `baseline_name` holds the display name."""
    import pandas as pd

    rows = [dataclasses.asdict(r) | {"baseline_name": r.baseline_label} for r in results]
    return pd.DataFrame(rows, columns=[f.name for f in dataclasses.fields(Result)])


def format_lines(results: Sequence[Result]) -> str:
    """Results as a text table, one line per result; upper bounds of 1 are left out."""
    rows = [("task", "metric", "value", "95 % interval", "n", "baseline", "upper_bound")]
    for r in results:
        baseline = "" if r.baseline is None else f"{r.baseline:.3f} {r.baseline_label}"
        upper_bound = "" if r.upper_bound is None or r.upper_bound == 1 else f"{r.upper_bound:.3f}"
        interval = f"{r.low:.3f} to {r.high:.3f}"
        rows.append((_title(r), r.metric, f"{r.value:.3f}", interval, str(r.n), baseline, upper_bound))
    return _align(rows)


def compare_results(runs: Mapping[str, Sequence[Result]]) -> str:
    """Text table of several runs' evaluations: one line per number, one column per run, with 95 % intervals.

    Lines name the split and seed unless they are the defaults (test, 0).
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
    """Result of a task, metric and condition. KeyError, with all keys, where there is none."""
    for r in results:
        if (r.task, r.metric, r.condition) == (task, metric, condition):
            return r
    keys = ", ".join(f"{(r.task, r.metric, r.condition)}" for r in results)
    raise KeyError(f"no result {(task, metric, condition)}; there are {keys}")
