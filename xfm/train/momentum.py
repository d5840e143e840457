"""Optimizers with a momentum buffer and AdamW's decoupled decay, which torch's SGD has not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

__all__ = ["Decoupled", "Momentum"]


class Decoupled(torch.optim.Optimizer, ABC):
    """w = (1 - rate decay) w - rate size direction."""

    @abstractmethod
    def direction(self, grad: Tensor, buffer: Tensor, group: dict[str, Any]) -> tuple[Tensor, float]:
        """Of a parameter's step, and its size; brings the `buffer`, zeros at first, up to date."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                own = self.state[p]
                if not own:
                    own["momentum_buffer"] = torch.zeros_like(p)
                direction, size = self.direction(p.grad, own["momentum_buffer"], group)
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"] * size)


class Momentum(Decoupled):
    """SGD: v = momentum v + g is the direction."""

    def direction(self, grad: Tensor, buffer: Tensor, group: dict[str, Any]) -> tuple[Tensor, float]:
        return buffer.mul_(group["momentum"]).add_(grad), 1.0
