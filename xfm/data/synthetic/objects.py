"""Objects of a scene: a concept's picture at a place, as pixels, as a mask, and as what of it others hide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image

from . import colours, openmoji

VISIBLE = 64  # alpha from which a pixel belongs to an object
HIDES = 0.05  # an object that hides anything of another hides so much of it at least: one can see which is in front
ANGLES = 6  # steps from upright to the largest turn, either way: a sprite is made once and used again


@dataclass(frozen=True, slots=True)
class Object:
    concept: int  # place in openmoji.concepts(); below World.concepts: its class
    name: str
    size: Literal["big", "small"]
    x: int  # pixels, the tight box of what is visible
    y: int
    width: int
    height: int
    side: int  # of the picture, pixels
    scale: int  # the sprite's longer side before the tight cut, pixels
    flip: bool
    angle: int = 0  # degrees, counter-clockwise before the flip
    cut: tuple[int, int] = (0, 0)  # columns on the left and rows at the top of the sprite that are hidden wholly
    hidden: float = 0.0  # share of its pixels that others hide
    front: tuple[Object, ...] = ()  # the objects that hide them

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(cx, cy, w, h) as shares of the picture's sides."""
        s = self.side
        return (self.x + self.width / 2) / s, (self.y + self.height / 2) / s, self.width / s, self.height / s

    @property
    def colour(self) -> str | None:
        return colours.colour(self.concept)

    @property
    def sprite(self) -> np.ndarray:
        """(h, w, 4) uint8, colours premultiplied by alpha; nothing is hidden."""
        return sprite(self.concept, self.scale, picture_side(self.side), self.angle)[:, :: -1 if self.flip else 1]

    def place(self, pixels: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns of the picture that the sprite covers, which is `pixels`."""
        left, top = self.x - self.cut[0], self.y - self.cut[1]
        return slice(top, top + pixels.shape[0]), slice(left, left + pixels.shape[1])

    @property
    def silhouette(self) -> np.ndarray:
        """(side, side) bool, True where the object is, hidden or not."""
        mask, pixels = np.zeros((self.side, self.side), bool), self.sprite
        mask[self.place(pixels)] = pixels[..., 3] >= VISIBLE
        return mask

    @property
    def mask(self) -> np.ndarray:
        """(side, side) bool, True where the object is seen."""
        mask = self.silhouette
        for other in self.front:
            mask &= ~other.silhouette
        return mask


def may_hide(new: Object, placed: Sequence[Object], most: float) -> bool:
    """Whether `new`, in front of objects that `layered` has not seen yet, hides of each nothing or enough to be seen,
    and leaves all but the share `most` of it, together with those before it."""
    mask = new.silhouette
    for i, o in enumerate(placed):
        whole = o.silhouette
        covered = np.count_nonzero(whole & mask)
        if covered == 0:
            continue
        rest = whole & ~mask
        for other in placed[i + 1 :]:
            rest &= ~other.silhouette
        if covered < HIDES * np.count_nonzero(whole) or np.count_nonzero(rest) < (1 - most) * np.count_nonzero(whole):
            return False
    return True


def layered(placed: Sequence[Object]) -> list[Object]:
    """The objects, each in front of those before it, with boxes of what is visible of them."""
    done: list[Object] = []
    for o in reversed(placed):
        whole = o.silhouette
        front = tuple(other for other in done if (whole & other.silhouette).any())
        if front:
            seen = replace(o, front=front).mask
            rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
            x, y = int(columns[0]), int(rows[0])
            o = replace(
                o,
                x=x,
                y=y,
                width=int(columns[-1]) + 1 - x,
                height=int(rows[-1]) + 1 - y,
                front=front,
                cut=(x - o.x, y - o.y),
                hidden=1 - float(seen.sum() / whole.sum()),
            )
        done.insert(0, o)
    return done


def picture_side(image_size: int) -> int:
    """The rendering that a scene's sprites are cut from: a power of two, larger than any of them."""
    return 1 << (image_size - 1).bit_length()


@lru_cache(maxsize=8192)
def sprite(concept: int, scale: int, rendered: int, angle: int = 0) -> np.ndarray:
    """(h, w, 4) uint8, colours premultiplied by alpha: the visible part, `scale` pixels (or one or two less) on
    its longer side, turned by `angle` degrees."""
    whole = Image.fromarray(openmoji.picture(openmoji.concepts()[concept], rendered))
    cut = whole.crop(whole.getbbox()).convert("RGBa")
    if angle:
        cut = cut.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        cut = cut.crop(cut.getchannel(3).getbbox())
    factor = scale / max(cut.size)
    size = (max(1, round(cut.width * factor)), max(1, round(cut.height * factor)))
    pixels = np.asarray(cut.resize(size, Image.Resampling.BOX))
    visible = pixels[..., 3] >= VISIBLE
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    return np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def turn(rng: np.random.Generator, most: float) -> int:
    """A whole number of degrees from -most to most, one of 13 evenly spaced."""
    return round(most * (int(rng.random() * (2 * ANGLES + 1)) - ANGLES) / ANGLES)
