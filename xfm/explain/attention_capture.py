"""The attention of any model as it runs: X-FM's own, and torch's `MultiheadAttention` (open_clip's towers).

    with capture(model, "fusion.*.cross", gradients=True) as captured:
        model(...)[0].backward()
    captured.weights["fusion.layers.1.cross"]    # (B, H, Q, K), the last call's
    captured.gradients["fusion.layers.1.cross"]  # of what was differentiated, by these weights

Outside `capture` nothing is recorded or slower. Inside, outputs stay the same up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config_utils import ConfigError, nearest
from ..model.attention import Attention

__all__ = ["Captured", "attentions", "capture"]

_Tap = Callable[[Tensor], Tensor]


class Captured:
    """By the dotted name of an attention, in the order in which they first ran."""

    def __init__(self, gradients: bool):
        self.weights: dict[str, Tensor] = {}  # (B, H, Q, K) of the last call
        self.calls: dict[str, int] = {}
        self._gradients = gradients

    @property
    def gradients(self) -> dict[str, Tensor]:
        """By the weights of the last calls; 0 where what was differentiated does not depend on them. ConfigError
        without `gradients=True`."""
        if not self._gradients:
            raise ConfigError("gradients = False: must be True in `capture` for gradients to be kept")
        return {n: torch.zeros_like(w) if w.grad is None else w.grad for n, w in self.weights.items()}

    def differentiate(self, output: Tensor) -> None:
        """Fills `gradients` with those of a scalar; unlike `backward` it touches no parameter's `.grad`."""
        weights = list(self.weights.values())
        gradients = torch.autograd.grad(output, weights, allow_unused=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient

    def _tap(self, name: str) -> _Tap:
        def record(weights: Tensor) -> Tensor:
            if self._gradients:
                if not weights.requires_grad:  # frozen weights, or an input without a graph: a graph begins here
                    weights = weights.requires_grad_()
                weights.retain_grad()
            self.weights[name] = weights if self._gradients else weights.detach()
            self.calls[name] = self.calls.get(name, 0) + 1
            return weights

        return record


@contextmanager
def capture(model: nn.Module, pattern: str = "*", gradients: bool = False) -> Iterator[Captured]:
    """Records every attention whose dotted name fits the pattern (* and ?, as for file names), call by call.

    Use it in eval mode: a captured attention draws its dropout differently. With `gradients`, use it inside
    `torch.enable_grad()`, and differentiate before they are read. ConfigError where no name fits, with the nearest.
    """
    known = attentions(model)
    chosen = {name: module for name, module in known.items() if fnmatchcase(name, pattern)}
    if not chosen:
        hint = nearest(pattern, known, after=" ")
        raise ConfigError(f"pattern = {pattern!r}: fits no attention; {hint}there are {', '.join(known) or 'none'}")
    captured = Captured(gradients)
    undo = [_tapped(module, captured._tap(name)) for name, module in chosen.items()]
    try:
        yield captured
    finally:
        for restore in undo:
            restore()


def attentions(model: nn.Module) -> dict[str, nn.Module]:
    """Dotted name -> every attention of the model."""
    return {n: m for n, m in model.named_modules() if isinstance(m, Attention | nn.MultiheadAttention)}


def _tapped(module: Any, tap: _Tap) -> Callable[[], None]:
    """Sends the weights of an attention through `tap`; returns what undoes it."""
    if isinstance(module, Attention):
        before, module.tap = module.tap, tap
        return lambda: setattr(module, "tap", before)

    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        **rest: Any,
    ) -> tuple[Tensor, None]:
        if key_padding_mask is not None or (rest.get("is_causal") and attn_mask is None):
            raise ConfigError("key_padding_mask, is_causal: must be given as attn_mask for weights to be captured")
        return _explicit(module, query, key, value, attn_mask, tap), None

    module.forward = forward
    return lambda: delattr(module, "forward")


def _explicit(
    module: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, tap: _Tap
) -> Tensor:
    """`nn.MultiheadAttention.forward`, whose own form lets no gradient reach the weights that it returns."""
    heads, first = module.num_heads, module.batch_first
    inputs = [t if first else t.transpose(0, 1) for t in (query, key, value)]
    if module.in_proj_weight is not None:
        matrices: Any = module.in_proj_weight.chunk(3)
    else:
        matrices = module.q_proj_weight, module.k_proj_weight, module.v_proj_weight
    biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    q, k, v = (
        F.linear(x, w, b).unflatten(-1, (heads, -1)).transpose(1, 2)
        for x, w, b in zip(inputs, matrices, biases, strict=True)
    )
    logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=logits.dtype).masked_fill(mask, -math.inf)
        logits = logits + (mask.unflatten(0, (-1, heads)) if mask.ndim == 3 else mask)
    weights = F.dropout(tap(logits.softmax(-1)), module.dropout, module.training)
    out = module.out_proj((weights @ v).transpose(1, 2).flatten(-2))
    return out if first else out.transpose(0, 1)
