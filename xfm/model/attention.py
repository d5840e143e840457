"""X-FM's only attention: multi-head, for all three encoders; the choice of kernel is hidden here.

What a query makes of a key before the softmax ("Understanding Attention for Vision-and-Language Tasks", Cao et al.,
2022) is the scaled dot product, which has kernels, or a module of FUNCTIONS: (B, H, Q, d), (B, H, K, d) -> logits
(B, H, Q, K), at least in float32; what it learns, it learns for each head. Weight decay leaves that alone: it would
pull the bilinear form to zero, and not to the dot product that it starts as.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import kernels
from .batch import widen
from .kernels import Mix, Packing, Spread, take, waits

Joined = tuple[Tensor, Tensor]  # weight and bias
HIDDEN = -1e9  # logit of a key that may not be seen: its weight is exactly 0, and a row of such keys stays finite


def additive(mask: Tensor) -> Tensor:
    """(B, K) bool, or (B, Q, K), where a key may be seen -> (B, 1, 1, K), or (B, 1, Q, K), to add to the logits."""
    logits = torch.zeros_like(mask, dtype=torch.get_default_dtype()).masked_fill(~mask, HIDDEN)
    return logits[:, None, None] if mask.ndim == 2 else logits[:, None]


class Dot(nn.Identity):
    """q · k (Luong et al., 2015). No parameters."""

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        return widen(q @ k.mT)


class General(nn.Module):
    """q · W k, bilinear (Luong et al., 2015). H d² parameters; W starts as the identity: as the dot product."""

    def __init__(self, heads: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(size).repeat(heads, 1, 1))

    def initial_value(self, _: str) -> Tensor:
        return torch.eye(self.weight.shape[-1])

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        return widen(q @ self.weight @ k.mT)


class Additive(nn.Module):
    """v · tanh(q + k) (Bahdanau et al., 2015), whose two matrices are the projections of queries and keys. H d
    parameters; v starts as the weight of PyTorch's Linear of d inputs. It keeps Q K d numbers a head for the backward
    pass, where the others keep Q K."""

    def __init__(self, heads: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads, size).uniform_(-(size**-0.5), size**-0.5))

    def initial_draw(self, _: str) -> tuple[str, float, float]:
        bound = self.weight.shape[-1] ** -0.5
        return "uniform", -bound, bound

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        summed = q[..., :, None, :] + k[..., None, :, :]  # (B, H, Q, K, d)
        return widen((summed.tanh() @ self.weight[:, None, :, None].to(q.dtype))[..., 0])


class Cosine(nn.Module):
    """cos(q, k) / temperature (Liu et al., 2022: Swin v2). H parameters: the temperatures' logarithms. A temperature
    starts as 0.1 and is clamped to [0.01, 1]; the clamp lets gradients through, so that it can leave a bound again."""

    RANGE, START = (0.01, 1.0), 0.1

    def __init__(self, heads: int, size: int):
        super().__init__()
        self.log_temperature = nn.Parameter(torch.full((heads,), math.log(self.START)))

    def initial_value(self, _: str) -> float:
        return math.log(self.START)

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        free = widen(self.log_temperature)
        with torch.no_grad():
            back = free.clamp(*map(math.log, self.RANGE)) - free
        temperature = (free + back).exp()[:, None, None]
        return F.normalize(widen(q), dim=-1) @ F.normalize(widen(k), dim=-1).mT / temperature


FUNCTIONS: dict[str, type[nn.Module]] = {"dot": Dot, "general": General, "additive": Additive, "cosine": Cosine}


@dataclass(frozen=True)
class Shared:
    """Keys and values of items of which several of N queries may look at one, projected once: an item's tokens are its
    own, and its picture's patches."""

    pooled: Tensor  # (m, 2 D)
    patches: Tensor  # (n, P, 2 D)
    item: Tensor  # (N,) int64, that each query looks at
    picture: Tensor  # (N,) int64, of that item

    def spread(self) -> Tensor:
        """(N, 1 + P, 2 D)"""
        return torch.cat([take(self.pooled, self.item)[:, None], take(self.patches, self.picture)], 1)

    def heads(self, heads: int) -> Tensor:
        """(2, N, H, 1 + P, d), where `spread` would be copied to"""
        return Spread.apply(heads, self.item, self.picture, self.pooled, self.patches)  # type: ignore[return-value]


