"""Many pairings of texts with pictures through a fusion encoder, without what most of them would waste."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..model import FusionEncoder, ImageTokens

PAIRINGS = 256  # at once


def of_pairings(
    fusion: FusionEncoder,
    states: Tensor,
    mask: Tensor,
    image: ImageTokens,
    text: Tensor,
    item: Tensor,
    head: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """head(fusion outputs (b, L, D), pairing numbers (b,)) of all N pairings of T texts, states (T, L, D) and mask
    (T, L), with items of `image`, by indices text (N,) and item (N,) -> (N, ...), in the order of the pairings.

    Texts of a batch are about equally long, and only the pictures that they meet are projected.
    """
    lengths, out = mask.sum(1), []
    order = lengths[text].argsort(stable=True)
    for chunk in order.split(PAIRINGS):
        rows, (met, position) = text[chunk], _only(image, item[chunk])
        longest = int(lengths[rows].max())
        out.append(head(fusion(states[rows, :longest], mask[rows, :longest], met, position), chunk))
    outputs = torch.cat(out)
    return outputs[order.argsort().to(outputs.device)]


def _only(image: ImageTokens, item: Tensor) -> tuple[ImageTokens, Tensor]:
    """The items among some (N,) alone, with their pictures; and which of these each of the N is."""
    items, position = item.unique(return_inverse=True)
    pictures, owner = image.owner[items].unique(return_inverse=True)
    mask = None if image.mask is None else image.mask[items]
    return ImageTokens(image.pooled[items], image.patches[pictures], owner, mask), position
