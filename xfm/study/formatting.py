"""The effects as tables for people: Markdown, and LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import pandas as pd

from ..config_utils import one_of

__all__ = ["Metrics", "cells", "interval", "number", "p_value", "select", "to_latex", "to_markdown"]

Metrics = str | Sequence[str]  # "primary", "all", "" (primary where there are any, else all), or keys


def select(table: pd.DataFrame, metrics: Metrics) -> pd.DataFrame:
    """The rows of some metrics, in the table's order. ConfigError for a key that it does not have."""
    primary = table.query("role == 'primary'")
    if metrics == "primary" or (metrics == "" and len(primary)):
        return primary
    if metrics in ("", "all"):
        return table
    keys = [metrics] if isinstance(metrics, str) else list(metrics)
    for key in keys:
        one_of("metrics", key, (*table["metric"].unique(), "primary", "all"))
    return table.query("metric in @keys")


def to_markdown(table: pd.DataFrame) -> str:
    """A pipe table, primary metrics bold; unpadded, so that any of its rows make a table."""
    text = cells(table)
    bold = table["role"].to_numpy() == "primary"
    text["metric"] = [f"**{m}**" if b else m for m, b in zip(text["metric"], bold, strict=True)]
    text = text.map(lambda value: value.replace("|", "\\|"))
    padded = text.to_markdown(index=False, disable_numparse=True) + "\n"
    return re.sub(r" +(?=\|)", " ", re.sub(r"(?<=\|:)-+", "---", padded))


def to_latex(table: pd.DataFrame) -> str:
    """A tabular for \\usepackage{booktabs}, primary metrics bold."""
    text = cells(table)
    text.columns = [column.replace("%", "\\%") for column in text.columns]
    bold = pd.DataFrame("", text.index, text.columns)
    bold.loc[table["role"].to_numpy() == "primary", "metric"] = "textbf:--rwrap;"
    style: Any = text.style.hide(axis="index").apply(lambda _: bold, axis=None)
    style = style.format(lambda value: value.replace("−", "$-$"), escape="latex")
    return style.to_latex(hrules=True, column_format="lll" + "r" * (len(text.columns) - 3))


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Every cell as text. Shares are in per cent, their differences in percentage points."""
    references, records = table["against"].unique(), cast(Iterable[Any], table.itertuples())
    rows = [
        {
            "metric": row.metric,
            "unit": row.unit if not row.better else f"{row.unit}, {row.better} is better",
            "variant": row.variant,
            "n": str(row.n),
            "baseline": " ".join(filter(None, (number(row.baseline, row.unit), row.baseline_name))),
            str(references[0]) if len(references) == 1 else "against": number(row.mean_against, row.unit),
            "value": number(row.mean, row.unit),
            "effect": number(row.effect, row.unit, "+"),
            "95 % interval": interval(row),
            "p": p_value(row.p),
            "smallest p": p_value(row.p_min),
            "p (Holm)": p_value(row.p_holm),
            "d": _minus(f"{row.d:.2f}") if row.d == row.d else "",
            "detectable": number(row.detectable, row.unit),
            "verdict": f"{row.verdict}{' (uncorrected)' if row.verdict and row.judged_by != 'Holm' else ''}",
            "note": row.note,
        }
        for row in records
    ]
    text = pd.DataFrame(rows)
    return text.loc[:, (text != "").any()]


def number(value: float, unit: str, sign: str = "") -> str:
    """ "" for NaN."""
    if value != value:
        return ""
    return _minus(f"{100 * value:{sign}.2f}" if unit == "%" else f"{value:{sign}.4f}")


def interval(row: Any) -> str:
    """The 95 % interval of a row of effects."""
    return f"{number(row.low, row.unit, '+')} to {number(row.high, row.unit, '+')}" if row.low == row.low else ""


def p_value(p: float) -> str:
    """Four digits; an empty text for NaN."""
    return "" if p != p else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
