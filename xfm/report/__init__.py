"""Report of a finished run: `report.html`, one self-contained file, and its figures as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..base.files import explain_os_error, write_atomically
from ..base.strings import parse_json
from ..config import STREAMS, RunConfig
from ..data import dataset
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..diagnostics.gradient_table import GradientTable, gradient_table, without_teacher
from ..model import XFM
from ..objectives import Pretraining
from ..recipes import ablations, of_config
from ..tasks import evaluate_run, examples
from ..tasks.failure_examples import Examples, right_and_wrong
from ..train import Run, RunError
from . import run_figures
from .page import render

__all__ = ["gradient_tables", "write_report"]

_MOST = 16  # items of a stream that gradients are measured on
_QUESTIONS = (100, 400)  # that examples come from; the second where the first do not have enough of both kinds
_SCALES = {"with the stop (the paper)": 0.0, "without (plain multi-task)": 1.0}


def gradient_tables(run: Run) -> dict[str, GradientTable]:
    """Gradient tables of the trained model on one held-out batch, with the stop-gradient and without.

    Where another network is MIM's teacher, the model's own outputs replace it, or MIM is left out: the stop concerns
    text alone.
    """
    model = run.model()
    config = without_teacher(model, run.config)
    sizes = {f"data.{stream}": min(_MOST, getattr(config.data, stream)) for stream in STREAMS}
    batch = Streams(config.replace(sizes), run.tokenizer(), "validation")[config.train.steps]
    tables = {}
    for title, scale in _SCALES.items():
        changed = config.replace(dict.fromkeys(of_config(config, ablations()["no_stop_gradient"]), scale))
        tables[title] = gradient_table(Pretraining(model, changed), batch)
    return tables


def write_report(run: Run, gradients: Mapping[str, GradientTable] | None = None) -> Path:
    """Writes `report.html` of a finished run, and its figures under `figures/` (PDF, or PNG where they show pictures).

    Args:
        gradients: Tables of `gradient_tables`; None: measured now.

    Returns:
        Path of the report.

    Raises:
        RunError: For an unfinished run, and for an unreadable file of it.
        FileError: For a folder that cannot be written.
    """
    results, records, machine = evaluate_run(run.folder), run.metrics(), _environment(run)
    if not records:
        raise RunError(f"{run.folder / 'metrics.jsonl'}: has no records. Put a good copy back, or train again")
    model = run.model()
    measured = gradient_tables(run) if gradients is None else gradients
    answers = _of_both_kinds(model, run.config, run.tokenizer())
    sections = {
        "training": run_figures.training(records, run.config),
        "throughput": [run_figures.throughput(records)],
        "evaluation": run_figures.evaluation(results),
        "examples": run_figures.examples(answers, dataset(run.config).credit),
        "gradients": [run_figures.gradients(measured)],
    }
    folder = run.folder / "figures"
    with explain_os_error(folder):
        folder.mkdir(exist_ok=True)
    figures, files = run_figures.drawn(sections)
    for name, content in files.items():
        write_atomically(folder / name, content)
    path = run.folder / "report.html"
    write_atomically(path, render(run.config, machine, model, records, results, measured, figures))
    return path


def _of_both_kinds(model: XFM, config: RunConfig, tokenizer: Tokenizer) -> Examples:
    """Answers enough to show what is right and what is wrong of each task, or those to all questions."""
    answers = Examples((), (), ())
    for n in _QUESTIONS:
        answers = examples(model, config, tokenizer, n=n)
        kinds = [kind for own in vars(answers).values() for kind in right_and_wrong(own, run_figures.SHOWN)]
        if all(len(kind) == run_figures.SHOWN for kind in kinds):
            break
    return answers


def _environment(run: Run) -> dict[str, Any]:
    """The machine and versions that trained the run, where it recorded them."""
    path = run.folder / "environment.json"
    try:
        recorded = parse_json(path.read_text("utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: not readable ({error}). Put a good copy back, or delete the file") from error
    return recorded if isinstance(recorded, dict) else {}
