"""Where data come from: what a source yields, and pictures with captions that are in memory already.

A source answers by key: which item it gives is a function of (seed, split, step, index), never of earlier calls.
So batches are reproducible, a resume is exact, and a source that is added moves nothing of another.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np

from ..base import seeding
from ..base.images import ImageLike, prepare
from ..config import ConfigError

Split = Literal["train", "validation", "test", "unseen_combinations", "unseen_concepts"]
SPLITS: tuple[Split, ...] = get_args(Split)  # the last two only where a source knows what its examples show
Missed = dict[str, str]  # what could not be used: where it lies, file:line, and why
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
    """A phrase and the part of the picture that it refers to."""

    text: str
    box: Box
    mask: np.ndarray | None = None  # (H, W) bool


class Example(Protocol):
    """A picture and its annotations. A source with more ground truth yields a type with more attributes."""

    @property
    def image(self) -> np.ndarray: ...  # (S, S, 3) uint8 RGB; S: model.vision.image_size
    @property
    def text(self) -> str: ...  # the caption; "" where there is none
    @property
    def regions(self) -> tuple[Region, ...]: ...  # phrases and what they refer to
    @property
    def credit(self) -> str: ...  # what a figure of the picture must say


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
    """What streams and evaluation draw from. A subclass states what it `provides` and implements `size`, `example` and
    `corpus` (of texts alone: `text`, `texts` and `corpus`); what it does not provide is never asked for. A base class,
    not a protocol: its defaults make all four streams of `example`."""

    name: str
    provides: frozenset[str]  # keys of CAPABILITIES
    credit: str = ""  # what figures of its pictures must say
    licence: str = ""  # what a report must say of its data

    def size(self, split: Split) -> int | None:
        """The number of different examples of a split; None: as many as are wanted."""
        raise NotImplementedError

    def example(self, split: Split, index: int, seed: int = 0) -> Example:
        """Example `index` of a split in the order of a seed. A source of a finite size starts again at its end.

        Raises ValueError for a split that the source does not have.
        """
        raise NotImplementedError

    def examples(self, split: Split, most: int, seed: int = 0) -> Iterator[Example]:
        """The first `most`, or as many as there are, each once."""
        size = self.size(split)
        for index in range(most if size is None else min(most, size)):
            yield self.example(split, index, seed)

    def with_boxes(self) -> Source:
        """What gives the examples whose boxes are asked for: this source, where its examples have them."""
        return self

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

    def missed(self) -> Missed:
        """What was asked for since the last call and could not be given, so that another item took its place."""
        return {}

    def leave_out(self, missed: Mapping[str, str]) -> None:
        """Counts what any process has missed, each once. ConfigError where that is more than may be."""

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
        # in a new order every step: no example twice in a batch that is not larger than the split
        return self.example(key.split, key.index, seeding.seed(key.seed, stream, key.step))


class PairSource(Source):
    """Pictures and captions in memory, prepared as everywhere (`images.prepare`: the centre square, resized).

    A tenth of the pictures is for validation and a tenth for tests; equal pictures, as of several captions, are in one
    split. The captions are the texts too.
    """

    def __init__(
        self,
        images: Sequence[ImageLike],
        captions: Sequence[str],
        image_size: int,
        regions: Sequence[Iterable[Region]] | None = None,
        name: str = "own",
        credit: str = "",
    ) -> None:
        """`images`: n arrays, or whatever `images.prepare` takes, of any sizes; `captions`: n texts; `image_size`: the
        model's, pixels; `regions`: for each array its phrases with boxes; those outside the centre square are dropped.

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
                self._prepared(i, image, image_size),
                self._checked_text(f"captions[{i}]", captions[i]),
                tuple(
                    cropped
                    for j, region in enumerate(boxed[i])
                    if (cropped := _cropped(self._checked_region(f"regions[{i}][{j}]", region), image))
                ),
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

    def _prepared(self, i: int, image: ImageLike, side: int) -> np.ndarray:
        try:
            return prepare(image, side)
        except ConfigError as error:
            raise ValueError(f"source {self.name!r}: images[{i}]: {error}") from error

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


def _cropped(region: Region, image: ImageLike) -> Region | None:
    """The region in the centre square of an array (H, W, ...), or None where its own centre is outside."""
    if not isinstance(image, np.ndarray):
        raise ValueError(f"regions of {type(image).__name__}: boxes are of arrays (H, W) or (H, W, channels) alone")
    height, width = image.shape[:2]
    share = np.array([min(1, height / width), min(1, width / height)])  # of the width and the height that is kept
    (cx, cy), size = np.array(region.box).reshape(2, 2)
    low, high = (((np.array([cx, cy]) + sign * size / 2) - 0.5) / share + 0.5 for sign in (-1, 1))
    low, high = low.clip(0, 1), high.clip(0, 1)
    if np.any(np.abs(np.array([cx, cy]) - 0.5) > share / 2) or np.any(low >= high):
        return None
    return Region(region.text, tuple(((low + high) / 2).tolist() + (high - low).tolist()))
