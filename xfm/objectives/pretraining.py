"""The training forward: a model with the losses of its config, over the streams of one step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..base.fields import one_of
from ..config import STREAMS, ConfigError, RunConfig
from ..flow import Flow
from ..model import XFM, initialise
from ..model.attention import weights_joined_once
from ..model.batch import Batch
from ..model.encoder_calls import join
from ..model.stacks import checkpoint_layers
from .declared import check_declaration, checked_loss
from .registry import OBJECTIVES

Key = tuple[object, ...]
Teacher = Callable[..., Tensor] | None


def check_losses(config: RunConfig) -> None:
    """ConfigError for a loss that is not in `OBJECTIVES` or declares what cannot be, for one that reads contrastive
    features where no loss of the config has the heads for them, for a fusion loss without a fusion encoder, and for a
    gradient scale of a loss that does not cross from text to pictures."""
    for name in config.objectives:
        one_of("objectives", name, OBJECTIVES)
        check_declaration(name, OBJECTIVES[name])
    losses, flow = {name: OBJECTIVES[name] for name in config.objectives}, config.flow
    provided = {tensor for loss in losses.values() for tensor in loss.provides}
    for name in (name for name, loss in losses.items() if "features" in loss.reads and "features" not in provided):
        lent = "add objectives.itc (at weight 0 it only lends them)"
        raise ConfigError(f"objectives.{name}: reads contrastive features, which no loss has heads for; {lent}")
    for name in (name for name in flow.text_gradient if name in losses and not losses[name].crosses()):
        crossing = ", ".join(n for n, loss in losses.items() if loss.crosses())
        raise ConfigError(f"flow.text_gradient.{name}: {name} does not cross from text to pictures; {crossing} do")
    learnt = {n for losses_of in losses_by_stream(config).values() for n in losses_of if config.weight(n) > 0}
    fused = [name for name in losses if name in learnt and losses[name].kind() == "fusion"]
    if fused and config.model.fusion_depth == 0:
        raise ConfigError(f"model.fusion_depth = 0: must be at least 1, or {', '.join(fused)} at weight 0 (blind)")
    reaching = any(flow.text_gradient.get(name, losses[name].text_gradient) for name in fused)
    if flow.fusion_gradient != "plain" and not reaching:
        wrong = f"flow.fusion_gradient = {flow.fusion_gradient!r}: no fusion loss reaches the language encoder"
        raise ConfigError(f"{wrong}; let one in, by flow.text_gradient.<loss> or +no_stop_gradient")


def build(config: RunConfig) -> XFM:
    """The model of a config, with the initial weights of its seed. Raises ConfigError as `check_losses` does."""
    check_losses(config)
    model = XFM(config.model, {n: loss(config) for n, loss in OBJECTIVES.items() if n in config.objectives})
    initialise(model, config.drawn_by("weights"))
    return model


def weights_at(config: RunConfig, step: int) -> dict[str, float]:
    """The weight of each loss that is on at a step."""
    losses = {name: config.objectives[name] for name in OBJECTIVES if name in config.objectives}
    return {n: o.weight for n, o in losses.items() if o.weight > 0 and step >= int(o.start * config.train.steps)}


def weighted_sum(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """Over streams and losses; losses by "stream/objective", weights by objective."""
    return sum((weights[name.split("/")[1]] * loss for name, loss in losses.items()), torch.zeros(()))


def losses_by_stream(config: RunConfig) -> dict[str, list[str]]:
    """Of each stream that the config has on, the losses of the config that learn from it."""
    on = [stream for stream in STREAMS if getattr(config.data, stream)]
    return {s: [n for n, loss in OBJECTIVES.items() if n in config.objectives and s in loss.streams] for s in on}


class Pretraining(nn.Module):
    """The batches of one step in, `(losses, report)` out, each by "stream/objective"."""

    def __init__(self, model: XFM, config: RunConfig, mim_teacher: Teacher = None, mlm_teacher: Teacher = None):
        """The teachers: see `Flow`."""
        super().__init__()
        self.model, self.config, self.mim_teacher, self.mlm_teacher = model, config, mim_teacher, mlm_teacher
        self.checked: set[str] = set()  # "stream/objective", where a gradient was seen to reach an encoder
        self.layered = config.train.checkpoint_activations or config.train.strategy == "fsdp"
        if config.train.checkpoint_activations:
            checkpoint_layers(model)

    def fused(self, stream: str, parts: int = 1) -> int:
        """How many pairs of each of `parts` parts of a batch go through the fusion encoder; 0: all."""
        return -(-self.config.data.fusion_batch // parts) if stream == "pairs" else 0

    def flow(
        self, batch: Batch, stream: str, on: Iterable[str], key: Key, parts: int = 1, shuffled: bool = False
    ) -> Flow:
        """The forward pass of one stream, for the losses of `on` that learn from it."""
        losses: dict[str, Any] = dict(self.model.objectives.items())
        active = tuple(name for name in losses if name in on and stream in losses[name].streams)
        more = self.mim_teacher, self.mlm_teacher, self.fused(stream, parts) or None, shuffled
        return Flow(self.model, batch[stream], self.config.flow, active, (*key, stream), *more)

    def forward(
        self, batch: Batch, on: Iterable[str], key: Key, parts: int = 1, shuffled: bool = False
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """`on`: the losses to compute; `key`: (seed, step[, part]) of every draw; `parts`: of how many parts of a
        step's batch this is one; `shuffled`: texts are fused with other texts' pictures."""
        for objective in self.model.objectives.values():
            objective.constrain()  # type: ignore[operator]
        losses, report = dict[str, Tensor](), dict[str, Tensor]()
        flows = {stream: self.flow(batch, stream, on, key, parts, shuffled) for stream in batch}
        # a layer that is sharded, or computed again, has its weights within its own forward alone
        with nullcontext() if self.layered else weights_joined_once(self.model):
            join([*flows.values()])
            for stream, flow in flows.items():
                for name, at in ((name, f"{stream}/{name}") for name in flow.active):
                    first = torch.is_grad_enabled() and at not in self.checked
                    out = checked_loss(self.model.objectives[name], flow, name, gradient=first)
                    losses[at] = out.loss
                    self.checked |= {at} if first else set()
                    report |= {f"{at}/{k}": v for k, v in out.report.items()}
        return losses, report