class Attention(nn.Module):
    """Multi-head attention of `width`, over itself or over a memory of `memory_width`.

    The vision encoder's has no key bias (X-FM follows BEiT); a key bias changes no output, only the parameter list.
    `function`: "scaled_dot", or one of FUNCTIONS, which have no kernel but the plain form.
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
        self,
        x: Tensor,
        bias: Tensor | None = None,
        memory: Tensor | Shared | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """x (B, Q, D), or (T, D) with the packing of its texts; memory (B, K, 2 D): keys and values (`project`), x's
        own by default, or what B texts share; bias broadcasts to (B, H, Q, K) and is added to the logits. Returns x's
        shape."""
        x = F.linear(x, *self._weights()) if memory is None else self.query(x)
        queries, dropout = x if packing is None else packing.pad(x), self.dropout if self.training else 0.0
        short = self.training and self.tap is None and self.score is None and prefers_explicit(x)
        if isinstance(memory, Shared):
            memory = memory.heads(self.heads) if short else memory.spread()
        projected = [queries] if memory is None else [queries, memory]
        if short:
            mixed = Mix.apply(bias, self.heads, dropout, *projected)
        else:
            mixed = self._mix(projected, bias, dropout).transpose(1, 2).flatten(2)
        return self.out(mixed if packing is None else packing.pack(mixed))  # type: ignore[arg-type]

    def _mix(self, projected: list[Tensor], bias: Tensor | None, dropout: float) -> Tensor:
        """Queries, keys and values -> (B, H, Q, d): of the scaled dot product by the plain form or by SDPA"""
        projections = [part for joint in projected for part in joint.split(self.query.out_features, -1)]
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in projections)
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
        """Weight and bias of what is projected from one input: queries, keys, values; of a memory the last two. As one
        layer's: one product is faster than several, and has the same values."""
        layers = [*([] if self.of_memory else [self.query]), self.key, self.value]
        biases = [torch.zeros_like(layer.weight[:, 0]) if layer.bias is None else layer.bias for layer in layers]
        return torch.cat([layer.weight for layer in layers]), torch.cat(biases)

    def _weights(self) -> Joined:
        return self.join() if self.joined is None else self.joined


@contextmanager
def weights_joined_once(model: nn.Module) -> Iterator[None]:
    """For a step of several passes on a CPU: in it the attentions' weights are joined once, and not in every pass. On a
    GPU that saves next to nothing, and torch.compile would have to be told of tensors that change under it."""
    attentions = [m for m in model.modules() if isinstance(m, Attention) and not waits(m.out.weight.device)]
    narrow = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    for attention in attentions:
        weight, bias = attention.join()
        # autocast remembers the parameters that it casts, and not these
        attention.joined = (weight, bias) if narrow is None else (weight.to(narrow), bias.to(narrow))
    try:
        yield
    finally:
        for attention in attentions:
            attention.joined = None


def prefers_explicit(q: Tensor) -> bool:
    """Where the plain form is measured to be faster in training (benchmarks/profile_step.py): on a CPU, where SDPA has
    no fused kernel with dropout or a learnt bias. Without a graph as well: a stop must change no forward value."""
    return not waits(q.device)


def explicit(logits: Tensor, v: Tensor, bias: Tensor | None, dropout: float, tap: Callable | None) -> Tensor:
    """Logits (B, H, Q, K), to which the bias is added in place, and values (B, H, K, d) -> (B, H, Q, d)"""
    weights = (logits if bias is None else logits.add_(bias.to(logits.dtype))).softmax(-1).to(v.dtype)
    if tap is not None:
        weights = tap(weights)
    return (kernels.dropout(weights, dropout) if dropout else weights) @ v
