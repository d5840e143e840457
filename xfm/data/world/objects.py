"""What a scene is painted of: objects (a drawing at a position, its mask, its occluders), and a background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from . import colours, openmoji, styles

VISIBLE = 64  # alpha from which a pixel belongs to an object
HIDES = 0.05  # share of an object that an occluder hides at least: one can see which is in front
PASTEL = 60  # how far a channel of the background is below white at most ...
MIDDLE = 120  # ... and one of the shapes on it: darker ones would be taken for objects


@dataclass(frozen=True, slots=True)
class Object:
    """A drawing placed in a scene, with its visible box and mask."""

    concept: int  # index in openmoji.concepts(); below World.concepts: its class
    name: str
    size: Literal["big", "small"]
    x: int  # pixels: the tight box of the visible part
    y: int
    width: int
    height: int
    side: int  # of the picture, pixels
    scale: int  # the sprite's longer side before the tight cut, pixels
    flip: bool
    angle: int = 0  # degrees, counter-clockwise before the flip
    cut: tuple[int, int] = (0, 0)  # fully hidden columns on the left and rows at the top of the sprite
    hidden: float = 0.0  # share of its pixels that are occluded
    front: tuple[Object, ...] = ()  # the occluders
    style: str = "openmoji"  # of styles.STYLES

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(cx, cy, w, h) as shares of the picture's sides."""
        s = self.side
        return (self.x + self.width / 2) / s, (self.y + self.height / 2) / s, self.width / s, self.height / s

    @property
    def colour(self) -> str | None:
        return colours.colour(self.concept, (self.style,))

    @property
    def sprite(self) -> np.ndarray:
        """(h, w, 4) uint8, colours premultiplied by alpha, without occlusion."""
        pixels = sprite(self.concept, self.scale, rendering_side(self.side), self.angle, self.style)
        return pixels[:, :: -1 if self.flip else 1]

    def place(self, pixels: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns of the picture that `pixels`, the sprite, covers."""
        left, top = self.x - self.cut[0], self.y - self.cut[1]
        return slice(top, top + pixels.shape[0]), slice(left, left + pixels.shape[1])

    @property
    def silhouette(self) -> np.ndarray:
        """(side, side) bool, True where the object is, occluded or not."""
        mask, pixels = np.zeros((self.side, self.side), bool), self.sprite
        mask[self.place(pixels)] = pixels[..., 3] >= VISIBLE
        return mask

    @property
    def mask(self) -> np.ndarray:
        """(side, side) bool, True where the object is visible."""
        mask = self.silhouette
        for other in self.front:
            mask &= ~other.silhouette
        return mask


def may_occlude(new: Object, placed: Sequence[Object], most: float) -> bool:
    """Whether `new`, in front of the objects placed before, hides of each nothing or at least the share HIDES, and
    leaves it, with its other occluders, all but the share `most`."""
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


def with_occlusion(placed: Sequence[Object]) -> list[Object]:
    """The objects, each in front of those before it, with the boxes of their visible parts."""
    done: list[Object] = []
    for o in reversed(placed):
        whole = o.silhouette
        front = tuple(other for other in done if (whole & other.silhouette).any())
        if front:
            visible = replace(o, front=front).mask
            rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
            x, y = int(columns[0]), int(rows[0])
            cut, hidden = (x - o.x, y - o.y), 1 - float(visible.sum() / whole.sum())
            width, height = int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
            o = replace(o, x=x, y=y, width=width, height=height, front=front, cut=cut, hidden=hidden)
        done.insert(0, o)
    return done


def rendering_side(image_size: int) -> int:
    """Pixels of the rendering that a scene's sprites are cut from: a power of two, larger than any of them."""
    return 1 << (image_size - 1).bit_length()


@lru_cache(maxsize=8192)
def sprite(concept: int, scale: int, rendered: int, angle: int = 0, style: str = "openmoji") -> np.ndarray:
    """(h, w, 4) uint8, colours premultiplied by alpha: a concept's drawing, cut out of its rendering."""
    return cut_out(styles.picture(openmoji.concepts()[concept], rendered, style), scale, angle)


def cut_out(rendering: np.ndarray, scale: int, angle: int = 0) -> np.ndarray:
    """(S, S, 4) uint8 RGBA -> (h, w, 4) uint8, colours premultiplied by alpha: the drawing, `scale` pixels (or one or
    two less) on its longer side, rotated by `angle` degrees."""
    whole = Image.fromarray(rendering)
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


def pastel_background(side: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side, 3) float32 in [0, 255]."""
    colour, other = 255 - rng.random((2, 3), np.float32) * PASTEL
    canvas = np.empty((side, side, 3), np.float32)
    canvas[:] = colour
    kind = int(rng.random() * 3)
    if kind == 1:
        ramp = np.linspace(0, 1, side, dtype=np.float32)[:, None]
        canvas += (ramp * (other - colour))[:, None] if rng.random() < 0.5 else ramp * (other - colour)
    elif kind == 2:
        canvas -= rng.random((side, side, 1), np.float32) * 16
    return canvas


def add_clutter(canvas: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """The canvas (side, side, 3) with 0 to `most` lines, discs and rectangles on it, each number equally often."""
    side = len(canvas)
    count = int(rng.random() * (most + 1))
    picture = Image.fromarray((canvas + 0.5).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    numbers, tones = rng.random((count, 5)).tolist(), (255 - rng.random((count, 3)) * MIDDLE).astype(int).tolist()
    for (kind, x, y, width, height), tone in zip(numbers, tones, strict=True):
        x, y, width, height, tone = x * side, y * side, width - 0.5, height - 0.5, tuple(tone)
        if kind < 1 / 3:
            end = (x + 1.2 * width * side, y + 1.2 * height * side)
            pen.line(((x, y), end), fill=tone, width=max(1, round(side / 48)))
        elif kind < 2 / 3:
            radius = (0.03 + 0.12 * abs(width)) * side
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tone)
        else:
            w, h = (0.03 + 0.25 * abs(width)) * side, (0.03 + 0.25 * abs(height)) * side
            pen.rectangle((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=tone)
    return np.asarray(picture, np.float32)
