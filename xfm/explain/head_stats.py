"""Statistics of attention heads, from captured weights (layer, head, query, key) of any model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..model.modes import eval_mode
from .inputs import AttributionInputs
from .tracing import capture_attention

if TYPE_CHECKING:
    import pandas as pd


def rollout(weights: Tensor) -> Tensor:
    """Attention rollout (Abnar and Zuidema, 2020) of self-attention (L, H, N, N) -> (L, N, N): the share of each input
    token in each token after each layer; mean over heads, half of each layer from the residual."""
    n = weights.shape[-1]
    steps = (weights.mean(1) + torch.eye(n, dtype=weights.dtype)) / 2
    rolled = [steps[0]]
    for step in steps[1:]:
        rolled.append(step @ rolled[-1])
    return torch.stack(rolled)


def entropy(weights: Tensor) -> Tensor:
    """(..., Q, K) -> (...) in nats, mean over queries: 0 for all weight on one key, ln K for equal weights."""
    return torch.special.entr(weights).sum(-1).mean(-1)


def distance(weights: Tensor, grid: int) -> Tensor:
    """Among patches after one token, (..., 1 + P, 1 + P) -> (...): the mean attention distance in patches (Dosovitskiy
    et al., 2021, D.8), that token left out."""
    y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    places = torch.stack([y.flatten(), x.flatten()], 1).to(weights.dtype)
    among = weights[..., 1:, 1:]
    share = among / among.sum(-1, keepdim=True).clamp_min(1e-12)
    return (share * torch.cdist(places, places)).sum(-1).mean(-1)


def mass(weights: Tensor, keys: Tensor, queries: Tensor | None = None) -> Tensor:
    """(..., Q, K) -> (...): the share of attention to some keys (K,) bool, mean over some queries (Q,) bool or all."""
    rows = weights if queries is None else weights[..., queries, :]
    return rows[..., keys].sum(-1).mean(-1)


def object_mass(inputs: AttributionInputs) -> tuple[Tensor, float]:
    """The share (layer, head) of cross-attention from the words that name an object to its patches, and what it is by
    chance. `inputs`: of `scene_inputs` with `about`. ConfigError where no object is known."""
    patches = torch.cat([torch.tensor([False]), inputs.object_patches()[inputs.text]])  # the pooled token is none
    with eval_mode(inputs.model):
        maps, _ = capture_attention(inputs, gradients=False)
    return mass(maps["cross"].weights, patches, inputs.name_pieces), patches.float().mean().item()


def frame(measure: str, values: Mapping[str, Tensor]) -> pd.DataFrame:
    """A number a head, attention map -> (L, H), as rows: place (the map), layer, head, and the measure."""
    import pandas as pd

    rows = [(n, i, j, x) for n, v in values.items() for i, row in enumerate(v.tolist()) for j, x in enumerate(row)]
    return pd.DataFrame(rows, columns=["place", "layer", "head", measure])


def specialised(values: Tensor, most: int = 5, largest: bool = True) -> list[tuple[int, int, float]]:
    """The most extreme of a number a head (L, H): layer, head, value."""
    top = values.flatten().topk(min(most, values.numel()), largest=largest)
    heads = values.shape[1]
    return [(i // heads, i % heads, v) for v, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)]
