"""How much the runs of a study vary, and by what: in sentences and in cells."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from ..base.strings import printable
from ..report.run_sentences import listed
from .formatting import number

__all__ = ["LIMIT", "Told", "cells", "sentences", "tell"]

CAPTION = (
    "sd: standard deviation of the runs, with its 95\u00a0% interval (chi squared); share: of the variance where every "
    "source varies, in per cent, with its 95\u00a0% interval (F)."
)
LIMIT = (
    "Intervals of one metric’s share suppose normal values; those of a median are over resampled runs. Where one "
    "source varies the others have one draw, the same in all its runs; with another, shares may be others. "
    "Sources interact: shares need not sum to 100\u00a0%."
)


class Told(NamedTuple):
    """What a report says in the place of effects."""

    metrics: list[str]
    sentences: list[str]
    cells: pd.DataFrame
    caption: str


def tell(rows: pd.DataFrame, medians: pd.DataFrame, reference: str) -> Told:
    """`rows`: of Study.spread; `medians`: of Study.median_shares."""
    said = sentences(rows, medians, reference)
    return Told([*rows["metric"].unique()], said, cells(rows), CAPTION)


def sentences(rows: Any, medians: Any, reference: str) -> list[str]:
    """How many metrics and runs there are, and of each variant the median share of each family."""
    runs = listed([f"{n} of {variant}" for variant, n in rows.groupby("variant", sort=False)["n"].max().items()])
    kinds = listed([f"{n} of {family}" for family, n in medians.groupby("family", sort=False)["metrics"].max().items()])
    which = f"metrics, without those on which no variant beats the baseline: {kinds}"
    which = which if kinds else "all metrics, for on none a variant beats the baseline"
    said = [f"Standard deviations of {which}; runs: {runs}."]
    for variant, own in medians.dropna(subset="share").groupby("variant", sort=False):
        shares = listed([f"{_share(r.share)} % of {r.family}{_between(r)}" for r in own.itertuples()])
        said.append(f"{variant}: of {reference}’s variance, in the median metric, {shares}.")
    return said


def _between(row: Any) -> str:
    ends = _share(row.share_low, row.share_high)
    return f" (95 % interval {ends} %)" if ends else ""


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
    ).map(printable)


def _share(*values: float) -> str:
    return " to ".join(f"{100 * value:.0f}" for value in values if value == value)


def _ends(row: Any) -> str:
    return " to ".join(number(end, row.unit) for end in (row.sd_low, row.sd_high) if end == end)
