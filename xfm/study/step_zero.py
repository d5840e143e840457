"""Step 0: what a run's initial weights give, measured as the trained ones are."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..objectives import Pretraining
from ..tasks import evaluate
from ..tasks.finetuning.config import MeasuredSplit
from ..train import Run
from ..train.gradient_interventions import Steering
from ..train.prepare import initial_model
from ..train.teachers import mim_teacher
from . import untrained
from .study_metrics import Measured, evaluated, held_out

__all__ = ["at_step_zero"]


def at_step_zero(run: Run, tasks: Sequence[str], split: MeasuredSplit) -> list[Measured]:
    """The evaluation, and the held-out losses, of the weights that a finished run began with: those of its warm start,
    where it had one. A fine-tuned task has a control of its own for that ("scratch")."""
    config, tokenizer = run.config, run.tokenizer()
    model = initial_model(run).to("cuda" if torch.cuda.is_available() else "cpu")
    steering = Steering.of(model, config, lambda: model, tokenizer)
    teachers = steering.teacher or mim_teacher(run, model.device), steering.mlm_teacher
    losses = untrained.losses(Pretraining(model, config, *teachers), tokenizer)
    results = evaluate(model.eval(), config, tokenizer, split=split, tasks=tasks) if tasks else ()
    return evaluated(results) + held_out(losses, config)
