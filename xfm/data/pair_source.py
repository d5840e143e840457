"""Pictures with captions that are in memory already, as a source."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..base import seeding
from ..base.images import ImageLike, prepare
from ..config import ConfigError
from .source import HELD_OUT, SMALLEST_SPLIT, CaptionedImage, Example, Source, Split


class PairSource(Source):
    """Pictures and captions in memory, prepared as everywhere (`images.prepare`: the centre square, resized).

    A tenth of the pictures is for validation and a tenth for tests; equal pictures, as of several captions, are in one
    split. The captions are the texts too.
    """

    provides = frozenset({"pairs", "images", "texts"})

    def __init__(
        self, images: Sequence[ImageLike], captions: Sequence[str], image_size: int, name: str = "own"
    ) -> None:
        """`images`: n arrays, or whatever `images.prepare` takes, of any sizes; `captions`: n texts; `image_size`: the
        model's, pixels.

        Raises ValueError naming the item and what is wrong with it, and for fewer than 6 different pictures.
        """
        self.name = name
        if len(images) != len(captions):
            counts = {"images": len(images), "captions": len(captions)}
            raise ValueError(f"source {name!r}: {counts}: must be as many of each")
        for i, caption in enumerate(captions):
            if not isinstance(caption, str) or not caption.strip():
                raise ValueError(f"source {name!r}: captions[{i}] = {caption!r}: must be a text that is not empty")
        pictures = [self._prepared(i, image, image_size) for i, image in enumerate(images)]
        self._examples = list(map(CaptionedImage, pictures, captions))
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
        parts = order[2 * held_out :], order[held_out : 2 * held_out], order[:held_out]
        splits: tuple[Split, ...] = ("train", "validation", "test")
        return {s: sorted(i for group in part for i in members[group]) for s, part in zip(splits, parts, strict=True)}

    def _prepared(self, i: int, image: ImageLike, side: int) -> np.ndarray:
        try:
            return prepare(image, side)
        except ConfigError as error:
            raise ValueError(f"source {self.name!r}: images[{i}]: {error}") from error
