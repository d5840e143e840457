"""What tasks of vision and language have in common (X-FM, 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...base.fields import ConfigError
from ...base.images import decode
from ...base.strings import shown
from ...data.source import Split
from ...data.world.scenes import World
from ..finetuning.augment import changed, mirrors, part, whole
from ..finetuning.protocol import caption_text
from ..finetuning.task import Item, Trainable


class OfTheWorld(Trainable):
    """Tasks on drawn scenes, without limit of items, or on user data, whose pictures are resized whole to a square and
    augmented by `augment` (crops, mirror images, changes) in each training batch."""

    family = "vision-language"
    needs = frozenset({"objects", "relations"})

    @property
    def world(self) -> World:
        return self.data.world

    def framed(self, image: Any, side: int) -> np.ndarray:
        return whole(image, side) if self.path else super().framed(image, side)

    def worded(self, text: str) -> str:
        return caption_text(text) if self.path else text

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
