"""What a study said before it was run, as the tables of its report: admission, detectable effects, margins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .formatting import number
from .spec import Spec

__all__ = ["admission_cells", "power", "short", "unadmitted"]


def admission_cells(admission: pd.DataFrame) -> pd.DataFrame:
    """Study.admission as text."""
    rows: list[Any] = list(admission.itertuples())
    return pd.DataFrame(
        {
            "metric": [row.metric for row in rows],
            "variant": [row.variant for row in rows],
            "seeds": [str(row.n) for row in rows],
            "mean": [_amount(row.mean, row.unit) for row in rows],
            "95 % interval": [_interval(row) for row in rows],
            "baseline": [" ".join(filter(None, (_amount(row.baseline, row.unit), row.baseline_name))) for row in rows],
            "admitted": ["yes" if row.admitted else f"no: {row.why}" for row in rows],
        }
    )


def unadmitted(admission: pd.DataFrame) -> list[str]:
    """The metrics that are not admitted: the results are from before the rule, or the explorations have changed."""
    return [*admission[~admission["admitted"].astype(bool)]["metric"]]


def power(spec: Spec, effects: pd.DataFrame) -> pd.DataFrame:
    """As text, of each metric that the spec says something of: the effect that it looked for; what these seeds can find
    in 80 % of studies, from the variant with the least spread to that with the widest; the margin of equivalence."""
    named = dict.fromkeys((*spec.primary, *spec.detectable, *spec.margins))
    units = dict(effects[["metric", "unit"]].itertuples(index=False, name=None))
    rows = []
    for metric in (m for m in named if m in units):
        own: Any = effects[(effects["metric"] == metric) & effects["detectable"].notna()]
        found = own.sort_values("detectable")
        unit = "points" if units[metric] == "%" else units[metric]  # they are differences
        said = [
            _amount(of.get(metric, np.nan), units[metric]).replace("%", unit) for of in (spec.detectable, spec.margins)
        ]
        ends = [f"{number(row.detectable, row.unit)} {unit} ({row.variant})" for row in found.itertuples()]
        rows.append([metric, said[0], " to ".join(ends[:: max(1, len(ends) - 1)]), said[1]])
    return pd.DataFrame(rows, columns=["metric", "looked for", "found by these seeds", "margin of equivalence"])


def short(spec: Spec, effects: pd.DataFrame) -> list[str]:
    """The metrics whose stated effect these seeds would miss in more than 20 % of studies, and in which variants."""
    stated = effects["metric"].map(lambda metric: spec.detectable.get(metric, np.nan))
    missed: Any = effects[effects["detectable"] > stated].groupby("metric", sort=False)["variant"]
    return [f"{metric} ({', '.join(variants)})" for metric, variants in missed]


def _interval(row: Any) -> str:
    return f"{number(row.low, row.unit)} to {number(row.high, row.unit)}" if row.low == row.low else ""


def _amount(value: float, unit: str) -> str:
    text = number(value, unit)
    return f"{text} {unit}" if text else ""
