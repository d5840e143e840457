"""Gradient surgery between losses: PCGrad and GradVac, on the whole encoder's gradient as one vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ..base import seeding


def pcgrad(grads: Mapping[str, Tensor], key: tuple[object, ...]) -> Tensor:
    """The sum of the losses' gradients (n,), each projected onto the normal plane of every other that it conflicts
    with, one after the other in an order drawn by the key (Yu et al. 2020, 2001.06782, algorithm 1)."""
    surgery = []
    for name, grad in grads.items():
        for other in _others(grads, name, key):
            product = grad @ grads[other]
            squared = grads[other] @ grads[other]  # not 0 where they conflict
            grad = torch.where(product < 0, grad - product / squared * grads[other], grad)  # no GPU is waited for
        surgery.append(grad)
    return torch.stack(surgery).sum(0)


def gradvac(grads: Mapping[str, Tensor], wanted: dict[str, Tensor], decay: float, key: tuple[object, ...]) -> Tensor:
    """The sum of the losses' gradients (n,), each turned towards every other until their cosine is the wanted one,
    where it is less (Wang et al. 2021, 2010.05874, algorithm 1). `wanted` by "one other", from 0 on a moving average
    of the measured cosines: it is changed."""
    turned = []
    for name, grad in grads.items():
        for other in _others(grads, name, key):
            lengths = torch.linalg.vector_norm(grad), torch.linalg.vector_norm(grads[other])
            product, pair = lengths[0] * lengths[1], f"{name} {other}"
            cosine = (grad @ grads[other] / product).clamp(-1, 1)
            aim = wanted.get(pair, torch.zeros_like(cosine))
            wanted[pair] = torch.where(product > 0, (1 - decay) * aim + decay * cosine, aim)  # no GPU is waited for
            sines = (1 - cosine.square()).sqrt(), (1 - aim.square()).sqrt()
            share = lengths[0] * (aim * sines[0] - cosine * sines[1]) / (lengths[1] * sines[1])
            grad = torch.where((product > 0) & (cosine < aim), grad + share * grads[other], grad)
        turned.append(grad)
    return torch.stack(turned).sum(0)


def _others(grads: Mapping[str, Tensor], name: str, key: tuple[object, ...]) -> Iterator[str]:
    """In an order drawn by (key, loss)."""
    others = [other for other in grads if other != name]
    order = torch.randperm(len(others), generator=seeding.generator(*key, name))
    return (others[i] for i in order.tolist())
