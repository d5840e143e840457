"""The fusion encoder: text tokens look at image tokens in every layer (X-FM, 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from .attention import Attention, Shared, additive
from .blocks import TextLayer
from .kernels import Packing
from .stacks import AttentionSite, Stack


@dataclass(frozen=True)
class ImageTokens:
    """What texts can be paired with: m items, pictures or regions of pictures, over the patches of n pictures.

    An item's tokens are its own pooled token and its picture's patches, so the patches' keys and values are projected
    once a picture, however many regions and pairings use them.
    """

    pooled: Tensor  # (m, D)
    patches: Tensor  # (n, P, D)
    owner: Tensor  # (m,) int64, the picture of each item
    mask: Tensor | None = None  # (m, P) bool, patches that may be seen; None: all

    @property
    def seen(self) -> Tensor:
        """(m, P) bool, the mask, whether given or not"""
        if self.mask is not None:
            return self.mask
        return torch.ones(len(self.owner), self.patches.shape[1], dtype=torch.bool, device=self.owner.device)

    @classmethod
    def of_pictures(cls, patches: Tensor) -> ImageTokens:
        return cls(patches.mean(1), patches, torch.arange(len(patches), device=patches.device))

    @classmethod
    def of_regions(cls, patches: Tensor, owner: Tensor, inside: Tensor) -> ImageTokens:
        """R regions (`owner` (R,), `inside` (R, P) bool), then the n whole pictures: R + n items."""
        weight = inside.to(patches.dtype)[..., None]
        pooled = (weight * patches[owner]).sum(1) / weight.sum(1)
        whole, everywhere = cls.of_pictures(patches), inside.new_ones(patches.shape[:2])
        items = torch.cat([pooled, whole.pooled.to(pooled.dtype)]), patches, torch.cat([owner, whole.owner])
        return cls(*items, torch.cat([inside, everywhere]))


class FusionEncoder(nn.Module):
    """Text layers with cross-attention to image tokens (X-FM, 3.1), by the function `config.cross_attention`."""

    stack = Stack(
        "fusion",
        "fusion.layers",
        {"fusion": AttentionSite("attention", "text", "text"), "cross": AttentionSite("cross", "text", "image")},
    )

    def __init__(self, config: ModelConfig):
        super().__init__()
        text, image = config.text, (config.vision.width, config.cross_attention)
        self.random = text.dropout > 0
        sizes = text.width, text.heads, text.intermediate, text.dropout
        self.layers = nn.ModuleList(TextLayer(*sizes, *image) for _ in range(config.fusion_depth))

    def forward(self, text: Tensor, mask: Tensor, image: ImageTokens, item: Tensor) -> Tensor:
        """N pairings of text tokens (N, L, D), mask (N, L), with items of `image`, item (N,) -> (N, L, D)"""
        bias, picture = additive(mask), image.owner[item]
        seen = None if image.mask is None else image.mask[item]
        memory_bias = None if seen is None else additive(torch.cat([torch.ones_like(seen[:, :1]), seen], 1))
        packing = Packing.of(mask) if self.training else None
        x = text if packing is None else packing.pack(text)

        def memory(cross: Attention) -> Shared:
            return Shared(cross.project(image.pooled), cross.project(image.patches), item, picture)

        for layer in self.layers:
            x = layer(x, bias, memory, memory_bias, packing)
        return x if packing is None else packing.pad(x)
