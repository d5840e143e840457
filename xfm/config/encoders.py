"""The sizes of the three encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ..base.fields import Count, Fraction, Group, Range, Rate, Size, Weight, require

# What compares queries with keys, see model.attention
AttentionFunction = Literal["scaled_dot", "dot", "general", "additive", "cosine"]


@dataclass(frozen=True)
class VisionConfig(Group, path="model.vision."):
    """The vision encoder, BEiT-v2-style unless another is named. The defaults are the paper's `base`."""

    image_size: Count = 224  # pixels a side
    patch_size: Count = 16  # pixels a side
    width: Count = 768
    depth: Count = 12
    heads: Count = 12
    drop_path: Fraction = 0.1  # of the last block; rises linearly from 0 in the first
    layer_scale: Weight = 0.1  # start of gamma_1 and gamma_2
    absolute_positions: bool = False  # learnt, sine-cosine start; needed where training starts from scratch
    encoder: str = "beit"  # of model.VISION_ENCODERS

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.image_size % self.patch_size == 0
        require(fits, "model.vision.image_size", self.image_size, f"a multiple of patch_size ({self.patch_size})")
        require(self.width % self.heads == 0, "model.vision.heads", self.heads, f"a divisor of width ({self.width})")
        require(self.width % 4 == 0, "model.vision.width", self.width, "a multiple of 4 (sine-cosine positions)")

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        return self.grid**2


@dataclass(frozen=True)
class TextConfig(Group, path="model.text."):
    """RoBERTa-style language encoder; the fusion encoder shares its sizes. The defaults are the paper's `base`."""

    vocabulary: Annotated[int, Range(6, 2**63, "more than the 5 special tokens")] = 50265
    positions: Count = 514  # rows of the position table; the first two are taken by the padding rule
    width: Count = 768
    depth: Count = 12
    heads: Count = 12
    intermediate: Count = 3072
    dropout: Fraction = 0.1
    encoder: str = "roberta"  # of model.TEXT_ENCODERS

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.width % self.heads == 0, "model.text.heads", self.heads, f"a divisor of width ({self.width})")


@dataclass(frozen=True)
class ModelConfig(Group, path="model."):
    """The three encoders and the contrastive space. The defaults are the paper's `base`.

    `cross_attention` is the function of the fusion encoder's attention from text to pictures, and of no other: it is
    there to ask how words and patches are best aligned, and nowhere else one modality looks at the other.
    """

    vision: VisionConfig = VisionConfig()
    text: TextConfig = TextConfig()
    fusion_depth: Size = 12  # 0: two encoders side by side
    cross_attention: AttentionFunction = "scaled_dot"
    embed_dim: Count = 256  # of the contrastive space
    temperature: Annotated[float, Range(0.001, 0.5, "in [0.001, 0.5]")] = 0.07  # start of the learnt temperature
    init_std: Rate = 0.02  # of the encoders' weights; .02 * sqrt(768 / width) where training starts from scratch
