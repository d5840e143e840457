"""The world that is learnt from, and the four streams of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ..base.fields import Count, Fraction, Group, Range, Share, Size, require

Split = Literal["train", "validation", "test", "unseen_combinations", "unseen_concepts"]
STREAMS = ("pairs", "regions", "images", "texts")
Length = Annotated[int, Range(4, 2**63, "at least 4")]  # of a text, with its special tokens


@dataclass(frozen=True)
class MaskConfig(Group, path="data.mask."):
    """How much is hidden, as in the published code."""

    caption_share: Share = 0.5  # of a caption's tokens, for IMLM
    caption_most: Count = 15
    text_share: Share = 0.15  # of a sentence's tokens, for MLM
    text_most: Count = 20
    span_share: Share = 0.2  # of the chosen starts grow to a span of 2 or 3 tokens
    image_patches: int = 75  # hidden in every picture, for MIM: 75 of 196 at `base`
    smallest_block: Count = 16  # patches


@dataclass(frozen=True)
class SceneConfig(Group, path="data.scenes."):
    """How hard the pictures are. The defaults are calm: upright objects, apart from each other, on a pastel ground."""

    rotation: Annotated[float, Range(0, 180, "in [0, 180] (degrees)")] = 0.0  # the largest turn either way
    alike: Share = 0.0  # probability that a further object is of the first one's category
    clutter: Annotated[int, Range(0, 64, "in [0, 64]")] = 0  # most shapes on the ground, behind the objects
    overlap: Annotated[float, Range(0, 0.5, "in [0, 0.5]")] = 0.0  # largest share of an object that others may hide


@dataclass(frozen=True)
class CaptionConfig(Group, path="data.captions."):
    """Probabilities of what enriches captions and phrases beyond names, sizes, counts and places."""

    colours: Share = 0.0  # that a name has its colour, where there is one
    negation: Share = 0.0  # that a caption says what is not there
    paraphrase: Share = 0.0  # that something is put in other words than the usual ones
    articles: Share = 0.0  # that a phrase begins with "a" or with no article, not with "the"


@dataclass(frozen=True)
class AugmentConfig(Group, path="data.augment."):
    """How training pictures are varied, files also by crop and mirror; off by default, never in validation or tests."""

    # smallest share of the picture's largest square that a random crop keeps (1: the centre square)
    crop: Annotated[float, Range(0, 1, "in (0, 1]", above=True)] = 1.0
    flip: Share = 0.0  # probability of a mirror image, with "left" and "right" in its texts exchanged
    colour: Fraction = 0.0  # largest relative change of brightness, contrast and saturation


@dataclass(frozen=True)
class DataConfig(Group, path="data."):
    """The world and the four streams. A stream of size 0 is off."""

    dataset: str = "openmoji"
    sources: tuple[str, ...] = ()  # user data in the place of `dataset`: paths, as in docs/your-own-data.md
    weights: tuple[float, ...] = ()  # of each source in the streams that it feeds; (): equal
    tokenizer: str = ""  # path of a tokenizer.json; "": trained on the dataset's texts
    unreadable: Share = 0.02  # share of a source's rows or pictures that may be unusable; training stops above it
    augment: AugmentConfig = AugmentConfig()
    concepts: Count = 100  # pictured in training, of OpenMoji's 853 object-like ones; 803 and more leave fewer unseen
    styles: str = "openmoji"  # of data.world.styles.STYLES, joined by +: each object is drawn in one of them
    scenes: SceneConfig = SceneConfig()
    captions: CaptionConfig = CaptionConfig()
    pairs: Size = 64  # image-text pairs a step
    fusion_batch: int = 0  # of them through the fusion encoder (0: all)
    regions: Size = 48  # boxes with phrases a step ...
    region_images: Size = 16  # ... in so many pictures
    images: Size = 32  # pictures without text a step
    texts: Size = 32  # sentences without picture a step
    caption_tokens: Length = 30  # longest caption, with its two special tokens
    text_tokens: Length = 128  # longest sentence
    # probability that a pair's negative text for ITM is its own caption with a relation exchanged, where it states one
    relation_negatives: Share = 0.0
    single_until: float = 0.0  # curriculum: pairs show one object, each concept at most once, for this share of steps
    full_from: Share = 0.0  # ... and the largest number of objects grows until this share
    mask: MaskConfig = MaskConfig()
    workers: Size = 1  # loader processes

    @property
    def curriculum(self) -> tuple[float, float] | None:
        """The shares of the training until which drawn pairs show one object, and from which all that they have."""
        scenes = not self.sources or "openmoji" in self.sources
        return (self.single_until, self.full_from) if scenes and self.full_from else None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pairs", "regions"):
            size = getattr(self, name)
            require(size != 1, f"data.{name}", size, "0 or at least 2 (ITC and ITM need negatives)")
        fused = self.fusion_batch == 0 or self.fusion_batch >= 2
        require(fused, "data.fusion_batch", self.fusion_batch, "0 (all) or at least 2 (ITM needs negatives)")
        require(not self.regions or self.region_images > 0, "data.region_images", self.region_images, "positive")
        rises = 0 <= self.single_until <= self.full_from
        require(rises, "data.single_until", self.single_until, f"in [0, data.full_from = {self.full_from}]")
        weighted = len(self.weights) in (0, len(self.sources)) and all(weight > 0 for weight in self.weights)
        allowed = f"positive, one for each of the {len(self.sources)} data.sources"
        require(weighted, "data.weights", self.weights, allowed)
