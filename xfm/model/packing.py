"""Texts of a batch without their padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .kernels.device import waits
from .kernels.rows import put, take


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
