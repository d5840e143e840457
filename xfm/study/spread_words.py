"""How much the runs of a study vary, and by what: in sentences and in cells."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..report.describe import listed
from .formatting import number

__all__ = ["CAPTION", "LIMIT", "cells", "sentences"]

CAPTION = (
    "sd: standard deviation of the runs, with its 95\u00a0% interval (chi squared); share: of the variance where every "
    "source varies, in per cent, with its 95\u00a0% interval (F). Metrics that {reference} has learnt."
)
LIMIT = (
    "The intervals suppose normal values and independent runs. Where one source varies the others have one draw, the "
    "same in all runs: with another, shares may be others. Sources interact, and shares need not sum to 100\u00a0%."
)


def sentences(rows: Any, reference: str) -> list[str]:
    """`rows`: of Study.spread. Of each variant the median of its shares, and of how many metrics one is shown to be
    less than all, or more."""
    runs = rows.groupby("variant", sort=False)["n"].max()
    each = listed([f"{n} of {variant}" for variant, n in runs.items()])
    said = [f"Standard deviations over {rows['metric'].nunique()} metrics that {reference} has learnt; runs: {each}."]
    for variant, own in rows[rows["variant"] != reference].dropna(subset="share").groupby("variant", sort=False):
        low, middle, high = (100 * own["share"].quantile(q) for q in (0.25, 0.5, 0.75))
        less, more = int((own["share_high"] < 1).sum()), int((own["share_low"] > 1).sum())
        said.append(
            f"{variant}: {middle:.0f} % of {reference}’s variance in the median metric (quartiles {low:.0f} and "
            f"{high:.0f} %); by their intervals less than all of it in {less} of {len(own)}, more in {more}."
        )
    return said


def cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Every cell as text; standard deviations of shares in percentage points."""
    each: list[Any] = [*rows.itertuples()]
    return pd.DataFrame(
        [
            {
                "metric": row.metric,
                "unit": "points" if row.unit == "%" else row.unit,
                "variant": row.variant,
                "n": str(row.n),
                "sd": number(row.sd, row.unit),
                "95 % interval": _ends(row),
                "share": _share(row.share),
                "95 % interval of the share": _share(row.share_low, row.share_high),
            }
            for row in each
        ],
        dtype=str,
    )


def _share(*values: float) -> str:
    return " to ".join(f"{100 * value:.0f}" for value in values if value == value)


def _ends(row: Any) -> str:
    return " to ".join(number(end, row.unit) for end in (row.sd_low, row.sd_high) if end == end)
