"""X-FM's only attention: multi-head, for all three encoders; the choice of kernel is hidden here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..batch import widen
from .attention_functions import FUNCTIONS
from .packing import Packing, waits

__all__ = ["Attention", "additive", "weights_joined_once"]

Joined = tuple[Tensor, Tensor]  # weight and bias

HIDDEN = -1e9  # logit of a key that may not be seen: its weight is exactly 0, and a row of such keys stays finite


def additive(mask: Tensor) -> Tensor:
    """(B, K) bool, or (B, Q, K), where a key may be seen -> (B, 1, 1, K), or (B, 1, Q, K), to add to the logits."""
    logits = torch.zeros_like(mask, dtype=torch.get_default_dtype()).masked_fill(~mask, HIDDEN)
    return logits[:, None, None] if mask.ndim == 2 else logits[:, None]


class Attention(nn.Module):
    """Multi-head attention of `width`, over itself or over a memory of `memory_width`.

    The vision encoder's has no key bias (X-FM follows BEiT); a key bias changes no output, only the parameter list.
    `function`: "scaled_dot", or another of `attention_functions`, which has no kernel but the plain form.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        memory_width: int = 0,
        key_bias: bool = True,
        dropout: float = 0.0,
        function: str = "scaled_dot",
    ):
        super().__init__()
        self.heads, self.dropout, self.of_memory = heads, dropout, memory_width > 0
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory_width or width, width, bias=key_bias)
        self.value = nn.Linear(memory_width or width, width)
        self.out = nn.Linear(width, width)
        self.score = None if function == "scaled_dot" else FUNCTIONS[function](heads, width // heads)
        self.joined: Joined | None = None  # in a step, see weights_joined_once
        self.tap: Callable[[Tensor], Tensor] | None = None  # set by explain.capture: sees (and may replace) the weights

    def forward(
        self, x: Tensor, bias: Tensor | None = None, memory: Tensor | None = None, packing: Packing | None = None
    ) -> Tensor:
        """x (B, Q, D), or (T, D) with the packing of its texts; memory (B, K, 2 D): keys and values (`project`), x's
        own by default; bias broadcasts to (B, H, Q, K) and is added to the logits. Returns x's shape."""
        x = F.linear(x, *self._weights()) if memory is None else self.query(x)
        projected = [x if packing is None else packing.pad(x), *([] if memory is None else [memory])]
        dropout = self.dropout if self.training else 0.0
        if self.training and not dropout and self.tap is None and self.score is None and prefers_explicit(x):
            mixed = _Mix.apply(bias, self.heads, *projected)
        else:
            mixed = self._mix(projected, bias, dropout).transpose(1, 2).flatten(2)
        return self.out(mixed if packing is None else packing.pack(mixed))  # type: ignore[arg-type]

    def _mix(self, projected: list[Tensor], bias: Tensor | None, dropout: float) -> Tensor:
        """Queries, keys and values -> (B, H, Q, d): of the scaled dot product by the plain form or by SDPA"""
        width = self.query.out_features
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in projected for part in each.split(width, -1)
        )
        if self.score is not None:
            return explicit(self.score(q, k), v, bias, dropout, self.tap)
        if self.tap is not None or (self.training and prefers_explicit(q)):
            return explicit((q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-1, -2), v, bias, dropout, self.tap)
        bias = bias.to(q.dtype) if bias is not None else None
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)

    def project(self, memory: Tensor) -> Tensor:
        """(..., memory width) -> (..., 2 D), keys and values side by side: projected once, used by every query."""
        return F.linear(memory, *self._weights())

    def join(self) -> Joined:
        """Weight and bias of what is projected from one input: queries, keys, values; of a memory the last two."""
        return _side_by_side(*([] if self.of_memory else [self.query]), self.key, self.value)

    def _weights(self) -> Joined:
        return self.join() if self.joined is None else self.joined


def _side_by_side(*layers: nn.Linear) -> Joined:
    """The weights of several layers as one's: one product is faster than several, and has the same values."""
    biases = [torch.zeros_like(layer.weight[:, 0]) if layer.bias is None else layer.bias for layer in layers]
    return torch.cat([layer.weight for layer in layers]), torch.cat(biases)


