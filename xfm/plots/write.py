"""The figures of a run, as files in its folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from ..batch import tree_map
from ..config import RunConfig
from ..data.streams import Streams
from ..evaluation import evaluate_run, examples
from ..explain.gradients import table
from ..objectives import Pretraining
from ..recipes import ABLATIONS
from ..train import Run
from ..train.checkpoint import named, write
from ..train.start import guide
from .curves import curves, learning_curves, objectives
from .gradients import gradient_table
from .pictures import grounding_examples, masked_word_examples, retrieval_examples
from .results import evaluation
from .style import Figure

BATCH = 16  # items of a stream, at most, for the gradient table
EXAMPLES, WORDS = 8, 6


def write_figures(run: Run) -> list[Path]:
    """Writes the figures of a finished run into its folder's `figures/`, and returns their paths.

    Curves (accuracies where objectives report them), evaluation, gradient table with the stop on and off: PNG and PDF.
    Answers to the first test questions, right or wrong: PNG. The evaluation is made first where it is not there yet.
    Raises RunError where the run is not finished, a file of it is not readable, or the folder cannot be written.
    """
    results = evaluate_run(run.folder)
    config, records = run.config, run.metrics()
    model = run.model().to("cuda" if torch.cuda.is_available() else "cpu")
    found = examples(model, config, run.tokenizer(), n=EXAMPLES)
    plain = {"learning_curves": learning_curves(records, config)}
    if any(curves(records, objective, "accuracy") for objective in objectives(records)):
        plain["accuracy_curves"] = learning_curves(records, config, "accuracy")
    plain["evaluation"] = evaluation(results, f"{config.name}, seed {config.seed}: {results[0].split} split")
    plain["gradients"] = gradient_table(with_and_without_stop(run, Pretraining(model, config)),
                                        "Which loss shapes which part")  # fmt: skip
    pictures = {
        "retrieval": retrieval_examples(found.retrieval),
        "grounding": grounding_examples(found.grounding),
        "masked_words": masked_word_examples(found.words[:WORDS]),
    }
    return save(plain, run.folder / "figures", ("png", "pdf")) + save(pictures, run.folder / "figures", ("png",))


def with_and_without_stop(run: Run, trained: Pretraining) -> dict[str, pd.DataFrame]:
    """The gradient tables of a small held-out batch."""
    config, device = run.config, trained.model.device
    sizes = {f"data.{s}": min(BATCH, getattr(config.data, s)) for s in ("pairs", "regions", "images", "texts")}
    sizes["data.region_images"] = min(BATCH // 2, config.data.region_images)
    batch = Streams(config.replace(sizes), run.tokenizer(), "validation")[config.train.steps]
    batch = tree_map(lambda t: t.to(device), batch)

    def measured(share: float) -> pd.DataFrame:
        changed: RunConfig = config.replace(dict.fromkeys(ABLATIONS["no_stop_gradient"], share))
        return table(Pretraining(trained.model, changed, guide(run, device)), batch).frame()

    return {"with the stop (the paper)": measured(0.0), "without (plain multi-task)": measured(1.0)}


def save(figures: dict[str, Figure], folder: Path, kinds: tuple[str, ...]) -> list[Path]:
    with named(folder):
        folder.mkdir(exist_ok=True)
    paths = []
    for name, figure in figures.items():
        for kind in kinds:
            paths.append(folder / f"{name}.{kind}")
            write(paths[-1], figure.png() if kind == "png" else figure.file(kind))
    return paths
