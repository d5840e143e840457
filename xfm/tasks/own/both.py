"""What tasks of vision and language have in common (X-FM, 4.3), and how their training pictures are varied: a crop, its
mirror image, and two changes of colour.

Of the published fourteen operations those are here that leave everything in its place, which are grounding's; shearing,
shifting and turning are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from ...base.fields import ConfigError
from ...base.images import ImageLike, decode, prepare
from ...base.strings import shown
from ...data.source import Split
from ..finetuning.protocol import caption_text
from ..finetuning.task import Item, Trainable

Window = tuple[float, float, float, float]  # left, upper, right, lower; pixels
SMALLEST, ASPECT = 0.5, 4 / 3  # share of the picture's area; of a crop's sides, either way
TRIED = 10  # crops, until one fits
OPERATIONS, APPLIED, LEVEL = 2, 0.5, 1.36  # drawn with replacement; probability of each; 1 changes nothing
CHANGES = (
    lambda picture: picture,
    ImageOps.autocontrast,
    ImageOps.equalize,
    lambda picture: ImageEnhance.Brightness(picture).enhance(LEVEL),
    lambda picture: ImageEnhance.Sharpness(picture).enhance(LEVEL),
)


class OfTheWorld(Trainable):
    """Tasks on drawn scenes, without limit of items, or on user data, whose pictures are resized whole to a square and
    varied in each training batch."""

    family = "vision-language"
    needs = frozenset({"objects", "relations"})
    hides = ("pictures", "texts")

    def framed(self, image: Any, side: int) -> np.ndarray:
        return whole(image, side) if self.path else prepare(image, side)

    def asked(self, texts: Sequence[str], images: Sequence[Any]) -> Item:
        item = super().asked(texts, images)
        return replace(item, texts=tuple(map(self.worded, texts))) if self.path else item

    worded: Callable[[str], str] = staticmethod(caption_text)  # a user's text, as the tests have it

    def varied(self, index: int, rng: np.random.Generator) -> Item:
        if not self.path:
            return super().varied(index, rng)
        item, side = self._own("train")[index], self.config.model.vision.image_size
        pictures = [decode(image) for image in item.images]
        ways = [(part(picture.size, rng), mirrors(self.said(item), rng)) for picture in pictures]
        images = [changed(picture, *way, side, rng) for picture, way in zip(pictures, ways, strict=True)]
        return replace(item, images=tuple(images))

    def said(self, item: Item) -> Sequence[str]:
        """The texts that must stay true of a mirrored picture."""
        return item.texts

    def folder(self) -> Path:
        """Folder of the user data. ConfigError for anything but a folder, as pictures belong to it."""
        if not (path := Path(self.path)).is_dir():
            raise ConfigError(f"data = {shown(self.path)}: no folder; --data takes {self.reads}")
        return path

    def some(self, items: list[Item], where: Path, split: Split) -> list[Item]:
        """The items. ConfigError where there are none."""
        if not items:
            raise ConfigError(f"{where}: has nothing for the split {split!r}; --data takes {self.reads}")
        return items


def whole(picture: ImageLike, side: int) -> np.ndarray:
    """(side, side, 3) uint8: all of the picture, its aspect not kept, as the tests of these tasks have it."""
    return np.array(decode(picture).resize((side, side), Image.Resampling.BICUBIC))


def part(size: tuple[int, int], rng: np.random.Generator) -> Window:
    """A window of half of a picture's area or more, its sides at most 4:3 (RandomResizedCrop)."""
    width, height = size
    for _ in range(TRIED):
        area = width * height * rng.uniform(SMALLEST, 1)
        ratio = math.exp(rng.uniform(-math.log(ASPECT), math.log(ASPECT)))
        w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if w <= width and h <= height:
            left, upper = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, upper, left + w, upper + h
    return 0.0, 0.0, float(width), float(height)


def around(size: tuple[int, int], box: Window, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A window, in whole pixels, that has all of a box in it."""
    left, upper = (int(rng.integers(0, math.floor(edge) + 1)) for edge in box[:2])
    ends = [(min(math.ceil(edge), most), most) for edge, most in zip(box[2:], size, strict=True)]
    right, lower = (int(rng.integers(end, most + 1)) for end, most in ends)
    return left, upper, right, lower


def mirrors(texts: Iterable[str], rng: np.random.Generator) -> bool:
    """Whether a picture is mirrored: every other one, but none of which a text says left or right."""
    mirrored = rng.random() < 0.5
    return mirrored and not any(side in text.lower() for text in texts for side in ("left", "right"))


def changed(picture: Image.Image, window: Window, mirrored: bool, side: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side, 3) uint8: the window of an RGB picture, its aspect not kept, mirrored, and in other colours."""
    square = picture.resize((side, side), Image.Resampling.BICUBIC, box=window)
    if mirrored:
        square = ImageOps.mirror(square)
    for i in rng.integers(len(CHANGES), size=OPERATIONS):
        if rng.random() < APPLIED:
            square = CHANGES[i](square)
    return np.array(square)
