"""A pretrained model and the head of a task, as a fine-tuning begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...base import seeding
from ...config import ConfigError, RunConfig
from ...data.tokenizer import Tokenizer
from ...model import XFM
from ...model.modes import eval_mode
from ...objectives import build as build_model
from ...train import Run
from ..task_registry import TRAINABLE, why_not
from .config import FinetuneConfig
from .task import Answer, Frozen, Hidden, Trainable


class Tuned(nn.Module):
    """A model and the head of a task. What is frozen has no gradient, and is in eval mode while the rest trains."""

    def __init__(self, model: XFM, head: nn.Module, task: Trainable, frozen: Frozen = ""):
        super().__init__()
        self.model, self.head, self.task = model, head, task
        copies = [getattr(head, name) for name in getattr(head, "of_encoders", ())]
        encoders = [module for name, module in model.named_children() if name != "fusion"]
        self._frozen = {"": [], "encoders": [*encoders, *copies], "model": [model, *copies]}[frozen]
        for module in self._frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Tuned:
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    @torch.inference_mode()
    def answers(self, texts: Sequence[str], images: Sequence[Any], hidden: Hidden = "") -> list[Answer]:
        """What it says to one item's texts about its pictures (see `images.prepare`), both as the task's tests have
        them; the likeliest first, where the task ranks answers."""
        with eval_mode(self):  # type: ignore[arg-type]
            batch = self.task.batch([self.task.asked(texts, images)], self.model.device, hidden)
            return self.task.ranked(self.model, self.head, batch)[0]

    def learnt(self) -> dict[str, Tensor]:
        """The entries of the state dict that the pretrained model does not have: all but what is frozen."""
        frozen = {id(t) for module in self._frozen for t in module.state_dict(keep_vars=True).values()}
        return {name: t.detach() for name, t in self.state_dict(keep_vars=True).items() if id(t) not in frozen}

    def load_learnt(self, weights: Mapping[str, Tensor]) -> None:
        """Loads what `learnt` returned. ValueError, naming the first, where other names are there, or other shapes."""
        wanted = self.learnt()
        for name in sorted(wanted.keys() | weights.keys()):
            has, needs = (tuple(tensors[name].shape) if name in tensors else "nothing" for tensors in (weights, wanted))
            if has != needs:
                raise ValueError(f"{name} has {has}, this model needs {needs}")
        self.load_state_dict(weights, strict=False)

    def is_new_head(self, name: str) -> bool:
        """For the optimizer's groups."""
        return name.startswith("head.")

    def forward(self, batch: Any) -> Tensor:
        return self.task.loss(self.model, self.head, batch)


def require_pretrained(config: RunConfig, task: str) -> None:
    """ConfigError where a run of this config lacks what a task starts from."""
    if reason := why_not(task, config, "finetune"):
        raise ConfigError(reason)


def start(config: FinetuneConfig) -> Tuned:
    """What is fine-tuned, as it begins. ConfigError where the run lacks what the task starts from, or its data provide
    too little for it."""
    run = Run.open(config.run)
    model: XFM = build_model(run.config.replace({"seed": config.seed})) if config.scratch else run.model()
    return headed(model, run.config, run.tokenizer(), config)


def headed(model: XFM, pretrained: RunConfig, tokenizer: Tokenizer, config: FinetuneConfig) -> Tuned:
    """A model of the config `pretrained` with the head of a task. ConfigError as `start`."""
    require_pretrained(pretrained, config.task)
    kind = TRAINABLE[config.task]
    task = kind(pretrained, tokenizer, config.data, config.shots, config.seed, config.published)
    with torch.random.fork_rng([]):
        torch.manual_seed(seeding.seed("head", config.seed, config.task))
        return Tuned(model, task.head(model), task, config.frozen)
