"""The world that is learnt from, and the four streams of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..base.fields import positive, require, shares, typed

__all__ = ["STREAMS", "AugmentConfig", "CaptionConfig", "DataConfig", "MaskConfig", "SceneConfig", "Split"]

Split = Literal["train", "validation", "test", "unseen_combinations", "unseen_concepts"]
STREAMS = ("pairs", "regions", "images", "texts")


@dataclass(frozen=True)
class MaskConfig:
    """How much is hidden, as in the published code."""

    caption_share: float = 0.5  # of a caption's tokens, for IMLM
    caption_most: int = 15
    text_share: float = 0.15  # of a sentence's tokens, for MLM
    text_most: int = 20
    span_share: float = 0.2  # of the chosen starts grow to a span of 2 or 3 tokens
    image_patches: int = 75  # hidden in every picture, for MIM: 75 of 196 at `base`
    smallest_block: int = 16  # patches

    def __post_init__(self) -> None:
        typed(self, "data.mask.")
        shares(self, "data.mask.", "caption_share", "text_share", "span_share")
        positive(self, "data.mask.", "caption_most", "text_most", "smallest_block")


@dataclass(frozen=True)
class SceneConfig:
    """How hard the pictures are. The defaults are calm: upright objects, apart from each other, on a pastel ground."""

    rotation: float = 0.0  # degrees: the largest turn either way
    alike: float = 0.0  # probability that a further object is of the first one's category
    clutter: int = 0  # most shapes on the ground, behind the objects
    overlap: float = 0.0  # largest share of an object that others may hide

    def __post_init__(self) -> None:
        typed(self, "data.scenes.")
        require(0 <= self.rotation <= 180, "data.scenes.rotation", self.rotation, "in [0, 180] (degrees)")
        shares(self, "data.scenes.", "alike")
        require(0 <= self.clutter <= 64, "data.scenes.clutter", self.clutter, "in [0, 64]")
        require(0 <= self.overlap <= 0.5, "data.scenes.overlap", self.overlap, "in [0, 0.5]")


@dataclass(frozen=True)
class CaptionConfig:
    """How rich the language of captions and phrases is: probabilities. The defaults: names, sizes, counts, places."""

    colours: float = 0.0  # that a name is said with its colour, where it has one
    negation: float = 0.0  # that a caption says what is not there
    paraphrase: float = 0.0  # that something is put in other words than the usual ones

    def __post_init__(self) -> None:
        typed(self, "data.captions.")
        shares(self, "data.captions.", *vars(self))


@dataclass(frozen=True)
class AugmentConfig:
    """Training pictures of `data.sources` as they are varied; off by default, and never in validation or tests."""

    crop: float = 1.0  # smallest share of the picture's largest square that a random crop keeps (1: the centre square)
    flip: float = 0.0  # probability of a mirror image, with "left" and "right" in its texts exchanged
    colour: float = 0.0  # largest relative change of brightness, contrast and saturation

    def __post_init__(self) -> None:
        typed(self, "data.augment.")
        require(0 < self.crop <= 1, "data.augment.crop", self.crop, "in (0, 1]")
        shares(self, "data.augment.", "flip")
        require(0 <= self.colour < 1, "data.augment.colour", self.colour, "in [0, 1)")


@dataclass(frozen=True)
class DataConfig:
    """The world and the four streams. A stream of size 0 is off."""

    dataset: str = "openmoji"
    sources: tuple[str, ...] = ()  # your own data, in the place of `dataset`: paths, as docs/your-own-data.md has them
    weights: tuple[float, ...] = ()  # of each source in the streams that it feeds; (): equal
    tokenizer: str = ""  # path of a tokenizer.json; "": trained on the dataset's texts
    unreadable: float = 0.02  # share of a source's rows or pictures that may be unusable; training stops above it
    augment: AugmentConfig = AugmentConfig()
    concepts: int = 100  # pictured in training, of OpenMoji's 853 object-like ones; 803 and more leave fewer unseen
    styles: str = "openmoji"  # of data.synthetic.styles.STYLES, joined by +: each object is drawn in one of them
    scenes: SceneConfig = SceneConfig()
    captions: CaptionConfig = CaptionConfig()
    pairs: int = 64  # image-text pairs a step
    fusion_batch: int = 0  # of them through the fusion encoder (0: all)
    regions: int = 48  # boxes with phrases a step ...
    region_images: int = 16  # ... in so many pictures
    images: int = 32  # pictures without text a step
    texts: int = 32  # sentences without picture a step
    caption_tokens: int = 30  # longest caption, with its two special tokens
    text_tokens: int = 128  # longest sentence
    # probability that a pair's negative text for ITM is its own caption with a relation exchanged, where it states one
    relation_negatives: float = 0.0
    single_until: float = 0.0  # curriculum: pairs show one object, each concept at most once, for this share of steps
    full_from: float = 0.0  # ... and the largest number of objects grows until this share
    mask: MaskConfig = MaskConfig()
    workers: int = 1  # loader processes

    @property
    def curriculum(self) -> tuple[float, float] | None:
        """The shares of the training until which drawn pairs show one object, and from which all that they have."""
        drawn = not self.sources or "openmoji" in self.sources
        return (self.single_until, self.full_from) if drawn and self.full_from else None

    def __post_init__(self) -> None:
        typed(self, "data.")
        positive(self, "data.", *STREAMS, "workers", "region_images", zero=True)
        positive(self, "data.", "concepts")
        require(self.pairs != 1, "data.pairs", self.pairs, "0 or at least 2 (ITC and ITM need negatives)")
        require(self.regions != 1, "data.regions", self.regions, "0 or at least 2 (ITC and ITM need negatives)")
        fused = self.fusion_batch == 0 or self.fusion_batch >= 2
        require(fused, "data.fusion_batch", self.fusion_batch, "0 (all) or at least 2 (ITM needs negatives)")
        require(not self.regions or self.region_images > 0, "data.region_images", self.region_images, "positive")
        require(
            0 <= self.single_until <= self.full_from <= 1 or self.full_from == 0 == self.single_until,
            "data.single_until",
            self.single_until,
            f"in [0, data.full_from = {self.full_from}]",
        )
        require(
            len(self.weights) in (0, len(self.sources)) and all(weight > 0 for weight in self.weights),
            "data.weights",
            self.weights,
            f"positive, one for each of the {len(self.sources)} data.sources",
        )
        shares(self, "data.", "unreadable", "relation_negatives")
        for name in ("caption_tokens", "text_tokens"):
            require(getattr(self, name) >= 4, f"data.{name}", getattr(self, name), "at least 4")
