"""The sizes of the three encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..base.fields import positive, require, typed

__all__ = ["AttentionFunction", "ModelConfig", "TextConfig", "VisionConfig"]

# What compares queries with keys, see model.attention_functions
AttentionFunction = Literal["scaled_dot", "dot", "general", "additive", "cosine"]


@dataclass(frozen=True)
class VisionConfig:
    """The vision encoder, BEiT-v2-style unless another is named. The defaults are the paper's `base`."""

    image_size: int = 224  # pixels a side
    patch_size: int = 16  # pixels a side
    width: int = 768
    depth: int = 12
    heads: int = 12
    drop_path: float = 0.1  # of the last block; rises linearly from 0 in the first
    layer_scale: float = 0.1  # start of gamma_1 and gamma_2
    absolute_positions: bool = False  # learnt, sine-cosine start; needed where training starts from scratch
    encoder: str = "beit"  # of model.VISION_ENCODERS

    def __post_init__(self) -> None:
        typed(self, "model.vision.")
        positive(self, "model.vision.", "image_size", "patch_size", "width", "depth", "heads")
        positive(self, "model.vision.", "layer_scale", zero=True)
        fits = self.image_size % self.patch_size == 0
        require(fits, "model.vision.image_size", self.image_size, f"a multiple of patch_size ({self.patch_size})")
        require(self.width % self.heads == 0, "model.vision.heads", self.heads, f"a divisor of width ({self.width})")
        require(self.width % 4 == 0, "model.vision.width", self.width, "a multiple of 4 (sine-cosine positions)")
        require(0 <= self.drop_path < 1, "model.vision.drop_path", self.drop_path, "in [0, 1)")

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        return self.grid**2


@dataclass(frozen=True)
class TextConfig:
    """RoBERTa-style language encoder; the fusion encoder shares its sizes. The defaults are the paper's `base`."""

    vocabulary: int = 50265
    positions: int = 514  # rows of the position table; the first two are taken by the padding rule
    width: int = 768
    depth: int = 12
    heads: int = 12
    intermediate: int = 3072
    dropout: float = 0.1
    encoder: str = "roberta"  # of model.TEXT_ENCODERS

    def __post_init__(self) -> None:
        typed(self, "model.text.")
        positive(self, "model.text.", "positions", "width", "depth", "heads", "intermediate")
        require(self.width % self.heads == 0, "model.text.heads", self.heads, f"a divisor of width ({self.width})")
        require(self.vocabulary > 5, "model.text.vocabulary", self.vocabulary, "more than the 5 special tokens")
        require(0 <= self.dropout < 1, "model.text.dropout", self.dropout, "in [0, 1)")


@dataclass(frozen=True)
class ModelConfig:
    """The three encoders and the contrastive space. The defaults are the paper's `base`.

    `cross_attention` is the function of the fusion encoder's attention from text to pictures, and of no other: it is
    there to ask how words and patches are best aligned, and nowhere else one modality looks at the other.
    """

    vision: VisionConfig = VisionConfig()
    text: TextConfig = TextConfig()
    fusion_depth: int = 12
    cross_attention: AttentionFunction = "scaled_dot"
    embed_dim: int = 256  # of the contrastive space
    temperature: float = 0.07  # start of the learnt temperature
    init_std: float = 0.02  # of the encoders' weights; .02 * sqrt(768 / width) where training starts from scratch

    def __post_init__(self) -> None:
        typed(self, "model.")
        positive(self, "model.", "embed_dim", "init_std")
        positive(self, "model.", "fusion_depth", zero=True)  # 0: two encoders side by side
        require(0.001 <= self.temperature <= 0.5, "model.temperature", self.temperature, "in [0.001, 0.5]")
