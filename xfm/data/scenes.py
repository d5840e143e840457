"""Scenes of one to four OpenMoji pictures with ground truth: a pure function of (seed, split, index).

The splits share no scene: a hash of a scene's content gives its split. A tenth of all pairs of concepts is held out:
they meet in `unseen_combinations` only; the last concepts of OpenMoji's order are seen in `unseen_concepts` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, get_args

import numpy as np
from PIL import Image

from .. import keyed
from . import openmoji
from .grammar import Caption, describe, refer

Split = Literal["train", "validation", "test", "unseen_combinations", "unseen_concepts"]
SPLITS: tuple[Split, ...] = get_args(Split)
MOST = 4  # objects in a scene
SIZES = {"big": (0.46, 0.58), "small": (0.30, 0.36)}  # the longer side, as a share of the picture's
CROWDED = 0.50  # the largest share where there are several objects
REPEAT = 0.15  # probability that a further object repeats a concept
VISIBLE = 64  # alpha from which a pixel belongs to an object
CELLS = 8  # a side: positions within one cell count as the same content
ATTEMPTS = 10_000
FEWEST = 16  # concepts of a world: fewer might leave no pair to hold out, or none to show


@dataclass(frozen=True, slots=True)
class Object:
    concept: int  # place in openmoji.concepts(); below World.concepts: its class
    name: str
    size: Literal["big", "small"]
    x: int  # pixels, the tight box of the visible alpha
    y: int
    width: int
    height: int
    side: int  # of the picture, pixels
    scale: int  # the sprite's longer side before the tight cut, pixels
    flip: bool

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(cx, cy, w, h) as shares of the picture's sides."""
        s = self.side
        return (self.x + self.width / 2) / s, (self.y + self.height / 2) / s, self.width / s, self.height / s

    @property
    def mask(self) -> np.ndarray:
        """(side, side) bool, True where the object is."""
        mask = np.zeros((self.side, self.side), bool)
        visible = sprite(self.concept, self.scale, picture_side(self.side))[..., 3] >= VISIBLE
        mask[self.y : self.y + self.height, self.x : self.x + self.width] = visible[:, ::-1] if self.flip else visible
        return mask


@dataclass(frozen=True, eq=False)
class Scene:
    image: np.ndarray  # (side, side, 3) uint8 RGB
    objects: tuple[Object, ...]
    caption: Caption  # mentions every object
    phrases: tuple[Caption, ...]  # one an object, true of it alone

    @property
    def content(self) -> tuple[tuple[int, ...], ...]:
        return content(self.objects)


