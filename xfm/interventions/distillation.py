"""Distillation of MLM to the warm start: the model's predictions of hidden tokens stay near those that it had."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def mlm_of(start: Any) -> Callable[[Any, Callable[[Tensor], Tensor]], Tensor]:
    """A frozen copy of a model's language encoder and MLM head: of texts' tokens and of what picks the states of
    hidden tokens, (B, L, D) -> (K, D), the logits (K, V)."""
    text, mlm = (copy.deepcopy(part).eval().requires_grad_(False) for part in (start.text, start.objectives["mlm"]))

    @torch.no_grad()
    def logits(tokens: Any, pick: Callable[[Tensor], Tensor]) -> Tensor:
        return mlm.head(pick(text(tokens.masked_ids, tokens.mask)), text.word.weight)

    return logits


def divergence(logits: Tensor, start: Tensor) -> Tensor:
    """KL(start || model) in nats of predictions given as logits (K, V) -> (K,); at temperature 1"""
    ours, theirs = (t.float().log_softmax(-1) for t in (logits, start))
    return (theirs.exp() * (theirs - ours)).sum(-1)


class SilentGradient(torch.autograd.Function):
    """A loss's gradient without its value: `loss + SilentGradient.apply(other)` is `loss`, and trains both."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]
