"""X-FM's only attention: multi-head, for all three encoders; the choice of kernel is hidden here."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

__all__ = ["Attention", "additive"]

HIDDEN = -1e9  # logit of a key that may not be seen: its weight is exactly 0, and a row of such keys stays finite


def additive(mask: Tensor) -> Tensor:
    """(B, K) bool, True where a key may be seen -> (B, 1, 1, K) to add to the logits."""
    return rearrange(
        torch.zeros_like(mask, dtype=torch.get_default_dtype()).masked_fill(~mask, HIDDEN), "b k -> b 1 1 k"
    )


class Attention(nn.Module):
    """Multi-head attention of `width`, over itself or over a memory of `memory_width`.

    The vision encoder's has no key bias (X-FM follows BEiT); a key bias changes no output, only the parameter list.
    """

    def __init__(self, width: int, heads: int, memory_width: int = 0, key_bias: bool = True, dropout: float = 0.0):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory_width or width, width, bias=key_bias)
        self.value = nn.Linear(memory_width or width, width)
        self.out = nn.Linear(width, width)
        self.tap: Callable[[Tensor], Tensor] | None = None  # set by explain.capture: sees (and may replace) the weights

    def forward(self, x: Tensor, bias: Tensor | None = None, memory: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """x (B, Q, D); memory: projected keys and values, each (B, K, D), x's own by default; bias broadcasts to
        (B, H, Q, K) and is added to the logits. Returns (B, Q, D)."""
        k, v = memory if memory is not None else self.project(x)
        q, k, v = (rearrange(t, "b n (h d) -> b h n d", h=self.heads) for t in (self.query(x), k, v))
        dropout = self.dropout if self.training else 0.0
        if self.tap is not None or (self.training and prefers_explicit(q)):
            mixed = explicit(q, k, v, bias, dropout, self.tap)
        else:
            bias = bias.to(q.dtype) if bias is not None else None
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)
        return self.out(rearrange(mixed, "b h n d -> b n (h d)"))

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(..., K, memory width) -> keys and values, each (..., K, D): projected once, used by every query."""
        return self.key(memory), self.value(memory)


def prefers_explicit(q: Tensor) -> bool:
    """Where the plain form is measured to be faster in training (benchmarks/step_time.py): on a CPU, where SDPA has no
    fused kernel with dropout or a learnt bias. Without a graph as well: a stop must change no forward value."""
    return q.device.type == "cpu"


def explicit(
    q_BHQd: Tensor, k_BHKd: Tensor, v_BHKd: Tensor, bias: Tensor | None, dropout: float, tap: Callable | None
) -> Tensor:
    logits = (q_BHQd * (1 / math.sqrt(q_BHQd.shape[-1]))) @ k_BHKd.transpose(-1, -2)
    weights = (logits if bias is None else logits + bias.to(logits.dtype)).softmax(-1)
    if tap is not None:
        weights = tap(weights)
    return F.dropout(weights, dropout) @ v_BHKd
