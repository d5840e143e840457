"""Gradient masking: some numbers of a shared encoder are trained by one kind of loss, the rest by the other."""

from __future__ import annotations

import torch
from torch import Tensor

from .vectors import Grads, added


def masked(own: Grads, other: Grads, masks: list[Tensor]) -> Grads:
    """M ∘ own + (1 - M) ∘ other: MLM's gradient where a number is its own, the fusion losses' where it is not (Li et
    al. 2021, 2112.07074, which splits a transformer shared by text and pictures so)."""
    ours = [None if g is None else g * m for g, m in zip(own, masks, strict=True)]
    theirs = [None if h is None else h * ~m for h, m in zip(other, masks, strict=True)]
    return added([ours, theirs])


def mask(importance: Tensor, share: float) -> Tensor:
    """True for the `share` of a tensor's numbers that are most important, to the nearest whole number; the first of
    equal ones."""
    order = importance.flatten().argsort(descending=True, stable=True)
    chosen = torch.zeros_like(importance, dtype=torch.bool)
    chosen.view(-1)[order[: round(share * importance.numel())]] = True
    return chosen


def observed(importance: Tensor, weight: Tensor, grad: Tensor | None) -> Tensor:
    """A running sum and |w g| of MLM's gradient, the first-order change of its loss without the number (Molchanov et
    al. 2017): the mask settles as the sum grows, where the paper alternates between finding it and training."""
    return importance if grad is None else importance + (weight.data * grad).abs()
