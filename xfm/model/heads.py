"""Heads that several objectives are built from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def two_layer_head(width: int, outputs: int) -> nn.Sequential:
    """Linear to twice the width, LayerNorm, GELU, Linear: X-FM's ITM and box heads."""
    return nn.Sequential(
        nn.Linear(width, 2 * width), nn.LayerNorm(2 * width, eps=1e-5), nn.GELU(), nn.Linear(2 * width, outputs)
    )


def pooled(encoder: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Ids and mask (B, L) -> (B, 2 D): the language encoder's state of the token that stands for the text, and the mean
    over all."""
    states = encoder(ids, mask)
    return torch.cat([encoder.sentence(states, mask), (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)], 1)


def compared(u: Tensor, v: Tensor) -> Tensor:
    """Two texts' features (..., W) -> (..., 4 W): u, v, |u - v|, u v (InferSent)."""
    return torch.cat([u, v, (u - v).abs(), u * v], -1)


class LMHead(nn.Module):
    """RoBERTa's: dense, GELU, LayerNorm, then a product with a word table that its owner passes in (tied weights)."""

    def __init__(self, width: int, vocabulary: int):
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.act = nn.GELU()
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """hidden (..., D), table (V, D) -> logits (..., V)"""
        return nn.functional.linear(self.norm(self.act(self.dense(hidden))), table, self.bias)
