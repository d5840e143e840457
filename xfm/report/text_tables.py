"""Tables of a study as text: cells, Markdown, and LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, cast

import pandas as pd

from ..base.numbers import amount, difference_unit, interval, number, p_value
from ..base.strings import printable
from ..study.study_metrics import FLOOR, GATES, HEADINGS
from ..tasks.result import NGRAM

_MARKDOWN = re.compile(  # ASCII punctuation that would be markup: within a word _ is none, nor is < before a blank
    r"[\\`*|\[\]~$]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])"
    r"|^[=@]|^[+-](?!\d+\.\d+( to |$))"  # what a spreadsheet would compute, unless it is a number
)
_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "−": "$-$", **{c: f"\\{c}" for c in "&%$#_{}"},
    **{c: f"{{{c}}}" for c in "[]*"},  # at the start of a row the \\ before it would take them
})  # fmt: skip


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
            baselines(row),
            number(row.step_0, row.unit),
            number(row.mean_against, row.unit),
            number(row.mean, row.unit),
            number(row.effect, row.unit, sign=True),
            interval(row.low, row.high, row.unit, sign=True),
            p_value(row.p),
            p_value(row.p_min),
            p_value(row.p_holm),
            number(row.d, digits=2),
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


def baselines(row: Any) -> str:
    """The baseline and, where two neighbours tell more, what an n-gram reaches: "6.9151 unigram, 3.8231 n-gram"."""
    named = (row.baseline, row.baseline_name), (row.ngram, NGRAM)
    return ", ".join(f"{level} {name}".strip() for x, name in named if (level := number(x, row.unit)) or name != NGRAM)


def _verdict(row: Any) -> str:
    uncorrected = row.judged_by == "interval" and row.verdict not in ("", FLOOR)
    return f"{row.verdict} (uncorrected)" if uncorrected else row.verdict


def spread_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of Study.spread as text; shares in per cent, their standard deviations in points."""
    records: list[Any] = [*rows.itertuples()]
    cells = [
        {
            "metric": row.metric,
            "unit": difference_unit(row.unit),
            "variant": row.variant,
            "n": str(row.n),
            "sd": number(row.sd, row.unit),
            "95 % interval": interval(row.sd_low, row.sd_high, row.unit),
            "share": number(row.share, "%", digits=0),
            "95 % interval of the share": interval(row.share_low, row.share_high, "%", digits=0),
        }
        for row in records
    ]
    return pd.DataFrame(cells, dtype=str).map(printable)


def admission_cells(admission: pd.DataFrame) -> pd.DataFrame:
    """Rows of Study.admission as text."""
    rows = [
        (r.part, r.variant, r.metric, str(r.n), amount(r.mean, r.unit), interval(r.low, r.high, r.unit),
         f"{amount(r.baseline, r.unit)} {r.baseline_name}".strip(), "yes" if r.admitted else f"no: {r.why}")
        for r in cast(Iterable[Any], admission.itertuples())
    ]  # fmt: skip
    columns = ["check", "variant", "of", "seeds", "mean", "95 % interval", "baseline", "admitted"]
    return pd.DataFrame(rows, columns=columns, dtype=str)
