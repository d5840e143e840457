"""What a study said before it was run, as the tables of its report: admission, detectable effects, margins."""

from __future__ import annotations

from typing import Any

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
    """As text, of each metric that the spec says something of: the effect that it looked for, what these seeds can find
    in 80 % of studies, by the widest spread of the variants, and the margin of equivalence."""
    said = dict.fromkeys((*spec.primary, *spec.detectable, *spec.margins))
    units = dict(effects[["metric", "unit"]].itertuples(index=False, name=None))
    rows = []
    for metric in (m for m in said if m in units):
        found: Any = effects[effects["metric"] == metric]["detectable"].max()
        numbers = spec.detectable.get(metric, float("nan")), found, spec.margins.get(metric, float("nan"))
        unit = "points" if units[metric] == "%" else units[metric]  # they are differences
        rows.append([metric, *(_amount(value, units[metric]).replace("%", unit) for value in numbers)])
    return pd.DataFrame(rows, columns=["metric", "looked for", "found by these seeds", "margin of equivalence"])


def short(spec: Spec, effects: pd.DataFrame) -> list[str]:
    """The metrics whose stated effect these seeds would miss in more than 20 % of studies."""
    found: Any = effects.groupby("metric", sort=False)["detectable"].max()
    return [metric for metric, stated in spec.detectable.items() if found.get(metric, 0.0) > stated]


def _interval(row: Any) -> str:
    return f"{number(row.low, row.unit)} to {number(row.high, row.unit)}" if row.low == row.low else ""


def _amount(value: float, unit: str) -> str:
    text = number(value, unit)
    return f"{text} {unit}" if text else ""
