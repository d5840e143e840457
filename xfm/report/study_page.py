"""A study as one self-contained page, with its figures and tables as files beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..base.files import explain_os_error, write_atomically
from ..base.html_card import card, clipped, table
from ..base.numbers import count, difference_unit, interval, number
from ..data import dataset
from ..plots import Figure
from ..study import Study, code_pin, conclusions
from ..study.comparisons import by_field
from ..study.effects import Metrics, no_pairs, select
from ..study.statistics import EXACT
from ..study.variance import median_shares
from . import sentences
from .page import page
from .run_figures import drawn
from .study_figures import StudyFigures, judge
from .text_tables import admission_cells, as_latex, as_markdown, cells, spread_cells

_SECTIONS = {"question": "What was asked", "design": "Design", "admission": "What admitted the metrics",
             "effects": "Results", "answers": "What came of it", "seeds": "Seed by seed",
             "probes": "What happened inside", "change": "What would change our mind",
             "limits": "What this does not tell", "licences": "Licences and citation"}  # fmt: skip
_TABLE = (
    "baseline: the value without having learnt the task, and an n-gram’s; p: {flips} permutation test; smallest p: the "
    "least that n pairs can give; d: Cohen’s d of the differences; detectable: the smallest true difference that "
    "{test} detects in 80\u00a0% of studies with these seeds (at .05{level}); verdict: {verdict}"
)
_SAME, _OTHERS = "the same test, for others the uncorrected interval,", "for others by the uncorrected interval"
_VERDICTS = {  # by what judges the primary metrics: test, level, verdict
    "Holm": (_SAME, ", for primary metrics divided by the number of tests", "for primary metrics by Holm’s p, "
             + _OTHERS),
    "gatekeeping": (_SAME, ", for primary metrics divided by the number of comparisons",
                    "for primary metrics by p through the gates, " + _OTHERS),
    "interval": ("the uncorrected interval", "", "by the uncorrected interval"),
}  # fmt: skip
_MEANS = (
    "baseline: the value without having learnt the task; means over each variant’s seeds with 95\u00a0% t intervals"
)
_SPREAD = (
    "sd: standard deviation of the runs, with its 95\u00a0% interval (chi squared); share: of the variance where every "
    "source varies, in per cent, with its 95\u00a0% interval (F)."
)
_LIMIT = (
    "An interval that holds zero does not show that there is no effect: its ends say how large one could be, and the "
    "column “detectable” which effects these seeds would have detected. No effect is claimed on a metric whose "
    "baseline no variant beats."
)
_SPREAD_LIMIT = (
    "Intervals of one metric’s share suppose normal values; those of a median are over resampled runs. Where one "
    "source varies the others have one draw, the same in all its runs; another draw may give other shares. Sources "
    "interact: shares need not sum to 100\u00a0%."
)


def card_of(study: Study) -> str:
    """One screen of HTML for a notebook: the question, what is run, and each arm's effect on the first metric."""
    effects = study.effects()
    question = f"<div style='max-width:60em'>{escape(clipped(study.spec.question, 400))}</div>"
    if not len(effects):
        planned = [(variant, len(study.spec.seeds)) for variant in study.spec.variants]
        return card(repr(study), question, table(("arm", "seeds planned"), planned))
    rows = effects.to_dict("records")
    metric, unit, against = (rows[0][column] for column in ("metric", "unit", "against"))
    shown = [
        (r["variant"], r["n"], number(r["effect"], unit, sign=True), interval(r["low"], r["high"], unit, sign=True),
         r["verdict"])
        for r in rows if r["metric"] == metric
    ]  # fmt: skip
    named = metric if f"({unit})" in metric else f"{metric}, {difference_unit(unit)}"
    head = f"{named}, arm − {against}"
    return card(repr(study), question, table((head, "seeds", "effect", "95 % interval", "verdict"), shown))


def figure(study: Study, kind: str = "effects", metrics: Metrics = "", against: str = "") -> Figure:
    """See Study.figure."""
    return StudyFigures(study, against or study.spec.reference).draw(kind, metrics)


def text_table(study: Study, form: Literal["markdown", "latex"], metrics: Metrics = "", against: str = "") -> str:
    """See Study.to_markdown and Study.to_latex."""
    text, bold = _cells(StudyFigures(study, against or study.spec.reference), metrics)
    write, note = {"markdown": (as_markdown, "{}\n\n"), "latex": (as_latex, "% {}\n")}[form]
    why = note.format(no_pairs(study.measurements)) if bold is None else ""
    return why + (write(text, bold or [False] * len(text)) if len(text) else "")


def _cells(now: StudyFigures, metrics: Metrics = "all") -> tuple[pd.DataFrame, list[bool] | None]:
    """The study's table as text, and which rows are bold; without pairs the means that there are, and None."""
    if not now.paired:
        return by_field(now.study.measurements), None
    if now.spread is not None:
        return spread_cells(now.spread), [False] * len(now.spread)
    table = select(now.table, metrics)
    return cells(table), [*(table["role"] == "primary")]


