"""Optimizers with a momentum buffer and AdamW's decoupled decay, which torch's SGD has not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor


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
