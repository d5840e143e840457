"""Masks of objects as COCO writes them: polygons, or run lengths, plain or compressed. They are checked when they are
read, kept small, and made pixels when they are asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from PIL import Image

from ...base.strings import shown
from ...config import ConfigError
from .records import Mask, Unusable

FARTHEST = 1e6  # pixels: of a vertex from the corner, and of an outline in all
DIGITS = 6  # of 5 bits each that a compressed run length may have


@dataclass(frozen=True, slots=True)
class Polygons:
    """The insides of one or more polygons, drawn by pycocotools."""

    parts: tuple[bytes, ...]  # of each, x and y of its vertices as float64

    @property
    def size(self) -> None:
        return None

    def pixels(self, width: int, height: int) -> np.ndarray:
        """As `Mask.pixels`; ConfigError without pycocotools, too."""
        try:
            coco: Any = importlib.import_module("pycocotools.mask")
        except ImportError:
            raise ConfigError("a mask of polygons needs the package pycocotools: pip install 'xfm-lab[own]'") from None
        outlines = [np.frombuffer(part).tolist() for part in self.parts]
        return coco.decode(coco.merge(coco.frPyObjects(outlines, height, width))) > 0


@dataclass(frozen=True, slots=True)
class RunLengths:
    """Runs down the columns, one after the other, outside and inside in turn."""

    width: int
    height: int
    counts: bytes  # uint32; their sum is width x height

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def pixels(self, width: int, height: int) -> np.ndarray:
        """As `Mask.pixels`."""
        if self.size != (width, height):
            raise ConfigError(f"a mask of {self.width} x {self.height} pixels in a picture of {width} x {height}")
        counts = np.frombuffer(self.counts, np.uint32)
        return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def mask_of(segmentation: Any, width: Any = None, height: Any = None) -> Mask | None:
    """COCO's field `segmentation` of an object in a picture of that size, pixels, as its file has it; None where there
    is none. Raises Unusable for what is no mask of such a picture."""
    if segmentation is None or segmentation == []:
        return None
    if isinstance(segmentation, list):
        return Polygons(_parts(segmentation))
    if not isinstance(segmentation, dict):
        raise _no_mask(segmentation, "polygons, or an object with size and counts")
    high, wide = _size(segmentation.get("size"))
    if width is not None and height is not None and (wide, high) != (width, height):
        raise _no_mask([high, wide], f"the picture's, {shown([height, width])}", "size")
    given = segmentation.get("counts")
    counts = _decompressed(given) if isinstance(given, str) else given
    if not isinstance(counts, list) or not all(type(n) is int and n >= 0 for n in counts):
        raise _no_mask(given, "a text, or whole numbers from 0", "counts")
    if sum(counts) != wide * high:
        raise _no_mask(given, f"of {wide * high} pixels in all, not of {shown(sum(counts))}", "counts")
    return RunLengths(wide, high, np.array(counts, np.uint32).tobytes())


def _parts(polygons: list) -> tuple[bytes, ...]:
    """Of polygons that pycocotools can draw: it checks nothing, and takes memory as their outlines are long."""
    outlines, outline = [], 0.0
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise _no_mask(polygon, "x and y of three or more vertices")
        if not all(type(v) in (int, float) and -FARTHEST <= v <= FARTHEST for v in polygon):
            raise _no_mask(polygon, f"numbers of at most {FARTHEST:,.0f} pixels")
        vertices = np.array(polygon, float)
        points = vertices.reshape(-1, 2)
        outline += float(np.abs(points - np.roll(points, 1, 0)).max(1).sum())
        if outline > FARTHEST:
            raise _no_mask(polygon, f"of an outline of at most {FARTHEST:,.0f} pixels")
        outlines.append(vertices.tobytes())
    return tuple(outlines)


def _size(size: Any) -> tuple[int, int]:
    """Height and width."""
    if not isinstance(size, list) or len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
        raise _no_mask(size, "height and width in pixels", "size")
    if size[0] * size[1] > (Image.MAX_IMAGE_PIXELS or inf):
        raise _no_mask(size, f"of at most {Image.MAX_IMAGE_PIXELS:,} pixels", "size")
    return size[0], size[1]


def _decompressed(text: str) -> list[int]:
    """COCO's compressed run lengths: digits of 5 bits, the lowest first, a sixth bit where more follow; from the fourth
    on, what a run is longer than the last but one."""
    counts: list[int] = []
    value = place = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or place == DIGITS:
            raise _no_mask(text, "compressed run lengths", "counts")
        value |= (code & 31) << 5 * place
        place += 1
        if code & 32:
            continue
        value -= (code & 16) << 5 * place - 4  # a sign: the highest bit
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = place = 0
    if place:
        raise _no_mask(text, "compressed run lengths, and whole", "counts")
    return counts


def _no_mask(given: object, allowed: str, field: str = "segmentation") -> Unusable:
    return Unusable("no mask", f"{field} = {shown(given)}: must be {allowed}")
