"""What a finished run leaves to look at: its figures, under `figures/` in its folder."""

from __future__ import annotations

import math
from pathlib import Path

from . import plots
from .config import RunConfig
from .data.streams import Streams
from .evaluation import evaluate_run, examples
from .explain.gradients import GradientTable, table
from .objectives import Pretraining
from .train import Run
from .train.checkpoint import write

EXAMPLES = 8
PASSES = {f"flow.text_gradient.{objective}": 1.0 for objective in ("itm", "imlm", "bbp")}


def gradient_tables(run: Run) -> dict[str, GradientTable]:
    """The trained model's gradient table on one held-out batch, with the stop on and off.

    Guidance by another network (frozen, teacher) is left out of it: the table is about the text's crossings.
    """
    config, model = run.config, run.model()
    batch = Streams(config, run.tokenizer(), "validation")[0]
    stops = {"stop-gradient on": dict.fromkeys(PASSES, 0.0), "stop-gradient off (plain multi-task training)": PASSES}
    own = {"flow.mim_target": "self"} if config.flow.mim_target in ("frozen", "teacher") else {}
    configs = {title: config.replace({**change, **own}) for title, change in stops.items()}
    return {title: table(Pretraining(model, changed), batch) for title, changed in configs.items()}


def chance(config: RunConfig) -> dict[str, float]:
    """By objective, the loss (nats) of a model that knows nothing but the class frequencies."""
    third = 1 / 3
    return {
        "itc": math.log(max(config.data.pairs, 1)),
        "itm": -third * math.log(third) - (1 - third) * math.log(1 - third),
        "mlm": math.log(config.model.text.vocabulary),
        "imlm": math.log(config.model.text.vocabulary),
    }


def write_figures(run: Run) -> list[Path]:
    """Draws a finished run: curves, evaluation, gradient table (PNG and SVG), examples (PNG). Returns the files."""
    shown = examples(run.model(), run.config, run.tokenizer(), "test", EXAMPLES)
    gradients = {title: t.frame().astype(float) for title, t in gradient_tables(run).items()}
    figures = {
        "curves": (plots.learning_curves(run.metrics(), chance(run.config)), ("png", "svg")),
        "evaluation": (plots.evaluation(evaluate_run(run.folder)), ("png", "svg")),
        "gradients": (plots.gradient_table(gradients), ("png", "svg")),
        "retrieval": (plots.retrieval_examples(shown.retrieval), ("png",)),
        "grounding": (plots.grounding_examples(shown.grounding), ("png",)),
        "words": (plots.masked_word_examples(shown.words[: EXAMPLES // 2]), ("png",)),
    }
    folder = run.folder / "figures"
    folder.mkdir(exist_ok=True)
    paths = []
    for name, (figure, kinds) in figures.items():
        for kind in kinds:
            paths.append(folder / f"{name}.{kind}")
            write(paths[-1], figure.bytes(kind))
    return paths
