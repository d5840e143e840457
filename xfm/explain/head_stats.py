"""What heads do, from their weights alone (layer, head, query, key): of any model whose attention was captured."""

from __future__ import annotations

import torch
from torch import Tensor


def rollout(weights: Tensor) -> Tensor:
    """Self-attention (L, H, N, N) -> (L, N, N): how much of each input token there is in each token after each layer.

    Heads averaged, half of each layer taken from the residual (Abnar and Zuidema, 2020, attention rollout).
    """
    n = weights.shape[-1]
    steps = (weights.mean(1) + torch.eye(n, dtype=weights.dtype)) / 2
    found = [steps[0]]
    for step in steps[1:]:
        found.append(step @ found[-1])
    return torch.stack(found)


def entropy(weights: Tensor) -> Tensor:
    """(..., Q, K) -> (...) nats, the mean over the queries: 0 for one key each, ln K for all alike."""
    return torch.special.entr(weights).sum(-1).mean(-1)


def distance(weights: Tensor, grid: int) -> Tensor:
    """Among patches, (..., 1 + P, 1 + P) -> (...): how many patches' sides away a head looks on average, the token
    that stands for the picture left out (Dosovitskiy et al., 2021, D.8)."""
    y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    places = torch.stack([y.flatten(), x.flatten()], 1).to(weights.dtype)
    among = weights[..., 1:, 1:]
    share = among / among.sum(-1, keepdim=True).clamp_min(1e-12)
    return (share * torch.cdist(places, places)).sum(-1).mean(-1)


def mass(weights: Tensor, keys: Tensor, queries: Tensor | None = None) -> Tensor:
    """(..., Q, K) -> (...): the share of attention that goes to some keys (K,) bool, from some queries (Q,) bool, or
    from all: from the words that name an object to its patches, say."""
    rows = weights if queries is None else weights[..., queries, :]
    return rows[..., keys].sum(-1).mean(-1)


def specialised(values: Tensor, most: int = 5, largest: bool = True) -> list[tuple[int, int, float]]:
    """Of a number a head (L, H) the most extreme: layer, head, value."""
    found = values.flatten().topk(min(most, values.numel()), largest=largest)
    heads = values.shape[1]
    return [(i // heads, i % heads, v) for v, i in zip(found.values.tolist(), found.indices.tolist(), strict=True)]