@dataclass(frozen=True)
class World:
    """The first `concepts` of OpenMoji's order, pictured on `image_size` pixels a side."""

    concepts: int = 100
    image_size: int = 48

    def __post_init__(self) -> None:
        most = len(openmoji.concepts()) - openmoji.UNSEEN
        if not FEWEST <= self.concepts <= most:
            raise ValueError(f"data.concepts = {self.concepts}: must be from {FEWEST} to {most}")
        if self.image_size < 32:
            raise ValueError(f"model.vision.image_size = {self.image_size}: scenes need at least 32 pixels a side")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in openmoji.concepts()[: self.concepts])

    @property
    def unseen_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in openmoji.concepts()[-openmoji.UNSEEN :])

    @cached_property
    def held_out(self) -> frozenset[tuple[int, int]]:
        """The pairs of concepts (a < b) that meet in `unseen_combinations` only; a larger world adds to a smaller's."""
        a, b = np.nonzero(np.triu(held_out_table()[: self.concepts, : self.concepts]))
        return frozenset(zip(a.tolist(), b.tolist(), strict=True))

    @cached_property
    def held_out_list(self) -> list[tuple[int, int]]:
        return sorted(self.held_out)

    def scene(self, split: Split, index: int, objects: int | tuple[int, int] | None = None, seed: int = 0,
              concepts: tuple[int, ...] = ()) -> Scene:  # fmt: skip
        """Scene `index` of a split. `objects` fixes their number, or its (lowest, highest) with each equally often;
        None is (1, 4), in `unseen_combinations` (2, 4). `concepts` fixes what is shown instead: places in the order.

        Raises ValueError for an unknown split, an impossible number, or concepts that the split must not show together.
        """
        low, high = self.numbers(split, objects, concepts)
        rng = keyed.rng("scene", seed, split, index, low, high, concepts)
        number = low + int(rng.random() * (high - low + 1))
        for _ in range(ATTEMPTS):
            shown = list(concepts) or self.choose(split, number, rng)
            placed = self.place(shown, rng) if shown else None
            if placed and membership(split, placed):
                phrases = [refer(placed, i, rng) for i in range(number)]
                if all(phrases):
                    caption = describe(placed, rng)
                    return Scene(self.draw(placed, rng), tuple(placed), caption, tuple(p for p in phrases if p))
        shown = [openmoji.concepts()[c].name for c in concepts] or f"{number} objects"
        raise RuntimeError(f"no {split!r} scene of {shown} in {ATTEMPTS} attempts: ask for fewer or others")

    def numbers(self, split: Split, objects: int | tuple[int, int] | None, concepts: tuple[int, ...]
                ) -> tuple[int, int]:  # fmt: skip
        """The lowest and the highest number of objects, once everything asked for is known to be possible."""
        if split not in SPLITS:
            raise ValueError(f"split = {split!r}: must be one of {', '.join(SPLITS)}")
        pairs = {(a, b) for a in concepts for b in concepts if (a, b) in self.held_out}
        pool = self.pool(split)
        if not all(c in pool for c in concepts) or (pairs and split != "unseen_combinations"):
            raise ValueError(f"concepts = {concepts}: {split!r} shows {pool}, and no pair of World.held_out together")
        if concepts and not pairs and split == "unseen_combinations":
            raise ValueError(f"concepts = {concepts}: {split!r} needs a pair of World.held_out")
        least = 2 if split == "unseen_combinations" else 1
        span = len(concepts) or objects or (least, MOST)
        low, high = (span, span) if isinstance(span, int) else span
        if not least <= low <= high <= MOST:
            raise ValueError(f"objects = {objects or concepts}: {split!r} has scenes of {least} to {MOST}")
        return low, high

    def pool(self, split: Split) -> range:
        everything = len(openmoji.concepts())
        return range(everything - openmoji.UNSEEN, everything) if split == "unseen_concepts" else range(self.concepts)

    def choose(self, split: Split, number: int, rng: np.random.Generator) -> list[int] | None:
        """Concepts, one perhaps repeated; None where the draw came to a pair that the split must not show."""
        pool, free, chosen = self.pool(split), split == "unseen_combinations", []
        if free:
            chosen += self.held_out_list[int(rng.random() * len(self.held_out_list))]
        while len(chosen) < number:
            if chosen and rng.random() < REPEAT:
                chosen.append(chosen[int(rng.random() * len(chosen))])
                continue
            new = pool[int(rng.random() * len(pool))]
            if new in chosen or (not free and any((min(new, c), max(new, c)) in self.held_out for c in chosen)):
                return None
            chosen.append(new)
        return chosen

    def place(self, shown: list[int], rng: np.random.Generator) -> list[Object] | None:
        """Objects of random size, place and direction, a pixel apart at least; None where they do not fit."""
        side, placed = self.image_size, []
        concepts = openmoji.concepts()
        for concept in shown:
            size = "big" if rng.random() < (0.5 if len(shown) < 3 else 0.35) else "small"
            low, high = SIZES[size]
            if len(shown) > 1:
                high = min(high, CROWDED)
            scale = round(side * (low + rng.random() * (high - low)))
            height, width = sprite(concept, scale, picture_side(side)).shape[:2]
            for left, top in rng.random((8, 2)).tolist():
                x, y = int(left * (side - width + 1)), int(top * (side - height + 1))
                if all(x > o.x + o.width or o.x > x + width or y > o.y + o.height or o.y > y + height for o in placed):
                    name, flip = concepts[concept].name, rng.random() < 0.5
                    placed.append(Object(concept, name, size, x, y, width, height, side, scale, flip))
                    break
            else:
                return None
        return placed

    def draw(self, placed: list[Object], rng: np.random.Generator) -> np.ndarray:
        """(side, side, 3) uint8: the objects over a pastel ground that is plain, graded or slightly noisy."""
        side = self.image_size
        colour, other = 255 - rng.random((2, 3), np.float32) * 60
        canvas = np.empty((side, side, 3), np.float32)
        canvas[:] = colour
        kind = int(rng.random() * 3)
        if kind == 1:
            ramp = np.linspace(0, 1, side, dtype=np.float32)[:, None]
            canvas += (ramp * (other - colour))[:, None] if rng.random() < 0.5 else ramp * (other - colour)
        elif kind == 2:
            canvas -= rng.random((side, side, 1), np.float32) * 16
        for o in placed:
            pixels = sprite(o.concept, o.scale, picture_side(side))[:, :: -1 if o.flip else 1].astype(np.float32)
            under = canvas[o.y : o.y + o.height, o.x : o.x + o.width]
            under *= 1 - pixels[..., 3:] / 255
            under += pixels[..., :3]
        return (canvas + 0.5).astype(np.uint8)


def content(objects: list[Object] | tuple[Object, ...]) -> tuple[tuple[int, ...], ...]:
    """What makes two scenes the same: concepts, sizes, directions and coarse places, in any order, on any ground."""
    centres = [(o.concept, int(o.size == "big"), int(o.flip), *o.box[:2]) for o in objects]
    return tuple(sorted((*what, int(cx * CELLS), int(cy * CELLS)) for *what, cx, cy in centres))


def membership(split: Split, objects: list[Object]) -> bool:
    """Whether the content is the split's: a tenth is for tests, a tenth for validation, the rest for training."""
    if split.startswith("unseen"):
        return True  # nothing of it can appear elsewhere
    return split == ("test", "validation", *["train"] * 8)[keyed.seed("content", content(objects)) % 10]


@lru_cache(maxsize=1)
def held_out_table() -> np.ndarray:
    """(853, 853) bool, the upper triangle of a keyed tenth."""
    count = len(openmoji.concepts())
    return np.triu(keyed.rng("openmoji", "held-out pairs").random((count, count)) < 0.1, 1)


def picture_side(image_size: int) -> int:
    """The rendering that a scene's sprites are cut from: a power of two, larger than any of them."""
    return 1 << (image_size - 1).bit_length()


@lru_cache(maxsize=4096)
def sprite(concept: int, scale: int, rendered: int) -> np.ndarray:
    """(h, w, 4) uint8, colours premultiplied by alpha: the visible part, `scale` pixels (or one or two less) on
    its longer side."""
    whole = Image.fromarray(openmoji.picture(openmoji.concepts()[concept], rendered))
    cut = whole.crop(whole.getbbox()).convert("RGBa")
    factor = scale / max(cut.size)
    size = (max(1, round(cut.width * factor)), max(1, round(cut.height * factor)))
    pixels = np.asarray(cut.resize(size, Image.Resampling.BOX))
    visible = pixels[..., 3] >= VISIBLE
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    return np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
