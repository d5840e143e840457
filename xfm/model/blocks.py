"""What the encoders are stacked from, BEiT's pre-norm block and RoBERTa's post-norm layer, and heads of losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .attention import Attention, Shared
from .kernels import Dropout, Packing


class MLP(nn.Sequential):
    """Linear to `hidden`, GELU, Linear back: (..., width) -> (..., width)"""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)


class DropPath(nn.Module):
    """Stochastic depth: drops a residual branch per sample, scales the kept ones by 1 / keep."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        stays = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * (stays / (1 - self.rate)).to(x.dtype)


class VisionBlock(nn.Module):
    """Pre-norm block with layer scale and drop path (BEiT-v2)."""

    def __init__(self, width: int, heads: int, drop_path: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads, key_bias=False)
        self.mlp = MLP(width, 4 * width)
        self.gamma1, self.gamma2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, S, D), bias (H, S, S) -> (B, S, D)"""
        x = self._add(x, self.gamma1, self.attention(self.norm1(x), bias))
        return self._add(x, self.gamma2, self.mlp(self.norm2(x)))

    def _add(self, x: Tensor, gamma: Tensor, branch: Tensor) -> Tensor:
        drops = self.training and self.drop_path.rate
        return x + self.drop_path(gamma * branch) if drops else torch.addcmul(x, gamma, branch)


class TextLayer(nn.Module):
    """Post-norm layer (RoBERTa); with `memory_width`, cross-attention to image tokens between the two (X-FM, 3.1)."""

    def __init__(
        self,
        width: int,
        heads: int,
        intermediate: int,
        dropout: float,
        memory_width: int = 0,
        function: str = "scaled_dot",
    ):
        """`function`: of the cross-attention."""
        super().__init__()
        self.attention = Attention(width, heads, dropout=dropout)
        self.norm1 = nn.LayerNorm(width, eps=1e-5)
        if memory_width:
            self.cross = Attention(width, heads, memory_width, dropout=dropout, function=function)
            self.cross_norm = nn.LayerNorm(width, eps=1e-5)
        self.mlp = MLP(width, intermediate)
        self.norm2 = nn.LayerNorm(width, eps=1e-5)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        bias: Tensor,
        memory: Callable[[Attention], Tensor | Shared] | None = None,
        memory_bias: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """x (B, L, D), or packed (T, D); bias (B, 1, 1, L); memory: the cross-attention -> its keys and values
        (B, S, 2 D), made here, since its weights may be at hand in its layer's forward alone (FSDP) -> as x"""
        x = self.norm1(x + self.dropout(self.attention(x, bias, packing=packing)))
        if memory is not None:
            x = self.cross_norm(x + self.dropout(self.cross(x, memory_bias, memory(self.cross), packing)))
        return self.norm2(x + self.dropout(self.mlp(x)))


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
