"""What torch's own operations do as well, to the same values, and a CPU does faster in these (dropout draws its own):
dropout, rows of a table, texts without their padding, attention of short sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .batch import widen

LEVELS = 2**16  # of a dropout's rate


def waits(device: torch.device) -> bool:
    """Whether the host would have to wait for the device to learn a number that it computes: for any but the CPU.
    Shapes then follow from other shapes alone."""
    return device.type != "cpu"


class Dropout(nn.Dropout):
    """`dropout` at the rate `p` in training, nothing else."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p) if self.training and self.p else input


def dropout(x: Tensor, p: float) -> Tensor:
    """x, each value zero with probability p and else divided by the probability of staying (Srivastava et al., 2014),
    which keeps the mean. Drawn in an eighth of the time that torch takes on a CPU."""
    return F.dropout(x, p) if waits(x.device) else x * noise(x, p)


def noise(x: Tensor, p: float) -> Tensor:
    """What dropout multiplies x with: of its shape and dtype. Sixteen bits decide about a value, four values to a draw,
    so p is rounded to a multiple of 2⁻¹⁶, below 1; the mean is kept of what it is rounded to."""
    dropped = min(round(p * LEVELS), LEVELS - 1)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    stays = bits.view(torch.int16)[: x.numel()] >= dropped - LEVELS // 2
    return stays.view(x.shape).to(x.dtype).mul_(LEVELS / (LEVELS - dropped))


class _Take(torch.autograd.Function):
    """torch's own backward of index_select is six times as slow on a CPU, that of indexing twenty times, and the sum of
    rows that are not contiguous eleven times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.rows = len(x)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (index,), (grad,) = ctx.saved_tensors, grads
        return grad.new_zeros(ctx.rows, *grad.shape[1:]).index_add_(0, index, grad.contiguous()), None


class _Put(torch.autograd.Function):
    """torch's own keeps x for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, rows: int) -> Tensor:
        ctx.save_for_backward(index)
        return x.new_zeros(rows, *x.shape[1:]).index_copy_(0, index, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].index_select(0, ctx.saved_tensors[0]), None, None


def take(x: Tensor, index: Tensor) -> Tensor:
    """The rows `index` (K,) of x (R, ...) -> (K, ...); a row may be taken more than once."""
    return _Take.apply(x, index)  # type: ignore[return-value]


