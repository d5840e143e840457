"""Optimizers with a momentum buffer and AdamW's decoupled decay, which torch's SGD has not: SGD itself, and Muon
(Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/), an optimizer for matrices.

torch's Muon always computes in bf16. Without instructions for it (ONEDNN_MAX_CPU_ISA=AVX2) that takes 0.5 s a step of
the demo, where fp32 takes 0.04. In bf16 this one's weights are torch's, bit for bit (tests/test_optimizer.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

A, B, C = 3.4445, -4.775, 2.0315  # of the quintic that raises small singular values fastest
ITERATIONS = 5
MOMENTUM = 0.95


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
        jobs, directions = self._jobs([g.shape for g in grads]), dict[int, Tensor]()

        def turned(which: list[int]) -> Tensor:
            return orthogonalised(torch.stack([ahead[i] for i in which]), self.dtype)

        for which, made in zip(jobs, (self.pool.map if self.pool else map)(turned, jobs), strict=True):
            directions |= zip(which, made, strict=True)
        return [directions[i] for i in range(len(grads))]

    def _jobs(self, shapes: Sequence[torch.Size]) -> list[list[int]]:
        """All of a shape at once, as small products cost calls; but in as many parts as there are threads."""
        jobs = []
        for shape in dict.fromkeys(shapes):
            which = [i for i, each in enumerate(shapes) if each == shape]
            jobs += [which[i :: self.threads] for i in range(min(self.threads, len(which)))]
        return jobs

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
