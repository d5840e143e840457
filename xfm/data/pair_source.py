"""Pictures with captions that are in memory already, as a source."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..base import seeding
from ..base.images import ImageLike, prepare
from ..config import ConfigError
from .source import HELD_OUT, SMALLEST_SPLIT, CaptionedImage, Example, Region, Source, Split


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
        for i, caption in enumerate(captions):
            self._require_text(f"captions[{i}]", caption)
            for j, region in enumerate(boxed[i]):
                self._require_region(f"regions[{i}][{j}]", region)
        self._examples = [
            CaptionedImage(self._prepared(i, image, image_size), captions[i], _cropped(boxed[i], image), credit)
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
        groups_of: dict[Split, list[int]] = {
            "train": order[2 * held_out :],
            "validation": order[held_out : 2 * held_out],
            "test": order[:held_out],
        }
        return {split: sorted(i for group in chosen for i in members[group]) for split, chosen in groups_of.items()}

    def _prepared(self, i: int, image: ImageLike, side: int) -> np.ndarray:
        try:
            return prepare(image, side)
        except ConfigError as error:
            raise ValueError(f"source {self.name!r}: images[{i}]: {error}") from error

    def _require_text(self, where: str, text: str) -> None:
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"source {self.name!r}: {where} = {text!r}: must be a text that is not empty")

    def _require_region(self, where: str, region: Region) -> None:
        self._require_text(f"{where}.text", region.text)
        cx, cy, w, h = region.box if len(region.box) == 4 else (math.nan,) * 4
        edges = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        if not (w > 0 and h > 0 and all(-1e-6 <= edge <= 1 + 1e-6 for edge in edges)):  # false for nan too
            allowed = "(cx, cy, w, h) inside the picture, as shares of its sides"
            raise ValueError(f"source {self.name!r}: {where}.box = {region.box}: must be {allowed}")


def _cropped(regions: Sequence[Region], image: ImageLike) -> tuple[Region, ...]:
    """The regions in the centre square of an array (H, W, ...); without those whose own centre is outside."""
    if regions and not isinstance(image, np.ndarray):
        raise ValueError(f"regions of {type(image).__name__}: boxes are of arrays (H, W) or (H, W, channels) alone")
    inside = []
    for region in regions:
        height, width = image.shape[:2]  # type: ignore[union-attr]
        share = np.array([min(1, height / width), min(1, width / height)])  # of the width and the height that is kept
        centre, size = np.array(region.box).reshape(2, 2)
        low, high = (((centre + sign * size / 2 - 0.5) / share + 0.5).clip(0, 1) for sign in (-1, 1))
        if np.all(np.abs(centre - 0.5) <= share / 2) and np.all(low < high):
            inside.append(Region(region.text, tuple(((low + high) / 2).tolist() + (high - low).tolist())))
    return tuple(inside)
