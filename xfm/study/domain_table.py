"""A study as the paper's main table: what each model has learnt of every task, by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..base.strings import printable
from .comparisons import intervals
from .formatting import number
from .study_metrics import FAMILIES, Metric

__all__ = ["by_field"]


def by_field(
    values: pd.DataFrame, levels: Mapping[str, float], known: Mapping[str, Metric], variants: Sequence[str],
    metrics: Sequence[str], ranks: pd.DataFrame,
) -> pd.DataFrame:  # fmt: skip
    """A row a metric, by field, and one for each field's mean rank; a column a variant, its cells "mean (low to high)"
    over the variant's own seeds (t, 95 %), "" where a variant has no such metric; and the baseline. `values`: as of
    `outcomes.counted`; `levels`: each metric's mean baseline; `ranks`: rows of Study.mean_ranks."""
    rows = []
    for family in (f for f in FAMILIES if f in set(values["family"])):
        own = values[values["family"] == family]
        for metric in (m for m in metrics if m in set(own["metric"])):
            of, unit = known.get(metric, Metric()), known.get(metric, Metric()).unit
            row = {"field": family, "metric": printable(metric), "baseline": number(levels.get(metric, np.nan), unit)}
            row["baseline"] = f"{row['baseline']} ({of.baseline_name})" if row["baseline"] else ""
            for variant in variants:
                runs: Any = own[(own["metric"] == metric) & (own["variant"] == variant)]["value"]
                row[variant] = _cell(intervals(runs.to_numpy()), unit) if len(runs) else ""
            rows.append(row)
        ranked: Any = ranks[ranks["family"] == family].set_index("variant")
        if len(ranked) and ranked["n"].iloc[0]:  # else they have no seed in common yet
            name = f"mean rank, {ranked['metrics'].iloc[0]} metrics"
            told = {v: _cell(ranked.loc[v, ["rank", "low", "high"]], "") for v in ranked.index}
            rows.append({"field": family, "metric": name, "baseline": ""} | {v: told.get(v, "") for v in variants})
    return pd.DataFrame(rows, columns=["field", "metric", "baseline", *variants], dtype=str)


def _cell(mean_low_high: Iterable[Any], unit: str) -> str:
    mean, low, high = (float(x) * (100 if unit == "%" else 1) for x in mean_low_high)
    digits = 1 if unit == "%" else 2
    ends = f" ({low:.{digits}f} to {high:.{digits}f})" if low == low else ""
    return f"{mean:.{digits}f}{ends}".replace("-", "−")
