"""A pretrained model and the head of a task, as a fine-tuning begins."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .. import seeding
from ..config import RunConfig
from ..config_utils import ConfigError
from ..data.tokenizer import Tokenizer
from ..model import XFM
from ..objectives import build as build_model
from ..train import Run
from .config import FinetuneConfig
from .task import Task
from .tasks import TASKS

__all__ = ["Tuned", "headed", "start"]


class Tuned(nn.Module):
    """A model and the head of a task."""

    def __init__(self, model: XFM, head: nn.Module, task: Task, frozen: bool = False):
        super().__init__()
        self.model, self.head, self.task, self.frozen = model, head, task, frozen
        model.requires_grad_(not frozen)

    def is_new_head(self, name: str) -> bool:
        """For the optimizer's groups."""
        return name.startswith("head.")

    def forward(self, batch: Any) -> Tensor:
        return self.task.loss(self.model, self.head, batch)


def start(config: FinetuneConfig) -> Tuned:
    """What is fine-tuned, as it begins. ConfigError where the run's data provide too little for the task."""
    run = Run.open(config.run)
    model: XFM = build_model(run.config.replace({"seed": config.seed})) if config.scratch else run.model()
    return headed(model, run.config, run.tokenizer(), config)


def headed(model: XFM, pretrained: RunConfig, tokenizer: Tokenizer, config: FinetuneConfig) -> Tuned:
    """A model of the config `pretrained` with the head of a task. ConfigError as `start`."""
    kind = TASKS[config.task]
    task = kind(pretrained, tokenizer, config.data, config.shots, config.seed, config.published)
    if lacking := [head for head in kind.heads if head not in pretrained.objectives]:
        has = ", ".join(pretrained.objectives)
        raise ConfigError(f"task = {config.task!r}: starts from the head of {' and '.join(lacking)}; the run has {has}")
    with torch.random.fork_rng([]):
        torch.manual_seed(seeding.seed("head", config.seed, config.task))
        return Tuned(model, task.head(model), task, config.frozen)
