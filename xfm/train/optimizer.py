"""AdamW with the published code's decay groups, and its warm-up and decay of the rate; the language encoder's own rate,
or its own optimizer; Muon for the matrices of the layers.

torch's AdamW where the published code uses HF's: torch adds eps after the bias correction and decays before the update.
The first step already learns (published: rate 0).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch

from ..config import TrainConfig
from ..interventions.layers import depths
from ..model import XFM
from ..runs.precision import reached
from .muon import Momentum, Muon

# The LayerNorms inside ITM's and BBP's heads do decay (published); open_clip's norms and class token do not, as there,
# nor does what an attention function learns (model.attention_functions).
_NO_DECAY = re.compile(r".*(bias|norm\d?\.weight|\.ln_\w+\.weight|class_embedding|\.score\.).*")
_IN_A_LAYER = re.compile(r"(vision|text|fusion)\..*(blocks|layers)\.\d+\.(?!.*\.score\.).*")  # score: a vector a head


def parameter_groups(model: XFM, train: TrainConfig) -> list[dict[str, Any]]:
    """Groups by the `optimizer` that has them, "adamw", "muon" or "sgd", by weight decay, with and without, and by
    `scale`, their share of the rate: `head_lr_scale` of the heads that no warm start brings, `text_lr_scale` of the
    language encoder, 1 of the rest. With `text_layer_decay` d the language encoder's layer i of L has d^(L - i) of that
    (its top one all, its embeddings d^L). `text_sgd_lr` gives the language encoder to SGD, and `muon_lr` the matrices
    of all other layers to Muon: their scales make of the schedule's rate their own. SGD's rates are of another order
    than AdamW's, and its decay is not: a step takes as much of a weight (SGDW: Loshchilov and Hutter, 2019)."""
    names = [name for name, _ in model.named_parameters() if name.startswith("text.")]
    below = dict(zip(names, depths(names, model.text.stack.layers), strict=True)) if names else {}  # none fine-tuned
    top = max(below.values(), default=0)
    rates = {"adamw": train.lr, "muon": train.muon_lr, "sgd": train.text_sgd_lr}
    decay = {"adamw": train.weight_decay, "muon": train.weight_decay}
    decay["sgd"] = train.weight_decay * train.lr / train.text_sgd_lr if train.text_sgd_lr else 0.0
    groups: dict[tuple[str, bool, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim == 2 and _IN_A_LAYER.fullmatch(name)
        by = "sgd" if train.text_sgd_lr and name in below else "muon" if train.muon_lr and matrix else "adamw"
        scale = train.head_lr_scale if model.is_new_head(name) else 1.0
        if name in below:
            scale = train.text_lr_scale * train.text_layer_decay ** (top - below[name])
        scale *= 1.0 if by == "adamw" else rates[by] / train.lr
        groups.setdefault((by, _NO_DECAY.fullmatch(name) is None, scale), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay[by] if decays else 0.0, "scale": scale, "optimizer": by}
        for (by, decays, scale), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


class Joined(torch.optim.Optimizer):
    """Several optimizers, of other parameters each, as one: it has their groups, in their order, and their states."""

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self._share()

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__setstate__(dict(state))  # where a state is loaded: it has groups and states of its own
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for optimizer in self.optimizers:
            optimizer.state, optimizer.param_groups = self.state, [next(groups) for _ in optimizer.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for optimizer in self.optimizers:
            optimizer.step()


def make_optimizer(model: XFM, train: TrainConfig) -> torch.optim.Optimizer:
    """torch's fused AdamW over `parameter_groups`; with `muon_lr` joined with Muon, which computes in the training's
    precision and on a CPU by as many threads as a batch has shards, and with `text_sgd_lr` with SGD."""
    of = {by: [g for g in parameter_groups(model, train) if g["optimizer"] == by] for by in ("adamw", "muon", "sgd")}
    betas, others = (train.beta1, train.beta2), list[torch.optim.Optimizer]()
    adamw = torch.optim.AdamW(of["adamw"], lr=train.lr, betas=betas, eps=train.eps, fused=True)
    if of["muon"]:
        dtype = torch.bfloat16 if reached(train.precision) == "bf16" else torch.float32
        others.append(Muon(of["muon"], train.lr, dtype, train.shards if model.device.type == "cpu" else 1))
    if of["sgd"]:
        others.append(Momentum(of["sgd"], {"lr": train.lr, "momentum": train.text_momentum}))
    return Joined(adamw, *others) if others else adamw


def fuse(optimizer: torch.optim.Optimizer) -> None:
    """AdamW's groups in one kernel each, but for those in which only some parameters are sharded: it takes one kind."""
    for group in (group for group in optimizer.param_groups if "fused" in group):
        group["fused"] = len({type(p.data) for p in group["params"]}) == 1


def rate(train: TrainConfig, step: int) -> float:
    """The learning rate of a step (0-based): linear warm-up, then linear or cosine decay to 0 after the last step."""
    if step < train.warmup:
        return train.lr * (step + 1) / (train.warmup + 1)
    remaining = (train.steps - step) / max(train.steps - train.warmup, 1)
    return train.lr * (remaining if train.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * remaining))


def set_rate(optimizer: torch.optim.Optimizer, train: TrainConfig, step: int) -> float:
    """Sets every group's rate for a step (0-based) by its `scale`; returns the rate of scale 1."""
    now = rate(train, step)
    for group in optimizer.param_groups:
        group["lr"] = now * group["scale"]
    return now
