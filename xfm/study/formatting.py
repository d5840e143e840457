"""The effects as tables for people: Markdown, and LaTeX with booktabs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import pandas as pd

from ..base.fields import one_of
from ..base.strings import printable
from .study_metrics import FLOOR

__all__ = [
    "GATES",
    "HEADINGS",
    "Metrics",
    "as_latex",
    "as_markdown",
    "cells",
    "interval",
    "number",
    "p_value",
    "select",
    "to_latex",
    "to_markdown",
]

Metrics = str | Sequence[str]  # "primary", "all", "" (primary where there are any, else all), or keys
HEADINGS = ("metric", "unit", "variant", "n", "baseline", "step 0", "against", "value", "effect",
            "95 % interval", "p", "smallest p", "p (Holm)", "d", "detectable", "stated", "margin", "equivalent",
            "verdict", "note")  # fmt: skip
GATES = "p (gates)"  # what "p (Holm)" is called where there are gates
# of the tables; "against" gives way to the label of what all are compared with, where that is one
_MARKDOWN = re.compile(  # ASCII punctuation that would be markup: within a word _ is none, nor is < before a blank
    r"[\\`*|\[\]~$]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])"
    r"|^[=@]|^[+-](?!\d+\.\d+( to |$))"  # what a spreadsheet would compute, unless it is a number
)
_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "−": "$-$", **{c: f"\\{c}" for c in "&%$#_{}"},
    **{c: f"{{{c}}}" for c in "[]*"},  # at the start of a row the \\ before it would take them
})  # fmt: skip


def select(table: pd.DataFrame, metrics: Metrics) -> pd.DataFrame:
    """The rows of some metrics, in the table's order; "all" but controls, which nothing makes better, unless there is
    nothing else. ConfigError for a key that it does not have."""
    primary = table.query("role == 'primary'")
    if metrics == "primary" or (metrics == "" and len(primary)):
        return primary
    if metrics in ("", "all"):
        judged = table.query("role != 'control'")
        return judged if len(judged) else table
    keys = [metrics] if isinstance(metrics, str) else list(metrics)
    for key in keys:
        one_of("metrics", key, (*table["metric"].unique(), "primary", "all"))
    return table.query("metric in @keys")


def to_markdown(table: pd.DataFrame) -> str:
    """Effects as a pipe table, primary metrics bold."""
    return as_markdown(cells(table), table["role"] == "primary")


def to_latex(table: pd.DataFrame) -> str:
    """Effects as a tabular, primary metrics bold."""
    return as_latex(cells(table), table["role"] == "primary")


def as_markdown(text: pd.DataFrame, bold: Iterable[bool]) -> str:
    """Cells of text as a pipe table, some rows' first in bold; a row is a line, so that any of them make a table."""
    head, *rows = _escaped(text, bold, lambda cell: _MARKDOWN.sub(r"\\\g<0>", cell), "**{}**")
    top, *lines = ("".join(f"| {cell} " if cell else "| " for cell in row) + "|" for row in (head, *rows))
    return "\n".join([top, f"|{':---|' * len(head)}", *lines]) + "\n"


def as_latex(text: pd.DataFrame, bold: Iterable[bool]) -> str:
    """Cells of text as a tabular for \\usepackage{booktabs}, some rows' first in bold; a row is a line."""
    head, *rows = _escaped(text, bold, lambda cell: cell.translate(_LATEX), r"\textbf{{{}}}")
    begin = rf"\begin{{tabular}}{{lll{'r' * (len(head) - 3)}}}"
    top, *lines = (rf"{' & '.join(row)} \\" for row in (head, *rows))
    return "\n".join([begin, r"\toprule", top, r"\midrule", *lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _escaped(text: pd.DataFrame, bold: Iterable[bool], escape: Callable[[str], str], form: str) -> list[list[str]]:
    """The headings and the rows of cells, escaped."""
    rows = [[escape(cell) for cell in row] for row in (text.columns, *text.to_numpy())]
    for row, strong in zip(rows[1:], bold, strict=True):
        row[0] = form.format(row[0]) if strong else row[0]
    return rows


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Every cell as text of one line, without empty columns. Shares are in per cent, their differences in percentage
    points."""
    records = cast(Iterable[Any], table.itertuples())
    rows = [
        [
            row.metric,
            row.unit if not row.better else f"{row.unit}, {row.better} is better",
            row.variant,
            str(row.n),
            " ".join(filter(None, (number(row.baseline, row.unit), row.baseline_name))),
            number(row.step_0, row.unit),
            number(row.mean_against, row.unit),
            number(row.mean, row.unit),
            number(row.effect, row.unit, "+"),
            interval(row),
            p_value(row.p),
            p_value(row.p_min),
            p_value(row.p_holm),
            _minus(f"{row.d:.2f}") if row.d == row.d else "",
            number(row.detectable, row.unit),
            number(row.stated, row.unit),
            number(row.margin, row.unit),
            f"{row.equivalent}, p {p_value(row.p_equivalent)}" if row.equivalent else "",
            _verdict(row),
            row.note,
        ]
        for row in records
    ]
    text = pd.DataFrame(rows, columns=list(HEADINGS), dtype=str).map(printable)
    used = text.loc[:, [name in HEADINGS[:3] or (text[name] != "").any() for name in HEADINGS]]
    references = table["against"].unique()
    names = {"against": str(references[0])} if len(references) == 1 else {}
    if "gatekeeping" in [*table["correction"]]:
        names["p (Holm)"] = GATES
    return used.rename(columns=names)


def _verdict(row: Any) -> str:
    uncorrected = row.judged_by == "interval" and row.verdict not in ("", FLOOR)
    return f"{row.verdict} (uncorrected)" if uncorrected else row.verdict


def number(value: float, unit: str, sign: str = "") -> str:
    """ "" for NaN."""
    if not math.isfinite(value):
        return "" if value != value else "∞" if value > 0 else "−∞"
    return _minus(f"{100 * value:{sign}.2f}" if unit == "%" else f"{value:{sign}.4f}")


def interval(row: Any) -> str:
    """The 95 % interval of a row of effects."""
    return f"{number(row.low, row.unit, '+')} to {number(row.high, row.unit, '+')}" if row.low == row.low else ""


def p_value(p: float) -> str:
    """Four digits; an empty text for NaN."""
    return "" if p != p else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
