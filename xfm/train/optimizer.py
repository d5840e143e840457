"""AdamW with the published code's decay groups, and its warm-up and decay of the rate.

torch's AdamW where the published code uses HF's: torch adds eps after the bias correction and decays before the update.
The first step already learns (published: rate 0).
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch

from ..config import TrainConfig
from ..model import XFM

__all__ = ["fuse", "make_optimizer", "parameter_groups", "rate", "set_rate"]

# The LayerNorms inside ITM's and BBP's heads do decay (published); open_clip's norms and class token do not, as there,
# nor does what an attention function learns (model.attention_functions).
_NO_DECAY = re.compile(r".*(bias|norm\d?\.weight|\.ln_\w+\.weight|class_embedding|\.score\.).*")


def parameter_groups(model: XFM, train: TrainConfig) -> list[dict[str, Any]]:
    """Groups by weight decay, with and without, and by `scale`, their share of the rate: `head_lr_scale` of the heads
    that no warm start brings, `text_lr_scale` of the language encoder, 1 of the rest."""

    def scale(name: str) -> float:
        new, text = model.is_new_head(name), name.startswith("text.")
        return train.head_lr_scale if new else train.text_lr_scale if text else 1.0

    groups: dict[tuple[bool, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault((_NO_DECAY.fullmatch(name) is None, scale(name)), []).append(parameter)
    return [
        {"params": groups[decays, share], "weight_decay": train.weight_decay if decays else 0.0, "scale": share}
        for decays, share in sorted(groups)
    ]


def make_optimizer(model: XFM, train: TrainConfig) -> torch.optim.AdamW:
    """torch's fused AdamW over `parameter_groups`."""
    return torch.optim.AdamW(
        parameter_groups(model, train), lr=train.lr, betas=(train.beta1, train.beta2), eps=train.eps, fused=True
    )


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
