"""The effects as tables for people: Markdown, and LaTeX with booktabs."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pandas as pd

from ..config_utils import one_of

Metrics = str | Sequence[str]  # "primary", "all", "" (primary where there are any, else all), or keys
WHAT = ("primary", "all")


def select(table: pd.DataFrame, metrics: Metrics) -> pd.DataFrame:
    """The rows of some metrics, in the table's order. ConfigError for a key that it does not have."""
    primary = table.query("role == 'primary'")
    if metrics == "primary" or (metrics == "" and len(primary)):
        return primary
    if metrics in ("", "all"):
        return table
    keys = [metrics] if isinstance(metrics, str) else list(metrics)
    for key in keys:
        one_of("metrics", key, (*table["metric"].unique(), *WHAT))
    return table.query("metric in @keys")


def to_markdown(table: pd.DataFrame) -> str:
    """A pipe table, primary metrics bold."""
    cells = words(table)
    bold = table["role"].to_numpy() == "primary"
    cells["metric"] = [f"**{m}**" if b else m for m, b in zip(cells["metric"], bold, strict=True)]
    rows = [list(cells.columns), ["---"] * len(cells.columns), *cells.to_numpy().tolist()]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def to_latex(table: pd.DataFrame) -> str:
    """A tabular for \\usepackage{booktabs}, primary metrics bold."""
    cells = words(table)
    cells.columns = [column.replace("%", "\\%") for column in cells.columns]
    bold = pd.DataFrame("", cells.index, cells.columns)
    bold.loc[table["role"].to_numpy() == "primary", "metric"] = "textbf:--rwrap;"
    style: Any = cells.style.hide(axis="index").apply(lambda _: bold, axis=None)
    style = style.format(lambda text: text.replace("−", "$-$"), escape="latex")
    return style.to_latex(hrules=True, column_format="lll" + "r" * (len(cells.columns) - 3))


def words(table: pd.DataFrame) -> pd.DataFrame:
    """Every cell as text. Shares are in per cent, their differences in percentage points."""
    named = list(dict.fromkeys(table["against"]))
    rows = [
        {
            "metric": row.metric,
            "unit": row.unit if not row.better else f"{row.unit}, {row.better} is better",
            "variant": row.variant,
            "n": str(row.n),
            str(named[0]) if len(named) == 1 else "against": number(row.mean_against, row.unit),
            "value": number(row.mean, row.unit),
            "effect": number(row.effect, row.unit, "+"),
            "95 % interval": between(row),
            "p": p_value(row.p),
            "smallest p": p_value(row.p_min),
            "p (Holm)": p_value(row.p_holm),
            "d": minus(f"{row.d:.2f}") if row.d == row.d else "",
            "n for 80 %": "" if pd.isna(row.n_needed) else str(row.n_needed),
            "note": row.note,
        }
        for row in (SimpleNamespace(**r) for r in table.to_dict("records"))
    ]
    cells = pd.DataFrame(rows)
    return cells.loc[:, (cells != "").any()]


def number(value: float, unit: str, sign: str = "") -> str:
    if value != value:
        return ""
    return minus(f"{100 * value:{sign}.2f}" if unit == "%" else f"{value:{sign}.4f}")


def between(row: Any) -> str:
    return f"{number(row.low, row.unit, '+')} to {number(row.high, row.unit, '+')}" if row.low == row.low else ""


def p_value(p: float) -> str:
    return "" if p != p else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def minus(text: str) -> str:
    return text.replace("-", "−")