@contextmanager
def weights_joined_once(model: nn.Module) -> Iterator[None]:
    """For a step of several passes on a CPU: in it the attentions' weights are joined once, and not in every pass. On a
    GPU that saves next to nothing, and torch.compile would have to be told of tensors that change under it."""
    attentions = [m for m in model.modules() if isinstance(m, Attention) and not waits(m.out.weight.device)]
    narrow = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    for each in attentions:
        weight, bias = each.join()
        # autocast remembers the parameters that it casts, and not these
        each.joined = (weight, bias) if narrow is None else (weight.to(narrow), bias.to(narrow))
    try:
        yield
    finally:
        for each in attentions:
            each.joined = None


def prefers_explicit(q: Tensor) -> bool:
    """Where the plain form is measured to be faster in training (benchmarks/profile_step.py): on a CPU, where SDPA has
    no fused kernel with dropout or a learnt bias. Without a graph as well: a stop must change no forward value."""
    return not waits(q.device)


def explicit(logits: Tensor, v: Tensor, bias: Tensor | None, dropout: float, tap: Callable | None) -> Tensor:
    """Logits (B, H, Q, K), to which the bias is added in place, and values (B, H, K, d) -> (B, H, Q, d)"""
    weights = (logits if bias is None else logits.add_(bias.to(logits.dtype))).softmax(-1).to(v.dtype)
    if tap is not None:
        weights = tap(weights)
    return F.dropout(weights, dropout) @ v


class _Mix(torch.autograd.Function):
    """`explicit` without dropout or a tap, for short sequences on a CPU: forward and backward in few operations
    and little memory, since there each costs as much as it computes."""

    @staticmethod
    def forward(ctx: Any, bias: Tensor | None, heads: int, *projected: Tensor) -> Tensor:
        """projected: (B, N, 3 D); or queries (B, Q, D), and keys and values (B, K, 2 D). Returns (B, Q, D)."""
        width = sum(x.shape[-1] for x in projected) // 3
        each = [_heads(x, x.shape[-1] // width, heads) for x in projected]
        q, k, v = (part.flatten(0, 1) for x in each for part in x)
        q.mul_((heads / width) ** 0.5)
        logits = widen(torch.bmm(q, k.mT)).unflatten(
            0, (-1, heads)
        )  # a CPU's softmax is slower in bf16, forward and back
        weights = (logits if bias is None else logits.add_(bias)).softmax(-1).to(q.dtype)
        ctx.save_for_backward(q, k, v, weights)
        ctx.sizes = [len(x) for x in each]
        ctx.bias = None if bias is None or not ctx.needs_input_grad[0] else (bias.shape, bias.dtype)
        return _side(torch.bmm(weights.flatten(0, 1), v)[None], heads)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        heads, two = weights.shape[1], weights.flatten(0, 1)
        grad = _heads(grads[0], 1, heads)[0].flatten(0, 1)
        wide = widen(weights)
        logits = torch.ops.aten._softmax_backward_data(widen(torch.bmm(grad, v.mT)).view_as(wide), wide, -1, wide.dtype)
        flat = logits.flatten(0, 1).to(q.dtype)
        by_part = [torch.bmm(flat, k).mul_(q.shape[-1] ** -0.5), torch.bmm(flat.mT, q), torch.bmm(two.mT, grad)]
        parts = iter(by_part)
        given = [_side(torch.stack([next(parts) for _ in range(size)]), heads) for size in ctx.sizes]
        bias = None if ctx.bias is None else logits.sum_to_size(ctx.bias[0]).to(ctx.bias[1])
        return bias, None, *given


def _heads(x: Tensor, parts: int, heads: int) -> Tensor:
    """(B, N, parts D) -> (parts, B, H, N, d), in memory of its own"""
    return x.unflatten(-1, (parts, heads, -1)).permute(2, 0, 3, 1, 4).clone(memory_format=torch.contiguous_format)


def _side(x: Tensor, heads: int) -> Tensor:
    """(parts, B H, N, d) -> (B, N, parts D)"""
    return x.unflatten(1, (-1, heads)).permute(1, 3, 0, 2, 4).flatten(2)
