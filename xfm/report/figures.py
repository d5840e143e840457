"""The numbered figures of a report: each drawn once, for the page and for the files beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import plots
from ..config import RunConfig
from ..diagnostics.gradient_table import GradientTable
from ..evaluation import Result
from ..evaluation.examples import Examples, Grounded, Masked, Retrieved, right_and_wrong
from ..plots import Figure
from ..plots.curves import Measure
from ..train.run import Record
from .describe import percent

SHOWN = 4  # examples that are right, and as many that are wrong

CURVES = (
    "Every panel is one objective, every line one of the streams that it learns from: pale each step, strong a running "
    "mean, marks held-out data. Dotted: what is reached by chance. Grey: steps before the objective joins. The strip "
    "along the top of a panel is the curriculum."
)
EVALUATION = (
    "A dot is a mean over n questions, its bar the 95\u00a0% bootstrap interval over questions; the cross is what is "
    "reached without having learnt the task (its name stands beside the heading), the upright line what a perfect "
    "model would reach where that is less than everything. A full dot: the interval leaves the cross out."
)
GRADIENTS = (
    "Norms of each objective’s gradient (columns) at each module (rows), of the trained model on one held-out batch, "
    "one objective at a time, unweighted. Hatched: no path, which is not the same as a gradient of 0. Framed: a path "
    "in one of the two tables only, so what the stop-gradient cuts."
)
EXAMPLES: dict[str, tuple[str, Callable[..., Figure], int, str]] = {  # by task: title, artist, columns, how to read it
    "retrieval": ("Which caption is the picture’s?", plots.retrieval_examples, SHOWN,
                  "Below each picture the captions of the gallery that the model finds nearest, with their cosines; "
                  "the right one is ticked. Right: it comes first."),
    "grounding": ("Where is what the phrase names?", plots.grounding_examples, SHOWN,
                  "Drawn through: the true box; dashed: the predicted one. Right: they share at least half of the area "
                  "that they cover together (IoU 0.5). Pictures with several objects only."),
    "words": ("Which name is hidden?", plots.masked_word_examples, 2,
              "The likeliest words with their probabilities, as the model sees the caption’s own picture (left) and "
              "another (right), which tells what the picture contributes. Right: the first word beside its own."),
}  # fmt: skip


@dataclass(frozen=True)
class ReportFigure:
    """A numbered figure: one or more drawings with one caption."""

    name: str  # of its files, and of the element on the page
    title: str
    caption: str
    drawings: Mapping[str, Figure]  # by what is read out in their place
    pictures: bool = False  # shows pictures: as a file it is a PNG, else a PDF
    note: str = ""  # what is missing, and why

    def files(self) -> dict[str, Figure]:
        """By the name of the file, without its ending."""
        many = len(self.drawings) > 1
        return {f"{self.name}-{i}" if many else self.name: f for i, f in enumerate(self.drawings.values(), 1)}

    def svgs(self) -> list[str]:
        """One <svg> element a drawing."""
        return [f.svg(name, label) for (name, f), label in zip(self.files().items(), self.drawings, strict=True)]


def training(records: Sequence[Record], config: RunConfig) -> list[ReportFigure]:
    plates = [curves(records, config, "curves", "Learning curves", "loss")]
    if any(key.endswith(f"/{name}") for key in records[-1] for name in plots.curves.ACCURACIES):
        plates.append(curves(records, config, "accuracies", "What the objectives report besides", "accuracy"))
    return plates


def curves(records: Sequence[Record], config: RunConfig, name: str, title: str, measure: Measure) -> ReportFigure:
    label = f"{title}: {ends(records, measure)}"
    return ReportFigure(name, title, CURVES, {label: plots.learning_curves(records, config, measure)})


def ends(records: Sequence[Record], measure: Measure) -> str:
    """The last value of every curve, in words."""
    found = plots.curves.series(records[-1:])
    return "; ".join(
        f"{objective.upper()} on {stream} ends at {values[-1]:.3g}"
        for objective in plots.curves.objectives(records[-1:])
        for stream, (_, values) in plots.curves.curves(found, objective, measure).items()
    )


def throughput(records: Sequence[Record]) -> ReportFigure:
    seconds, waited = (sum(r[name] for r in records) for name in ("seconds", "waited"))
    label = f"On average {len(records) / seconds:.2f} steps a second, {percent(waited / seconds)} waiting for data"
    caption = (
        "Left: steps a second, medians of short windows; it falls where an objective joins. Right: the share of the "
        "time for which the loop waited for its next batch."
    )
    return ReportFigure("throughput", "Throughput", caption, {label: plots.throughput(records)})


def evaluation(results: Sequence[Result]) -> list[ReportFigure]:
    """A figure for each family, more for a family of many results."""
    plates = []
    for family in dict.fromkeys(r.family for r in results):
        pages = plots.evaluation_pages([r for r in results if r.family == family])
        for i, page in enumerate(pages, 1):
            part = f" ({i} of {len(pages)})" if len(pages) > 1 else ""
            slug = re.sub("[^a-z0-9]+", "-", family.lower())
            name = "-".join(filter(None, ("evaluation", slug, str(i) if part else "")))
            title = f"Evaluation{': ' if family else ''}{family}{part}"
            label = f"{title}, {len(page)} results; the table below has all numbers"
            caption = EVALUATION if not plates else "To be read as the first figure of this section."
            plates.append(ReportFigure(name, title, caption, {label: plots.evaluation(page)}))
    return plates


def examples(shown: Examples) -> list[ReportFigure]:
    plates = []
    for task, (title, draw, columns, reading) in EXAMPLES.items():
        answers: Sequence[Any] = getattr(shown, task)
        count, right = len(answers), sum(a.right for a in answers)
        caption = (
            f"The first {SHOWN} right and the first {SHOWN} wrong answers in the order of the questions, not chosen "
            f"otherwise. Of the first {count} answers {right} are right, {percent(right / count)}. {reading}"
        )
        drawings, missing = {}, []
        for kind, some in zip(("Right", "Wrong"), right_and_wrong(answers, SHOWN), strict=True):
            if some:
                drawings[f"{title} {kind}: {'; '.join(map(told, some))}"] = draw(some, kind, columns=columns)
            else:
                missing.append(f"{kind}: none of the first {count} answers.")
        plates.append(ReportFigure(task, title, caption, drawings, True, " ".join(missing)))
    return plates


def told(answer: Retrieved | Grounded | Masked) -> str:
    """The answer in words, for who does not see the figure."""
    if isinstance(answer, Retrieved):
        return f"to “{answer.caption}” the nearest is “{answer.top[0][0]}”"
    if isinstance(answer, Grounded):
        return f"“{answer.phrase}”, IoU {answer.iou:.2f}"
    first, elsewhere = answer.guesses[0][0].strip(), answer.other_guesses[0][0].strip()
    return f"“{answer.caption}”, hidden: {answer.word}, guessed: {first}; beside another picture: {elsewhere}"


def gradients(tables: Mapping[str, GradientTable]) -> ReportFigure:
    title = "Which loss shapes which part"
    drawing = plots.gradient_table({t: table.frame() for t, table in tables.items()})
    return ReportFigure("gradients", title, GRADIENTS, {f"{title}: the table below has all numbers": drawing})
