"""What a finished run leaves to look at: its figures, under `figures/` in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import plots
from .config import STREAMS
from .data.streams import Streams
from .evaluation import evaluate_run, examples
from .explain.gradients import GradientTable, table
from .objectives import Pretraining
from .recipes import ABLATIONS
from .train import Run
from .train.checkpoint import named, write

EXAMPLES, WORDS = 8, 6
MOST = 16  # items of a stream that gradients are measured on
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
        title: table(
            Pretraining(model, config.replace(dict.fromkeys(ABLATIONS["no_stop_gradient"], share) | own)), batch
        )
        for title, share in STOPS.items()
    }


def write_figures(run: Run, gradients: Mapping[str, GradientTable]) -> list[Path]:
    """Draws a finished run and returns the files: curves, evaluation and gradient table as PNG and PDF, answers to the
    first test questions, right or wrong, as PNG. `gradients`: what `gradient_tables` measured.

    Raises RunError where the run is not finished, a file of it cannot be read, or the folder cannot be written.
    """
    results, records, config = evaluate_run(run.folder), run.metrics(), run.config
    shown = examples(run.model(), config, run.tokenizer(), n=EXAMPLES)
    title = f"{config.name}, seed {config.seed}: {results[0].split} split"
    figures = {
        "curves": plots.learning_curves(records, config),
        "evaluation": plots.evaluation(results, title),
        "gradients": plots.gradient_table({t: g.frame() for t, g in gradients.items()}, "Which loss shapes which part"),
        "retrieval": plots.retrieval_examples(shown.retrieval),
        "grounding": plots.grounding_examples(shown.grounding),
        "masked_words": plots.masked_word_examples(shown.words[:WORDS]),
    }
    if any(name.endswith("/accuracy") for name in records[-1]):
        figures["accuracies"] = plots.learning_curves(records, config, "accuracy")
    folder, paths = run.folder / "figures", []
    with named(folder):
        folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        for kind in ("png", "pdf") if name in ("curves", "accuracies", "evaluation", "gradients") else ("png",):
            paths.append(folder / f"{name}.{kind}")
            write(paths[-1], figure.bytes(kind))
    return paths
