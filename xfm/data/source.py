"""Where data come from: what a source yields.

A source answers by key: which item it gives is a function of (seed, split, step, index), never of earlier calls.
So batches are reproducible, a resume is exact, and a source that is added moves nothing of another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, get_args

import numpy as np

from ..base import seeding
from ..base.html_card import card, clipped, picture, table
from ..base.numbers import count
from ..config.data import Split as Split  # readers of sources have it from here

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


_allowed: set[str] = set()  # remote sources that the user has asked this process for


def is_remote(spec: str) -> bool:
    """Whether a source is named by a URL, of whatever scheme."""
    return re.match(r"[a-z0-9]+://", spec) is not None


def allow(specs: Iterable[str]) -> None:
    """Permits fetching these sources. Others are not fetched: a config may have come with a run folder."""
    _allowed.update(specs)


def allowed(spec: str) -> bool:
    """Whether the user's own call has asked for this source."""
    return spec in _allowed


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


class Shown:
    """An Example that shows itself: a line in a terminal, a card in a notebook."""

    image: np.ndarray
    text: str
    regions: tuple[Region, ...]
    credit: str

    def __repr__(self) -> str:
        kind, side = type(self).__name__, self.image.shape[0]
        return f"{kind}({clipped(self.text)!r}, {side} px, {count(len(self.regions), 'region')})"

    def _repr_html_(self) -> str:
        boxes = [(r.text, ", ".join(f"{x:.2f}" for x in r.box)) for r in self.regions]
        tables = [table(("phrase", "box: centre x, y, width, height"), boxes)] if boxes else []
        return card(self.text or "no caption", picture(self.image, self.credit), *tables)


@dataclass(frozen=True, eq=False, repr=False)
class CaptionedImage(Shown):
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

    def skip(self, missed: Mapping[str, str]) -> None:
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
