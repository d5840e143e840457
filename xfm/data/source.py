"""Where data come from: what a source yields, and pictures with captions that are in memory already.

A source answers by key: which item it gives is a function of (seed, split, step, index), never of earlier calls.
So batches are reproducible, a resume is exact, and a source that is added moves nothing of another.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from PIL import Image

from .. import seeding

__all__ = ["CAPABILITIES", "SPLITS", "Box", "CaptionedImage", "Example", "ItemKey", "PairSource", "Region", "Source",
           "Split"]  # fmt: skip

Split = Literal["train", "validation", "test", "unseen_combinations", "unseen_concepts"]
SPLITS: tuple[Split, ...] = get_args(Split)  # the last two only where a source knows what its examples show
Box = tuple[float, float, float, float]  # (cx, cy, w, h) as shares of the picture's sides

# What a source may provide. The first four feed the streams of those names; the rest is ground truth for evaluation.
CAPABILITIES = {
    "pairs": "pictures with captions",
    "regions": "pictures with phrases and their boxes",
    "images": "pictures",
    "texts": "texts without a picture",
    "objects": "the objects of a picture, each with its class",
    "masks": "the pixels of each object",
    "boxes": "the box of each region",
    "relations": "which statements about objects are true of a picture",
    "senses": "texts with their WordNet synset and lexicographer file",
}
SMALLEST_SPLIT = 2  # pictures: ITC and ITM need negatives
HELD_OUT = 0.1  # of the pictures of a PairSource for validation, and as much for tests


@dataclass(frozen=True, eq=False)
class Region:
    """A phrase, and where in the picture that is which it names."""

    text: str
    box: Box
    mask: np.ndarray | None = None  # (H, W) bool


class Example(Protocol):
    """A picture and what is known of it. A source with more ground truth yields a type that has more."""

    @property
    def image(self) -> np.ndarray:
        """(S, S, 3) uint8 RGB; S: model.vision.image_size."""
        ...

    @property
    def text(self) -> str:
        """The caption; "" where there is none."""
        ...

    @property
    def regions(self) -> tuple[Region, ...]: ...

    @property
    def credit(self) -> str:
        """What a figure of the picture must say."""
        ...


@dataclass(frozen=True, eq=False)
class CaptionedImage:
    """The plain Example."""

    image: np.ndarray
    text: str = ""
    regions: tuple[Region, ...] = ()
    credit: str = ""


@dataclass(frozen=True)
class ItemKey:
    """Which item of a batch is asked for."""

    split: Split
    seed: int  # of the run
    step: int
    index: int  # in the batch
    progress: float = 1.0  # share of the training done, for a curriculum


class Source:
    """What streams and evaluation draw from. A subclass says what it `provides` and gives `example` (for texts alone:
    `text`) and `corpus`; what it does not provide is never asked for. Classes, not a Protocol: the defaults below turn
    `example` into all four streams."""

    name: str
    provides: frozenset[str]  # keys of CAPABILITIES
    credit: str = ""  # what figures of its pictures must say

    def size(self, split: Split) -> int | None:
        """The number of different examples of a split; None: as many as are wanted."""
        raise NotImplementedError

    def example(self, split: Split, index: int, seed: int = 0) -> Example:
        """Example `index` of a split in the order of a seed. A source of a finite size starts again at its end.

        Raises ValueError for a split that the source does not have.
        """
        raise NotImplementedError

    def texts(self, split: Split) -> Sequence[str]:
        """All texts of a split, in a fixed order."""
        raise NotImplementedError

    def corpus(self) -> Iterator[str]:
        """What a tokenizer is trained on: nothing of validation or test."""
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """Hex digits that change with the corpus."""
        digest = hashlib.blake2b(digest_size=8)
        for text in self.corpus():
            digest.update(text.encode() + b"\0")
        return digest.hexdigest()

    def pair(self, key: ItemKey) -> Example:
        return self._keyed("pairs", key)

    def regions(self, key: ItemKey) -> Example:
        return self._keyed("regions", key)

    def image(self, key: ItemKey) -> np.ndarray:
        """(S, S, 3) uint8 RGB."""
        return self._keyed("images", key).image

    def text(self, key: ItemKey) -> str:
        return self._keyed("texts", key).text

    def _keyed(self, stream: str, key: ItemKey) -> Example:
        if self.size(key.split) is None:
            return self.example(key.split, seeding.seed(stream, key.step, key.index), key.seed)
        # in a new order every step: none twice in a batch before all were there
        return self.example(key.split, key.index, seeding.seed(key.seed, stream, key.step))


class PairSource(Source):
    """Pictures and captions in memory, resized to the model's picture (bicubic, not cropped, as X-FM evaluates).

    A tenth of the pictures is for validation and a tenth for tests; equal pictures, as of several captions, are in one
    split. The captions are the texts too.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        captions: Sequence[str],
        image_size: int,
        regions: Sequence[Iterable[Region]] | None = None,
        name: str = "own",
        credit: str = "",
    ) -> None:
        """`images`: n arrays (height, width, 3) uint8 RGB, of any sizes; `captions`: n texts; `image_size`:
        the model's, pixels a side; `regions`: for each picture its phrases with boxes.

        Raises ValueError naming the item and what is wrong with it, and for fewer than 6 different pictures.
        """
        self.name, self.credit = name, credit
        self.provides = frozenset({"pairs", "images", "texts", *(("regions", "boxes") if regions is not None else ())})
        boxed = [()] * len(images) if regions is None else [tuple(r) for r in regions]
        counts = {"images": len(images), "captions": len(captions), "regions": len(boxed)}
        if len(set(counts.values())) > 1:
            raise ValueError(f"source {name!r}: {counts}: must be as many of each")
        self._examples = [
            CaptionedImage(
                self._resized(i, image, image_size),
                self._checked_text(f"captions[{i}]", captions[i]),
                tuple(self._checked_region(f"regions[{i}][{j}]", region) for j, region in enumerate(boxed[i])),
                credit,
            )
            for i, image in enumerate(images)
        ]
        self._splits = self._split_up()

    def size(self, split: Split) -> int:
        return len(self._split(split))

    def example(self, split: Split, index: int, seed: int = 0) -> Example:
        members = self._split(split)
        order = seeding.rng("order", seed).permutation(len(members))
        return self._examples[members[order[index % len(members)]]]

    def texts(self, split: Split) -> list[str]:
        return [self._examples[i].text for i in self._split(split)]

    def corpus(self) -> Iterator[str]:
        for i in self._split("train"):
            yield self._examples[i].text
            yield from (region.text for region in self._examples[i].regions)

    def _split(self, split: Split) -> list[int]:
        if split not in self._splits:
            raise ValueError(f"split = {split!r}: source {self.name!r} has {', '.join(self._splits)}")
        return self._splits[split]

    def _split_up(self) -> dict[Split, list[int]]:
        """The indices of each split's examples."""
        groups: dict[bytes, list[int]] = {}
        for i, example in enumerate(self._examples):
            groups.setdefault(hashlib.blake2b(example.image.tobytes()).digest(), []).append(i)
        if len(groups) < 3 * SMALLEST_SPLIT:
            few = f"{len(groups)} different pictures are too few: {SMALLEST_SPLIT} each to train, validate and test"
            raise ValueError(f"source {self.name!r}: {few}")
        members = list(groups.values())
        order = seeding.rng("split", self.name).permutation(len(members)).tolist()
        held_out = max(SMALLEST_SPLIT, math.ceil(HELD_OUT * len(members)))
        parts: dict[Split, list[int]] = {
            "train": order[2 * held_out :],
            "validation": order[held_out : 2 * held_out],
            "test": order[:held_out],
        }
        return {split: sorted(i for group in part for i in members[group]) for split, part in parts.items()}

    def _resized(self, i: int, image: np.ndarray, side: int) -> np.ndarray:
        kind = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
            raise ValueError(f"source {self.name!r}: images[{i}] is {kind}: must be (height, width, 3) uint8 RGB")
        return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))

    def _checked_text(self, where: str, text: str) -> str:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"source {self.name!r}: {where} = {text!r}: must be a text that is not empty")
        return text

    def _checked_region(self, where: str, region: Region) -> Region:
        self._checked_text(f"{where}.text", region.text)
        cx, cy, w, h = region.box if len(region.box) == 4 else (math.nan,) * 4
        edges = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        if not (w > 0 and h > 0 and all(-1e-6 <= edge <= 1 + 1e-6 for edge in edges)):  # false for nan too
            allowed = "(cx, cy, w, h) inside the picture, as shares of its sides"
            raise ValueError(f"source {self.name!r}: {where}.box = {region.box}: must be {allowed}")
        return region
