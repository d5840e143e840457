"""Step 0: what a run's initial weights give, measured as the trained ones are."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..batch import sent, tree_map
from ..data.streams import Streams
from ..downstream.config import MeasuredSplit
from ..evaluation import evaluate
from ..model import XFM
from ..objectives import Pretraining, weights_at
from ..train import Run
from ..train.loop import HELD_OUT_BATCHES
from ..train.run import Record
from ..train.setup import initial_model, mim_teacher
from .metrics import HELD_OUT, Measured, evaluated, held_out

__all__ = ["untrained"]


def untrained(run: Run, tasks: Sequence[str], split: MeasuredSplit) -> list[Measured]:
    """The evaluation, and the held-out losses, of the weights that a finished run began with: those of its warm start,
    where it had one. A fine-tuned task has a control of its own for that ("scratch")."""
    model = initial_model(run, resumed=False).to("cuda" if torch.cuda.is_available() else "cpu")
    losses = held_out(_held_out(run, model), run.config)
    results = evaluate(model.eval(), run.config, run.tokenizer(), split=split, tasks=tasks) if tasks else ()
    return evaluated(results) + losses


@torch.no_grad()
def _held_out(run: Run, model: XFM) -> Record:
    """As the training's last record has them, in single precision."""
    config, sums = run.config, dict[str, float]()
    pretraining = Pretraining(model, config, mim_teacher(run, model.device)).eval()
    streams, on = Streams(config, run.tokenizer(), "validation"), weights_at(config, config.train.steps)
    for i in range(HELD_OUT_BATCHES):
        batch = tree_map(lambda t: sent(t, model.device), streams[config.train.steps + i])
        losses, _ = pretraining(batch, on, (config.seed, "validation", i))
        for name, value in losses.items():
            key = f"{HELD_OUT}/{name}"
            sums[key] = sums.get(key, 0.0) + float(value) / HELD_OUT_BATCHES
    return sums