def save(study: Study, against: str = "") -> list[Path]:
    """See Study.save."""
    report, figures = write(study, "", against, ("png", "pdf"))
    folder = study.folder / "figures"
    with explain_os_error(folder):
        folder.mkdir(exist_ok=True)
    files: dict[Path, bytes | str] = {folder / name: content for name, content in figures.items()}
    files[folder / "effects.md"] = text_table(study, "markdown", "all", against)
    files[folder / "effects.tex"] = text_table(study, "latex", "all", against)
    for file, content in files.items():
        write_atomically(file, content)
    return [*files, report]


def write(
    study: Study, path: str | Path = "", against: str = "", kinds: Sequence[str] = ()
) -> tuple[Path, dict[str, bytes]]:
    """Writes the report, and returns its path and its figures as files of these kinds ("png", "pdf"): contents by
    name."""
    now = StudyFigures(study, against or study.spec.reference)
    figures, files = drawn(now.sections(), kinds)
    if not path:  # the folder of a study that was never run is not there
        with explain_os_error(study.folder):
            study.folder.mkdir(parents=True, exist_ok=True)
    target = Path(path) if path else study.folder / "report.html"
    spec, values, results = study.spec, _values(study), _results(study, now)
    answers, abstract = values["answers"], results.pop("abstract")
    lead, *rest = _split(answers.question) if answers else abstract[:1]
    abstract = [*rest, *sentences.baselines(now.table)[: len(spec.primary)], *abstract[not answers :]]
    there = {"probes": bool(figures["probes"]), "admission": values["admission"] is not None}
    there |= {"change": bool(spec.would_change), "answers": bool(answers or values["note"])}
    titles = {name: title for name, title in _SECTIONS.items() if there.get(name, True)}
    question = spec.question[: spec.question.rfind("?") + 1] or spec.question
    title = question or f"What do {count(len(spec.variants), 'variant')} of the recipe {spec.recipe} learn?"
    values |= results | {"lead": lead}
    write_atomically(target, page("study.html.jinja", title, titles, abstract, figures, **values))
    return target, files


def _split(text: str) -> list[str]:
    """The first sentence, with a question before it, and the rest, where there is any."""
    first = re.match(r"([^?]*\?\s)?.*?([.!?](?=\s|$)|$)", text, re.DOTALL)
    end = first.end() if first else len(text)
    return [text[:end], *filter(None, [text[end:].strip()])]


def _values(study: Study) -> dict[str, Any]:
    """What the page says of the study beside its results."""
    spec, data = study.spec, study.measurements
    admission = study.admission() if spec.confirmatory else None
    refused = [] if admission is None else sentences.not_admitted(admission)
    answers = conclusions.read(study.folder, spec.hypotheses)
    code = code_pin.sentences(code_pin.read(study.folder))
    code += code_pin.precisions(spec, study.folder, data.finished)
    return {
        "spec": spec,
        "licences": dataset(next(iter(spec.configs.values()))).licences,
        "design": [*sentences.design(spec), *code],
        "common": {field: json.dumps(value) for field, value in spec.changes.items()},
        "command": f"xfm study {spec.name}",
        "admission": None if admission is None else admission_cells(admission),
        "unadmitted": refused,
        "missing": data.missing().to_dict("records"),
        "answers": answers,
        "note": sentences.answered(spec, answers, data, conclusions.digest(data.results)),
    }


def _results(study: Study, now: StudyFigures) -> dict[str, Any]:
    """The page's abstract, conclusions and tables."""
    spec, data, table = study.spec, study.measurements, now.table
    if now.spread is not None:
        shown = sentences.spread(now.spread, median_shares(data), spec.reference)
        return {"abstract": shown, "conclusions": shown, "table": spread_cells(now.spread), "caption": _SPREAD,
                "limit": _SPREAD_LIMIT, "fields": None, "incomplete": False}  # fmt: skip
    incomplete, why = sentences.provisional(spec, data), [no_pairs(data)]
    abstract = sentences.study_abstract(table, len(data.finished)) if now.paired else why
    concluded = [*sentences.conclusions(table)] if now.paired else why
    concluded += [*sentences.gaps_closed(data), *sentences.front(data)] if now.paired else []
    fields = by_field(data)
    lacks = (fields == "").drop(columns="baseline").to_numpy().any()  # variants do not all have the same metrics
    return {
        "abstract": [*incomplete, *abstract],
        "conclusions": [*incomplete, *concluded],
        "table": _cells(now)[0],
        "caption": _caption(table) if now.paired else _MEANS,
        "limit": _LIMIT,
        "fields": fields if now.paired and len(fields) and lacks else None,
        "incomplete": bool(incomplete),
    }


def _caption(table: pd.DataFrame) -> str:
    flips = "exact sign-flip" if max(table["n"]) <= EXACT else "random sign-flip"
    test, level, verdict = _VERDICTS[judge(table)]
    return _TABLE.format(flips=flips, test=test, level=level, verdict=verdict)
