"""What a finished run leaves to look at: `report.html`, one self-contained file, and its figures as files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import STREAMS, RunConfig
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..diagnostics.gradient_table import GradientTable, gradient_table
from ..evaluation import evaluate_run, examples
from ..evaluation.examples import Examples, right_and_wrong
from ..files import explain_os_error, write_atomically
from ..model import XFM
from ..objectives import Pretraining
from ..recipes import ablations
from ..train import Run, RunError
from . import figures
from .figures import SHOWN, ReportFigure
from .page import render

MOST = 16  # items of a stream that gradients are measured on
QUESTIONS = (100, 400)  # that examples come from; the second where the first do not have enough of both kinds
STOPS = {"with the stop (the paper)": 0.0, "without (plain multi-task)": 1.0}


def gradient_tables(run: Run) -> dict[str, GradientTable]:
    """The trained model's gradient table on one held-out batch, with the stop and without.

    Where another network guides MIM (frozen, teacher), the model's own outputs stand in for it: the stop is about text.
    """
    config, model = run.config, run.model()
    sizes = {f"data.{stream}": min(MOST, getattr(config.data, stream)) for stream in STREAMS}
    batch = Streams(config.replace(sizes), run.tokenizer(), "validation")[config.train.steps]
    own = {"flow.mim_target": "self"} if config.flow.mim_target in ("frozen", "teacher") else {}
    return {
        title: gradient_table(
            Pretraining(model, config.replace(dict.fromkeys(ablations()["no_stop_gradient"], share) | own)), batch
        )
        for title, share in STOPS.items()
    }


def write_report(run: Run, gradients: Mapping[str, GradientTable] | None = None) -> Path:
    """Writes `report.html` of a finished run and returns its path; beside it, under `figures/`, every figure as PDF or,
    where it shows pictures, as PNG. `gradients`: what `gradient_tables` measured, or None: measured now.

    Raises RunError where the run is not finished, a file of it cannot be read, or the folder cannot be written.
    """
    results, records, machine = evaluate_run(run.folder), run.metrics(), environment(run)
    if not records:
        raise RunError(f"{run.folder / 'metrics.jsonl'}: has no records. Put a good copy back, or train again")
    model = run.model()
    measured = gradient_tables(run) if gradients is None else gradients
    shown = of_both_kinds(model, run.config, run.tokenizer())
    sections = {
        "training": figures.training(records, run.config),
        "throughput": [figures.throughput(records)],
        "evaluation": figures.evaluation(results),
        "examples": figures.examples(shown),
        "gradients": [figures.gradients(measured)],
    }
    write_figures(run, [plate for some in sections.values() for plate in some])
    path = run.folder / "report.html"
    write_atomically(path, render(run.config, machine, model, records, results, measured, sections))
    return path


def of_both_kinds(model: XFM, config: RunConfig, tokenizer: Tokenizer) -> Examples:
    """Answers enough to show what is right and what is wrong of each task, or those to all that are asked."""
    shown = Examples((), (), ())
    for n in QUESTIONS:
        shown = examples(model, config, tokenizer, n=n)
        kinds = [kind for answers in vars(shown).values() for kind in right_and_wrong(answers, SHOWN)]
        if all(len(kind) == SHOWN for kind in kinds):
            break
    return shown


def write_figures(run: Run, drawn: Sequence[ReportFigure]) -> None:
    folder = run.folder / "figures"
    with explain_os_error(folder):
        folder.mkdir(exist_ok=True)
    for plate in drawn:
        for name, figure in plate.files().items():
            kind = "png" if plate.pictures else "pdf"
            write_atomically(folder / f"{name}.{kind}", figure.bytes(kind))


def environment(run: Run) -> dict[str, Any]:
    """What trained the run, as it wrote it down; nothing where it did not."""
    path = run.folder / "environment.json"
    try:
        found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: not readable ({error}). Put a good copy back, or delete the file") from error
    return found if isinstance(found, dict) else {}
