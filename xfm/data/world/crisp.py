"""Scenes at a screen's resolution: the drawings are vectors, the model's picture has fewer pixels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from weakref import ref

import numpy as np
from PIL import Image

from . import openmoji, styles
from .objects import VISIBLE, Object
from .scenes import World

SIDE = 384  # pixels of a crisp picture
MOST = 1024  # pictures that are remembered though nobody holds them: a view's, stacked, have just been drawn
_drawn: OrderedDict[int, tuple[tuple[Object, ...], ref[np.ndarray]]] = OrderedDict()  # by the hash of their pixels


@dataclass(frozen=True)
class RememberingWorld(World):
    """The world, with the objects of its last pictures, and of all that are still held, for `crisp`."""

    def _render(self, placed: list[Object], rng: np.random.Generator) -> np.ndarray:
        image = super()._render(placed, rng)
        _drawn[hash(image.tobytes())] = tuple(placed), ref(image)
        if len(_drawn) > MOST and (key := next((k for k, (_, held) in _drawn.items() if held() is None), None)):
            del _drawn[key]
        return image


def crisp(image: np.ndarray, side: int = SIDE) -> bytes:
    """A WebP of the scene with these pixels (S, S, 3) uint8, its drawings rendered anew at `side` pixels; b"" for a
    picture that no world of this process has drawn lately or whose scene is gone."""
    objects, _ = _drawn.get(hash(image.tobytes()), ((), None))
    if not objects or image.shape != (objects[0].side, objects[0].side, 3) or len(image) >= side:
        return b""
    return rendered(image, objects, side)


def rendered(image: np.ndarray, objects: Sequence[Object], side: int = SIDE) -> bytes:
    """A WebP of these objects, drawn anew at `side` pixels, on the ground of the picture (S, S, 3) uint8."""
    canvas, factor = _background(image, objects, side), side / len(image)
    for o in objects:
        rows, columns = o.place(o.sprite)
        edges = (rows.start, rows.stop, columns.start, columns.stop)
        top, bottom, start, end = (round(factor * edge) for edge in edges)
        pixels = _sprite(o, (end - start, bottom - top))
        under = canvas[top:bottom, start:end]
        under *= 1 - pixels[..., 3:] / 255
        under += pixels[..., :3]
    return webp(Image.fromarray((canvas + 0.5).clip(0, 255).astype(np.uint8)))


def webp(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "WEBP", quality=82, method=3)
    return buffer.getvalue()


def _background(image: np.ndarray, objects: Sequence[Object], side: int) -> np.ndarray:
    """(side, side, 3) float32: the plane of colours through what no object covers, and what differs from it there."""
    free = np.ones(image.shape[:2], bool)
    for o in objects:
        pixels = o.sprite
        free[o.place(pixels)] &= pixels[..., 3] == 0
    rows, columns = np.mgrid[: len(image), : len(image)]
    grid = np.stack([rows, columns, np.ones_like(rows)], -1).astype(np.float32)
    plane = grid @ np.linalg.lstsq(grid[free], image[free].astype(np.float32), rcond=None)[0]
    rest = np.where(free[..., None], image - plane, 0)
    resized = [np.asarray(Image.fromarray(layer).resize((side, side), Image.Resampling.BICUBIC))
               for layer in np.moveaxis(plane + rest, -1, 0).astype(np.float32)]  # fmt: skip
    return np.stack(resized, -1).copy()


@lru_cache(maxsize=512)
def _sprite(o: Object, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 4) uint8, colours premultiplied by alpha: as `objects.sprite` cuts and turns it, of this size."""
    concept = openmoji.concepts()[o.concept]
    drawing = concept.file.read_text("utf-8") if o.style == "openmoji" else _drawings(o.style)[concept.code]
    whole = Image.fromarray(styles.render(drawing, round(1.4 * max(size))))  # most fill 0.7 of their square
    cut = whole.crop(whole.getbbox()).convert("RGBa")
    if o.angle:
        cut = cut.rotate(o.angle, Image.Resampling.BICUBIC, expand=True)
    if o.flip:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    visible = np.asarray(cut)[..., 3] >= VISIBLE
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return np.asarray(cut.resize(size, Image.Resampling.BOX, box=box))


@lru_cache(maxsize=4)
def _drawings(style: str) -> dict[str, str]:
    return styles.svg(style)
