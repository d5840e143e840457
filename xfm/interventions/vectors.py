"""Gradients of an encoder: lists with an entry a parameter, None where a loss has no path; as one vector and back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

Grads = list[Tensor | None]


def added(parts: Sequence[Grads]) -> Grads:
    """The sum, parameter by parameter and in order; None where none has a path."""
    columns = zip(*parts, strict=True)
    present = [[g for g in column if g is not None] for column in columns]
    return [reduce(torch.add, grads) if grads else None for grads in present]


def flat(grads: Grads, like: Sequence[Tensor]) -> Tensor:
    """All numbers of the gradients as one vector; 0 where there is no path. `like`: the parameters."""
    pairs = zip(grads, like, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def unflat(vector: Tensor, like: Sequence[Tensor]) -> Grads:
    """The inverse of `flat`, in which every parameter has a path."""
    return [part.view_as(p) for part, p in zip(vector.split([p.numel() for p in like]), like, strict=True)]
