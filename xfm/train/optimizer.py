"""AdamW with the published code's decay groups, and its warm-up and decay of the rate; the language encoder's own rate,
or its own optimizer.

torch's AdamW where the published code uses HF's: torch adds eps after the bias correction and decays before the update.
The first step already learns (published: rate 0).
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch

from ..config import TrainConfig
from ..interventions.layers import depths
from ..model import XFM

__all__ = ["TwinOptimizer", "fuse", "make_optimizer", "parameter_groups", "rate", "set_rate"]

# The LayerNorms inside ITM's and BBP's heads do decay (published); open_clip's norms and class token do not, as there,
# nor does what an attention function learns (model.attention_functions).
_NO_DECAY = re.compile(r".*(bias|norm\d?\.weight|\.ln_\w+\.weight|class_embedding|\.score\.).*")


def parameter_groups(model: XFM, train: TrainConfig) -> list[dict[str, Any]]:
    """Groups by weight decay, with and without, and by `scale`, their share of the rate: `head_lr_scale` of the heads
    that no warm start brings, `text_lr_scale` of the language encoder, 1 of the rest. With `text_layer_decay` d the
    language encoder's layer i of L has d^(L - i) of that (its top one all, its embeddings d^L); with `text_sgd_lr` its
    groups have a `momentum`, and a scale that makes of the schedule's rate their own."""
    names = [name for name, _ in model.named_parameters() if name.startswith("text.")]
    below = dict(zip(names, depths(names, model.text.stack.layers), strict=True)) if names else {}  # none fine-tuned
    top, sgd = max(below.values(), default=0), train.text_sgd_lr > 0

    def scale(name: str) -> float:
        if name in below:
            own = train.text_lr_scale * (train.text_sgd_lr / train.lr if sgd else 1.0)
            return own * train.text_layer_decay ** (top - below[name])
        return train.head_lr_scale if model.is_new_head(name) else 1.0

    groups: dict[tuple[bool, bool, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        kind = (sgd and name in below, _NO_DECAY.fullmatch(name) is None, scale(name))
        groups.setdefault(kind, []).append(parameter)
    return [
        {"params": groups[by_sgd, decays, share], "weight_decay": train.weight_decay if decays else 0.0, "scale": share}
        | ({"momentum": train.text_momentum} if by_sgd else {})
        for by_sgd, decays, share in sorted(groups)
    ]


class TwinOptimizer(torch.optim.AdamW):
    """AdamW, but of groups with a `momentum` SGD: v = momentum v + g, w = w - rate v, after decay as AdamW's."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        groups = self.param_groups
        try:
            self.param_groups = [group for group in groups if "momentum" not in group]
            super().step(closure)
        finally:
            self.param_groups = groups
        for group in (group for group in groups if "momentum" in group):
            for p in (p for p in group["params"] if p.grad is not None):
                own = self.state[p]
                if not own:  # with a step, which AdamW looks for where it loads a state
                    own |= {"step": torch.zeros(()), "momentum_buffer": torch.zeros_like(p)}
                own["step"] += 1
                moving = own["momentum_buffer"].mul_(group["momentum"]).add_(p.grad)
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(moving, alpha=-group["lr"])


def make_optimizer(model: XFM, train: TrainConfig) -> torch.optim.AdamW:
    """torch's fused AdamW over `parameter_groups`; with `text_sgd_lr` the language encoder's by SGD."""
    kind = TwinOptimizer if train.text_sgd_lr else torch.optim.AdamW
    groups = parameter_groups(model, train)
    return kind(groups, lr=train.lr, betas=(train.beta1, train.beta2), eps=train.eps, fused=True)


def fuse(adamw: torch.optim.Optimizer) -> None:
    """Each group in one kernel, but for those in which only some parameters are sharded: that kernel takes one kind."""
    for group in adamw.param_groups:
        group["fused"] = len({type(p.data) for p in group["params"]}) == 1


def rate(train: TrainConfig, step: int) -> float:
    """The learning rate of a step (0-based): linear warm-up, then linear or cosine decay to 0 after the last step."""
    if step < train.warmup:
        return train.lr * (step + 1) / (train.warmup + 1)
    left = (train.steps - step) / max(train.steps - train.warmup, 1)
    return train.lr * (left if train.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left))


def set_rate(adamw: torch.optim.Optimizer, train: TrainConfig, step: int) -> float:
    """Sets every group's rate for a step (0-based) by its `scale`; returns the rate of scale 1."""
    now = rate(train, step)
    for group in adamw.param_groups:
        group["lr"] = now * group["scale"]
    return now
