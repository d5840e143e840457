"""Norm-matched noise in place of a gradient: what of a gradient's effect is its size alone?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..base import seeding
from ..model.batch import sent
from .vectors import Grads


def matched_noise(grads: Grads, names: Sequence[str], key: tuple[object, ...], whole: bool) -> Grads:
    """Gaussian noise with the L2 norm of the gradient: of each parameter's, or (`whole`) of all together, spread over
    the parameters evenly. Drawn on the CPU by (key, parameter); None stays None."""
    draws = [None if g is None else _draw(g, (*key, name)) for g, name in zip(grads, names, strict=True)]
    if not whole:
        pairs = zip(draws, grads, strict=True)
        return [None if n is None or g is None else n * (_norm([g]) / _norm([n])) for n, g in pairs]
    ratio = _norm([g for g in grads if g is not None]) / _norm([n for n in draws if n is not None])
    return [None if n is None else n * ratio for n in draws]


def _draw(like: Tensor, key: tuple[object, ...]) -> Tensor:
    return sent(torch.randn(like.shape, generator=seeding.generator(*key)), like.device).to(like.dtype)


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    norms = [torch.linalg.vector_norm(t) for t in tensors]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())
