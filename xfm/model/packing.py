"""Texts of a batch without their padding, and rows taken from a table; both with a backward pass that is one copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Packing", "chosen", "put", "take", "waits"]


def waits(device: torch.device) -> bool:
    """Whether the host would have to wait for the device to learn a number that it computes: for any but the CPU.
    Shapes then follow from other shapes alone."""
    return device.type != "cpu"


class _Take(torch.autograd.Function):
    """torch's own backward of index_select is six times as slow on a CPU, and that of indexing twenty times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.rows = len(x)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (index,), (grad,) = ctx.saved_tensors, grads
        return grad.new_zeros(ctx.rows, *grad.shape[1:]).index_add_(0, index, grad), None


class _Put(torch.autograd.Function):
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


def put(x: Tensor, index: Tensor, rows: int) -> Tensor:
    """x (K, ...) at the rows `index` (K,), each once, of zeros -> (rows, ...)"""
    return _Put.apply(x, index, rows)  # type: ignore[return-value]


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
        return put(x, self.places, self.texts * self.length).unflatten(0, (self.texts, self.length))
