"""The part of a picture that the model sees, its boxes in it, and how training pictures are varied."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
from PIL import Image, ImageOps

from ..config import AugmentConfig
from ..data.source import Box, Region
from .readers.records import Mask, Phrase

Window = tuple[float, float, float, float]  # left, upper, right, lower; pixels
SIDES = {"left": "right", "right": "left"}


class Outlined(Region):
    """A region whose mask is made when it is first asked for. ConfigError then, where it cannot be."""

    def __init__(self, text: str, box: Box, make: Callable[[], np.ndarray | None]) -> None:
        for name, value in (("text", text), ("box", box), ("make", make)):
            object.__setattr__(self, name, value)  # a Region is frozen

    @cached_property
    def mask(self) -> np.ndarray | None:  # type: ignore[override]
        return self.make()  # type: ignore[attr-defined]


def window_of(width: int, height: int, crop: float, rng: np.random.Generator | None) -> Window:
    """The largest square in the middle, as `images.prepare` has it; with a generator, a square of `crop` to 1 of its
    area, anywhere in the picture."""
    side = float(min(width, height))
    left, upper = (width - side) / 2, (height - side) / 2
    if rng is not None and crop < 1:
        side *= rng.uniform(crop, 1) ** 0.5
        left, upper = rng.uniform(0, width - side), rng.uniform(0, height - side)
    return left, upper, left + side, upper + side


def framed(
    picture: Image.Image,
    phrases: tuple[Phrase, ...],
    text: str,
    side: int,
    augment: AugmentConfig = AugmentConfig(),  # noqa: B008  # frozen
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, tuple[Region, ...], str]:
    """(side, side, 3) uint8, the regions whose centre is inside, and the text. Without a generator, not varied; the
    regions of such a picture have their masks."""
    window = window_of(*picture.size, augment.crop, rng)
    regions: list[Region] = []
    for phrase in phrases:
        if (box := inside(phrase.box, window, picture.size)) is None:
            continue
        if (mask := phrase.mask) is None or rng is not None:
            regions.append(Region(phrase.text, box))
        else:
            regions.append(Outlined(phrase.text, box, partial(_square, mask, picture.size, side)))
    if rng is None or augment.crop == 1:
        square = ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)
    else:
        square = picture.resize((side, side), Image.Resampling.BICUBIC, box=window)
    if rng is not None and rng.random() < augment.flip:
        square, text = ImageOps.mirror(square), mirrored_text(text)
        regions = [Region(mirrored_text(r.text), (1 - r.box[0], *r.box[1:])) for r in regions]
    return np.array(square), tuple(regions), text


def inside(
    box: tuple[float, float, float, float], window: Window, size: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """A box in pixels -> (cx, cy, w, h) as shares of the window, cut at its edges; None where its centre is outside."""
    x, y, w, h = box
    left, upper, right, lower = window
    cx, cy = x + w / 2, y + h / 2
    if not (left <= cx <= right and upper <= cy <= lower and 0 <= cx <= size[0] and 0 <= cy <= size[1]):
        return None
    low_x, high_x = (min(max(v, left), right) for v in (x, x + w))
    low_y, high_y = (min(max(v, upper), lower) for v in (y, y + h))
    side = right - left
    if high_x <= low_x or high_y <= low_y:
        return None
    return (
        ((low_x + high_x) / 2 - left) / side,
        ((low_y + high_y) / 2 - upper) / side,
        (high_x - low_x) / side,
        (high_y - low_y) / side,
    )


def _square(mask: Mask, size: tuple[int, int], side: int) -> np.ndarray | None:
    """(side, side) bool, the part of a mask that is in the middle square: pixels that it covers by half or, where there
    are none, by most; None where it covers none."""
    whole = Image.fromarray(mask.pixels(*size).astype(np.uint8) * 255)
    share = np.array(ImageOps.fit(whole, (side, side), Image.Resampling.BOX))
    return share >= min(128, share.max()) if share.any() else None


def mirrored_text(text: str) -> str:
    """The text with the words left and right exchanged, in whatever case."""

    def other(found: re.Match[str]) -> str:
        word = found[0]
        new = SIDES[word.lower()]
        return new.upper() if word.isupper() else new.capitalize() if word[0].isupper() else new

    return re.sub(r"\b(left|right)\b", other, text, flags=re.I)
