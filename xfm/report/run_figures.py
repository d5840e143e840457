"""The numbered figures of a report: each drawn once, for the page and for the files beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .. import plots
from ..base.numbers import percent
from ..base.workers import gather
from ..config import RunConfig
from ..diagnostics.gradient_table import GradientTable
from ..objectives.base import Measure
from ..plots import Figure
from ..plots.curve_records import by_objective
from ..runs.run import Record
from ..tasks import Result
from ..tasks.failure_examples import Examples, Grounded, Masked, Retrieved, right_and_wrong

SHOWN = 4  # examples that are right, and as many that are wrong

_EXAMPLES: dict[str, tuple[str, Callable[..., Figure], int]] = {  # by task: title, artist, columns
    "retrieval": ("Which caption is the picture’s?", plots.retrieval_examples, SHOWN),
    "grounding": ("Where is what the phrase names?", plots.grounding_examples, SHOWN),
    "words": ("Which name is hidden?", plots.masked_word_examples, 2),
}


@dataclass(frozen=True)
class ReportFigure:
    """A numbered figure: one or more drawings with one caption."""

    name: str  # of its files, and of the element on the page
    title: str
    caption: str
    drawings: Mapping[str, Figure]  # by their description for screen readers
    pictures: bool = False  # shows pictures
    note: str = ""  # what is missing, and why
    drawn: Sequence[str] = ()  # its <svg> elements, one a drawing, that `drawn` makes

    def files(self) -> dict[str, Figure]:
        """By the name of the file, without its ending."""
        many = len(self.drawings) > 1
        return {f"{self.name}-{i}" if many else self.name: f for i, f in enumerate(self.drawings.values(), 1)}


def drawn(
    sections: Mapping[str, Sequence[ReportFigure]], kinds: Sequence[str] | None = None
) -> tuple[dict[str, list[ReportFigure]], dict[str, bytes]]:
    """The sections with every drawing made, side by side, and the figures' files: their contents by name. `kinds`: of
    the files ("png", "pdf"); None: as suits each figure."""
    made = iter(gather([partial(_draw, figure, kinds) for section in sections.values() for figure in section]))
    files: dict[str, bytes] = {}
    ready: dict[str, list[ReportFigure]] = {name: [] for name in sections}
    for name, section in sections.items():
        for figure in section:
            svgs, own = next(made)
            ready[name].append(replace(figure, drawn=svgs))
            files |= own
    return ready, files


def _draw(figure: ReportFigure, kinds: Sequence[str] | None) -> tuple[list[str], dict[str, bytes]]:
    own = ("png" if figure.pictures else "pdf",) if kinds is None else kinds
    drawings = figure.files().items()
    files = {f"{name}.{kind}": drawing.bytes(kind) for name, drawing in drawings for kind in own}
    svgs = [drawing.svg(name, label) for (name, drawing), label in zip(drawings, figure.drawings, strict=True)]
    return svgs, files


def training(records: Sequence[Record], config: RunConfig) -> list[ReportFigure]:
    """Learning curves: losses, then the accuracies that losses report."""
    figures = []
    titles: dict[Measure, str] = {"loss": "Learning curves", "accuracy": "Scores that the losses report"}
    for measure, title in titles.items():
        curves = by_objective(records[-1:], measure)
        ends = [f"{o.upper()} on {s} ends at {y[-1]:.3g}" for o, own in curves.items() for s, (_, y) in own.items()]
        if ends:
            name = "curves" if measure == "loss" else "accuracies"
            drawing = plots.learning_curves(records, config, measure)
            figures.append(ReportFigure(name, title, "", {f"{title}: {'; '.join(ends)}": drawing}))
    return figures


def throughput(records: Sequence[Record]) -> ReportFigure:
    """Steps a second over the run, and the time spent waiting for data."""
    seconds, waited = (sum(r[name] for r in records) for name in ("seconds", "waited"))
    label = f"On average {len(records) / seconds:.2f} steps per second, {percent(waited / seconds)} waiting for data"
    return ReportFigure("throughput", "Throughput", "", {label: plots.throughput(records)})


def evaluation(results: Sequence[Result]) -> list[ReportFigure]:
    """A figure for each family, more for a family of many results."""
    figures = []
    for family in dict.fromkeys(r.family for r in results):
        pages = plots.evaluation_pages([r for r in results if r.family == family])
        for i, page in enumerate(pages, 1):
            part = f" ({i} of {len(pages)})" if len(pages) > 1 else ""
            slug = re.sub("[^a-z0-9]+", "-", family.lower())
            name = "-".join(filter(None, ("evaluation", slug, str(i) if part else "")))
            title = f"Evaluation{': ' if family else ''}{family}{part}"
            label = f"{title}, {len(page)} results; the table below has all numbers"
            figures.append(ReportFigure(name, title, "", {label: plots.evaluation(page)}))
    return figures


def examples(answers: Examples, credit: str) -> list[ReportFigure]:
    """The first right and the first wrong answers of each task; `credit`: of the pictures."""
    figures = []
    for task, (title, draw, columns) in _EXAMPLES.items():
        own: Sequence[Any] = getattr(answers, task)
        if not own:  # the data source lacks what the task needs
            continue
        count, right = len(own), sum(a.right for a in own)
        caption = f"Of the first {count} answers {right} are right, {percent(right / count)}."
        drawings, missing = {}, []
        for kind, chosen in zip(("Right", "Wrong"), right_and_wrong(own, SHOWN), strict=True):
            if chosen:
                label = f"{title} {kind}: {'; '.join(map(_described, chosen))}"
                drawings[label] = draw(chosen, kind, columns=columns, credit=credit)
            else:
                missing.append(f"{kind}: none of the first {count} answers.")
        figures.append(ReportFigure(task, title, caption, drawings, True, " ".join(missing)))
    return figures


def _described(answer: Retrieved | Grounded | Masked) -> str:
    """For screen readers."""
    if isinstance(answer, Retrieved):
        return f"to “{answer.caption}” the nearest is “{answer.top[0][0]}”"
    if isinstance(answer, Grounded):
        return f"“{answer.phrase}”, IoU {answer.iou:.2f}"
    guess, other_guess = answer.guesses[0][0].strip(), answer.other_guesses[0][0].strip()
    return f"“{answer.caption}”, hidden: {answer.word}, guessed: {guess}; given another picture: {other_guess}"


def gradients(tables: Mapping[str, GradientTable]) -> ReportFigure:
    """The gradient table, with and without the stop."""
    title = "Which loss shapes which part"
    drawing = plots.gradient_table({name: table.frame() for name, table in tables.items()})
    return ReportFigure("gradients", title, "", {f"{title}: the table below has all numbers": drawing})