def chosen(mask: Tensor, multiple: int = 32) -> Tensor:
    """The places (K,) of what a mask, flattened, shows, in order, and then of some that it hides: up to a multiple on a
    CPU, where oneDNN compiles each product anew for every new shape (a millisecond, as much as it computes). All places
    on a GPU, which would have to tell the host how many there are."""
    flat = mask.flatten()
    if waits(flat.device):
        return torch.arange(len(flat), device=flat.device)
    return flat.logical_not().argsort(stable=True)[: -(-int(flat.sum()) // multiple) * multiple]


@dataclass(frozen=True)
class Packing:
    """The tokens of B texts, one after the other: (B, L, ...) <-> (T, ...). What attention does not mix is computed for
    little padding; about half the tokens of a batch of captions are."""

    places: Tensor  # (T,) int64, of each token in the flattened batch
    texts: int  # B
    length: int  # L

    @classmethod
    def of(cls, mask: Tensor) -> Packing | None:
        """mask (B, L) bool, True where a token is. None where nothing is won: on a GPU, and without padding."""
        if waits(mask.device):
            return None
        places = chosen(mask, 64)
        return cls(places, *mask.shape) if len(places) < mask.numel() else None

    def pack(self, x: Tensor) -> Tensor:
        """(B, L, ...) -> (T, ...)"""
        return take(x.flatten(0, 1), self.places)

    def pad(self, x: Tensor) -> Tensor:
        """(T, ...) -> (B, L, ...), zeros where no token is"""
        padded: Any = _Put.apply(x, self.places, self.texts * self.length)
        return padded.unflatten(0, (self.texts, self.length))


class Mix(torch.autograd.Function):
    """`attention.explicit` without a tap, forward and backward in few operations and little memory, since for short
    sequences each costs as much as it computes. By heads, keys and values are (2, B, H, K, d): where products take them
    from."""

    @staticmethod
    def forward(ctx: Any, bias: Tensor | None, heads: int, dropout: float, *projected: Tensor) -> Tensor:
        """projected: (B, N, 3 D); or queries (B, Q, D), and keys and values (B, K, 2 D), or already (2, B, H, K, d).
        Returns (B, Q, D)."""
        width = projected[0].shape[-1] // (3 if len(projected) == 1 else 1)
        by_heads = [x if x.ndim == 5 else _heads(x, x.shape[-1] // width, heads) for x in projected]
        q, k, v = (part.flatten(0, 1) for x in by_heads for part in x)
        q.mul_((heads / width) ** 0.5)
        # a CPU's softmax is slower in bf16, forward and back
        logits = widen(torch.bmm(q, k.mT)).unflatten(0, (-1, heads))
        weights = (logits if bias is None else logits.add_(bias)).softmax(-1).to(q.dtype)
        mask = noise(weights, dropout) if dropout else None
        ctx.save_for_backward(q, k, v, weights, mask)
        ctx.parts = [len(x) for x in by_heads]
        ctx.by_head = [x.ndim == 5 for x in projected]
        ctx.bias = None if bias is None or not ctx.needs_input_grad[0] else (bias.shape, bias.dtype)
        used = weights if mask is None else weights * mask
        return _side(torch.bmm(used.flatten(0, 1), v)[None], heads)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, mask = ctx.saved_tensors
        heads = weights.shape[1]
        grad = _heads(grads[0], 1, heads)[0].flatten(0, 1)
        used, of_used = weights, torch.bmm(grad, v.mT).view_as(weights)
        if mask is not None:
            used, of_used = used * mask, of_used.mul_(mask)
        wide = widen(weights)
        logits = torch.ops.aten._softmax_backward_data(widen(of_used), wide, -1, wide.dtype)
        flat = logits.flatten(0, 1).to(q.dtype)
        products = iter([(flat, k), (flat.mT, q), (used.flatten(0, 1).mT, grad)])
        gradients = [_products([next(products) for _ in range(count)]) for count in ctx.parts]
        gradients[0][0].mul_(q.shape[-1] ** -0.5)
        bias = None if ctx.bias is None else logits.sum_to_size(ctx.bias[0]).to(ctx.bias[1])
        laid_out = zip(gradients, ctx.by_head, strict=True)
        return bias, None, None, *(x.unflatten(1, (-1, heads)) if by else _side(x, heads) for x, by in laid_out)


class Spread(torch.autograd.Function):
    """`attention.Shared.spread`, laid out by heads before it is copied to the queries, and its gradient summed
    before it is laid out again: a picture's share of both is moved once, and not once a query."""

    @staticmethod
    def forward(ctx: Any, heads: int, item: Tensor, picture: Tensor, pooled: Tensor, patches: Tensor) -> Tensor:
        by_head = patches.unflatten(-1, (2, heads, -1)).permute(2, 0, 3, 1, 4)  # (2, n, H, P, d)
        table = F.pad(by_head, (0, 0, 1, 0))
        spread = table.new_empty(2, len(item), *table.shape[2:])
        for rows, out in zip(table, spread, strict=True):
            torch.index_select(rows, 0, picture, out=out)
        spread[:, :, :, 0] = pooled.unflatten(-1, (2, heads, -1)).index_select(0, item).transpose(0, 1)
        ctx.save_for_backward(item, picture)
        ctx.sizes = len(pooled), len(patches)
        return spread

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (item, picture), (grad,) = ctx.saved_tensors, grads
        items, pictures = ctx.sizes
        pooled_grad = grad[:, :, :, 0].permute(1, 0, 2, 3).flatten(1)  # (N, 2 D)
        pooled = pooled_grad.new_zeros(items, pooled_grad.shape[1]).index_add_(0, item, pooled_grad)
        summed = grad.new_zeros(2, pictures, *grad.shape[2:])
        for rows, out in zip(grad, summed, strict=True):
            out.index_add_(0, picture, rows)
        return None, None, None, pooled, summed[..., 1:, :].permute(1, 3, 0, 2, 4).flatten(2)


def _heads(x: Tensor, parts: int, heads: int) -> Tensor:
    """(B, N, parts D) -> (parts, B, H, N, d), in memory of its own"""
    return x.unflatten(-1, (parts, heads, -1)).permute(2, 0, 3, 1, 4).clone(memory_format=torch.contiguous_format)


def _products(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Of as many pairs (B, M, K), (B, K, N) of equal shapes -> (pairs, B, M, N)"""
    (a, b), *_ = pairs
    made = a.new_empty(len(pairs), len(a), a.shape[1], b.shape[2])
    for (a, b), out in zip(pairs, made, strict=True):
        torch.bmm(a, b, out=out)
    return made


def _side(x: Tensor, heads: int) -> Tensor:
    """(parts, B H, N, d) -> (B, N, parts D)"""
    return x.unflatten(1, (-1, heads)).permute(1, 3, 0, 2, 4).flatten(2)
