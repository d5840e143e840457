"""AdamW with the published code's decay groups, and its warm-up and decay of the rate; the language encoder's own rate,
or SGD for it; Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/) for the matrices of the layers.

torch's AdamW where the published code uses HF's: torch adds eps after the bias correction and decays before the update.
The first step already learns (published: rate 0). torch's SGD has no decoupled decay, and its Muon always computes in
bf16: without instructions for it (ONEDNN_MAX_CPU_ISA=AVX2) that takes 0.5 s a step of the demo, where fp32 takes 0.04.
In bf16 this Muon's weights are torch's, bit for bit (tests/test_optimizer.py).
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ..config import TrainConfig
from ..interventions.layers import depths
from ..model import XFM
from ..runs.precision import reached

# The LayerNorms inside ITM's and BBP's heads do decay (published); open_clip's norms and class token do not, as there,
# nor does what an attention function learns (model.attention).
_NO_DECAY = re.compile(r".*(bias|norm\d?\.weight|\.ln_\w+\.weight|class_embedding|\.score\.).*")
_IN_A_LAYER = re.compile(r"(vision|text|fusion)\..*(blocks|layers)\.\d+\.(?!.*\.score\.).*")  # score: a vector a head
# of Muon: of the quintic that raises small singular values fastest
A, B, C = 3.4445, -4.775, 2.0315
ITERATIONS, MOMENTUM = 5, 0.95


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


class Decoupled(torch.optim.Optimizer, ABC):
    """w = (1 - rate decay) w - rate size direction."""

    @abstractmethod
    def directions(self, grads: list[Tensor], buffers: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        """Of the steps of a group's parameters; brings the `buffers`, zeros at first, up to date."""

    def size(self, p: Tensor) -> float:
        """Of a parameter's step."""
        return 1.0

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            for p in moved:
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            buffers = [self.state[p]["momentum_buffer"] for p in moved]
            directions = self.directions([p.grad for p in moved], buffers, group)
            for p, direction in zip(moved, directions, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"] * self.size(p))


class Momentum(Decoupled):
    """SGD: v = momentum v + g is the direction."""

    def directions(self, grads: list[Tensor], buffers: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        return [buffer.mul_(group["momentum"]).add_(grad) for grad, buffer in zip(grads, buffers, strict=True)]


class Muon(Decoupled):
    """m = .95 m + .05 g; the direction is .05 g + .95 m (Nesterov) made nearly orthogonal, and a step as large as
    one of AdamW's: times .2 √(the longer side) (Liu et al., 2025, arXiv:2502.16982, section 2.2)."""

    def __init__(self, groups: Any, lr: float, dtype: torch.dtype, threads: int = 1):
        """`dtype`: that the orthogonal matrices are computed in; by so many `threads`, to the same bits."""
        self.dtype, self.threads = dtype, threads
        self.pool = ThreadPoolExecutor(threads, "muon", torch.set_num_threads, (1,)) if threads > 1 else None
        super().__init__(groups, {"lr": lr})

    def directions(self, grads: list[Tensor], buffers: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
        ahead = [g.lerp(b.lerp_(g, 1 - MOMENTUM), MOMENTUM) for g, b in zip(grads, buffers, strict=True)]
        jobs, directions = list[list[int]](), dict[int, Tensor]()
        for shape in dict.fromkeys(g.shape for g in grads):  # at once, in as many parts as there are threads
            which = [i for i, g in enumerate(grads) if g.shape == shape]
            jobs += [which[i :: self.threads] for i in range(min(self.threads, len(which)))]

        def turned(which: list[int]) -> Tensor:
            return orthogonalised(torch.stack([ahead[i] for i in which]), self.dtype)

        for which, made in zip(jobs, (self.pool.map if self.pool else map)(turned, jobs), strict=True):
            directions |= zip(which, made, strict=True)
        return [directions[i] for i in range(len(grads))]

    def size(self, p: Tensor) -> float:
        return 0.2 * max(p.shape) ** 0.5


def orthogonalised(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """(k, m, n) -> (k, m, n) of `dtype`: each with the same singular vectors, and singular values near 1, between .6
    and 1.2, by Newton and Schulz's iteration. Values that are a hundredth of the largest or less are raised, but not as
    far."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.to(dtype)
    x = x.mT if tall else x  # the smaller Gram matrix
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.mT if tall else x
