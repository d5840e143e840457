"""Scenes of one to four OpenMoji pictures with ground truth: a pure function of (seed, split, index).

The splits share no scene: a hash of a scene's content gives its split. A tenth of all pairs of concepts is held out:
they meet in `unseen_combinations` only; the last concepts of OpenMoji's order are seen in `unseen_concepts` only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ... import seeding
from ...config import CaptionConfig, ConfigError, SceneConfig
from ...config_utils import one_of
from ..source import SPLITS, ItemKey, Region, Source, Split
from . import background, captions, colours, grammar, objects, openmoji
from .background import cluttered, ground
from .captions import PLAIN, Manner, describe, refer
from .grammar import Caption, Thing
from .objects import Object, layered, may_hide, picture_side, sprite, turn

MOST = 4  # objects in a scene
SIZES = {"big": (0.46, 0.58), "small": (0.30, 0.36)}  # the longer side, as a share of the picture's
CROWDED = 0.50  # the largest share where there are several objects
REPEAT = 0.15  # probability that a further object repeats a concept
CELLS = 8  # a side: positions within one cell count as the same content
ATTEMPTS = 10_000
CORPUS_SCENES = 4000  # whose captions and phrases a tokenizer is trained on ...
CORPUS_NAMES = 40_000  # ... and so many repetitions of the concepts' names, shared evenly: a common name is one token
FEWEST = 16  # concepts of a world: fewer might leave no pair to hold out, or none to show


@dataclass(frozen=True, eq=False)
class Scene:
    image: np.ndarray  # (side, side, 3) uint8 RGB
    objects: tuple[Object, ...]  # the first is farthest behind
    caption: Caption  # mentions every object
    phrases: tuple[Caption, ...]  # one an object, true of it alone

    credit = openmoji.CREDIT

    @property
    def text(self) -> str:
        return self.caption.text

    @property
    def regions(self) -> tuple[Region, ...]:
        return tuple(Region(p.text, o.box, o.mask) for p, o in zip(self.phrases, self.objects, strict=True))

    @property
    def content(self) -> tuple[tuple[int, ...], ...]:
        return content(self.objects)


@dataclass(frozen=True)
class World(Source):
    """The first `concepts` of OpenMoji's order, pictured on `image_size` pixels a side.

    The last UNSEEN stay unseen, or what is left of them. Captions draw by themselves: richer ones move no picture, and
    clutter moves nothing but the ground.
    """

    concepts: int = 100
    image_size: int = 48
    scenes: SceneConfig = field(default_factory=SceneConfig)
    captions: CaptionConfig = field(default_factory=CaptionConfig)
    single_until: float = 0.0  # curriculum of the training pairs: one object, each concept at most once, ...
    full_from: float = 0.0  # ... and then more, all from this share of the training

    name = "openmoji"
    provides = frozenset({"pairs", "regions", "images", "objects", "masks", "boxes", "relations"})
    credit = openmoji.CREDIT

    def __post_init__(self) -> None:
        most = len(openmoji.concepts())
        if not FEWEST <= self.concepts <= most:
            raise ConfigError(f"data.concepts = {self.concepts}: must be from {FEWEST} to {most}")
        if self.image_size < 32:
            raise ConfigError(f"model.vision.image_size = {self.image_size}: scenes need at least 32 pixels a side")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in openmoji.concepts()[: self.concepts])

    @property
    def unseen_names(self) -> tuple[str, ...]:
        """Of the concepts that no other split shows; none in a world of all 853."""
        return tuple(openmoji.concepts()[c].name for c in self.pool("unseen_concepts"))

    @cached_property
    def held_out(self) -> frozenset[tuple[int, int]]:
        """The pairs of concepts (a < b) that meet in `unseen_combinations` only; a larger world adds to a smaller's."""
        a, b = np.nonzero(np.triu(held_out_table()[: self.concepts, : self.concepts]))
        return frozenset(zip(a.tolist(), b.tolist(), strict=True))

    @cached_property
    def strangers(self) -> tuple[frozenset[int], ...]:
        """For every concept those that it is held out from."""
        found: list[set[int]] = [set() for _ in openmoji.concepts()]
        for a, b in self.held_out:
            found[a].add(b)
            found[b].add(a)
        return tuple(map(frozenset, found))

    @cached_property
    def held_out_list(self) -> list[tuple[int, int]]:
        return sorted(self.held_out)

    @cached_property
    def held_out_alike(self) -> list[tuple[int, int]]:
        """Of one category."""
        concepts = openmoji.concepts()
        return [(a, b) for a, b in self.held_out_list if concepts[a].category == concepts[b].category]

    def scene(
        self,
        split: Split,
        index: int,
        objects: int | tuple[int, int] | None = None,
        seed: int = 0,
        concepts: tuple[int, ...] = (),
        phrases: bool = True,
    ) -> Scene:
        """Scene `index` of a split. `objects` fixes their number, or its (lowest, highest) with each equally often;
        None is (1, 4), in `unseen_combinations` (2, 4). `concepts` fixes what is shown instead: places in the order.
        Without `phrases` there may be several that nothing said could tell apart.

        Raises ValueError for an unknown split, an impossible number, or concepts that the split must not show together.
        """
        low, high = self.numbers(split, objects, concepts)
        key = (seed, split, index, low, high, concepts)
        rng = seeding.rng("scene", *key)
        manner = PLAIN if self.captions == PLAIN.config else Manner(self.captions, seeding.rng("words", *key))
        number = low + int(rng.random() * (high - low + 1))
        for _ in range(ATTEMPTS):
            shown = list(concepts) or self.choose(split, number, rng)
            placed = self.place(shown, rng) if shown else None
            if placed and membership(split, placed):
                said = [refer(placed, i, rng, manner) for i in range(number if phrases else 0)]
                if all(said):
                    absent = self.absent(split, placed, manner.rng) if manner.denies() else None
                    caption = describe(placed, rng, manner, absent)
                    return Scene(self.draw(placed, rng), tuple(placed), caption, tuple(p for p in said if p))
        shown = [openmoji.concepts()[c].name for c in concepts] or f"{number} objects"
        raise RuntimeError(f"no {split!r} scene of {shown} in {ATTEMPTS} attempts: ask for fewer or others")

    def size(self, split: Split) -> None:
        """Endless."""

    def example(self, split: Split, index: int, seed: int = 0) -> Scene:
        return self.scene(split, index, seed=seed)

    def pair(self, key: ItemKey) -> Scene:
        """With as many objects as the curriculum has come to. Regions do without: their phrases would repeat."""
        index, numbers = seeding.seed("pairs", key.step, key.index), self.objects_at(key)
        if numbers != (1, 1):
            return self.scene(key.split, index, numbers, key.seed)
        order = _permutation(
            self.concepts, key.seed, key.split, key.step, "pairs", "concepts"
        )  # each once: no false negatives
        return self.scene(key.split, index, seed=key.seed, concepts=(order[key.index % len(order)],))

    def objects_at(self, key: ItemKey) -> tuple[int, int] | None:
        """The fewest and the most objects of a pair. None: as many as the split has."""
        if key.split != "train" or key.progress >= self.full_from:
            return None
        if key.progress < self.single_until:
            return 1, 1
        done = (key.progress - self.single_until) / (self.full_from - self.single_until)
        return 1, 2 + int((MOST - 1) * done)

    def corpus(self) -> Iterator[str]:
        for index in range(CORPUS_SCENES):
            scene = self.scene("train", index)
            yield scene.text
            yield from (phrase.text for phrase in scene.phrases)
        for name in self.names:
            for _ in range(CORPUS_NAMES // self.concepts):
                yield from (f" {name}", f" {grammar.plural(name)}")

    @property
    def fingerprint(self) -> str:
        """Of what the corpus is a function of: drawing it takes seconds."""
        modules = (background, captions, colours, grammar, objects, openmoji)
        code = b"".join(Path(file).read_bytes() for file in (__file__, *(m.__file__ for m in modules)) if file)
        rules = repr((self.concepts, self.scenes, self.captions))
        return hashlib.blake2b(code + rules.encode(), digest_size=8).hexdigest()

    def numbers(
        self, split: Split, objects: int | tuple[int, int] | None, concepts: tuple[int, ...]
    ) -> tuple[int, int]:
        """The lowest and the highest number of objects, once everything asked for is known to be possible."""
        if split not in SPLITS:  # `one_of` costs as much as a twentieth of a scene
            one_of("split", split, SPLITS)
        pairs = {(a, b) for a in concepts for b in concepts if (a, b) in self.held_out}
        pool = self.pool(split)
        if not pool:
            fewer = "all concepts are seen in training, none is left: ask for fewer (data.concepts) or another split"
            raise ValueError(f"split = {split!r}, data.concepts = {self.concepts}: {fewer}")
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
        """The places in the order of the concepts that the split may show."""
        everything = len(openmoji.concepts())
        unseen = range(max(self.concepts, everything - openmoji.UNSEEN), everything)
        return unseen if split == "unseen_concepts" else range(self.concepts)

    def choose(self, split: Split, number: int, rng: np.random.Generator) -> list[int] | None:
        """Concepts, one perhaps repeated; None where the draw came to a pair that the split must not show."""
        pool, free, chosen = self.pool(split), split == "unseen_combinations", []
        if free:
            pairs = self.held_out_list
            if self.scenes.alike and rng.random() < self.scenes.alike:
                pairs = self.held_out_alike or pairs
            chosen += pairs[int(rng.random() * len(pairs))]
        while len(chosen) < number:
            if chosen and rng.random() < REPEAT:
                chosen.append(chosen[int(rng.random() * len(chosen))])
                continue
            drawn = pool
            if chosen and self.scenes.alike and rng.random() < self.scenes.alike:
                drawn = alike(pool, chosen[0])
            new = drawn[int(rng.random() * len(drawn))]
            if new in chosen or not (free or self.strangers[new].isdisjoint(chosen)):
                return None
            chosen.append(new)
        return chosen

    def place(self, shown: list[int], rng: np.random.Generator) -> list[Object] | None:
        """Objects of random size, place and direction, a pixel apart at least or, where they may, in front of those
        placed before; None where they do not fit."""
        side, rules, placed = self.image_size, self.scenes, []
        concepts = openmoji.concepts()
        for concept in shown:
            size = "big" if rng.random() < (0.5 if len(shown) < 3 else 0.35) else "small"
            low, high = SIZES[size]
            if len(shown) > 1:
                high = min(high, CROWDED)
            scale = round(side * (low + rng.random() * (high - low)))
            angle = turn(rng, rules.rotation) if rules.rotation else 0
            height, width = sprite(concept, scale, picture_side(side), angle).shape[:2]
            for left, top in rng.random((8, 2)).tolist():
                x, y = int(left * (side - width + 1)), int(top * (side - height + 1))
                free = all(
                    x > o.x + o.width or o.x > x + width or y > o.y + o.height or o.y > y + height for o in placed
                )
                if free or rules.overlap:
                    name, flip = concepts[concept].name, rng.random() < 0.5
                    new = Object(concept, name, size, x, y, width, height, side, scale, flip, angle)
                    if free or may_hide(new, placed, rules.overlap):
                        placed.append(new)
                        break
            else:
                return None
        return layered(placed) if rules.overlap else placed

    def draw(self, placed: list[Object], rng: np.random.Generator) -> np.ndarray:
        """(side, side, 3) uint8: the objects over the ground, the first farthest behind."""
        canvas = ground(self.image_size, rng)
        if self.scenes.clutter:
            canvas = cluttered(canvas, self.scenes.clutter, rng)
        for o in placed:
            pixels = o.sprite.astype(np.float32)
            under = canvas[o.place(pixels)]
            under *= 1 - pixels[..., 3:] / 255
            under += pixels[..., :3]
        return (canvas + 0.5).astype(np.uint8)

    def absent(self, split: Split, placed: list[Object], rng: np.random.Generator) -> Thing | None:
        """What one might expect and does not see, of an object's category or anything: never a concept of another split
        nor, but in `unseen_combinations`, the other one of a held-out pair. None where the draws found nothing."""
        shown, pool = [o.concept for o in placed], self.pool(split)
        for _ in range(8):
            near = shown[int(rng.random() * len(shown))]
            drawn = alike(pool, near) if rng.random() < 0.5 else pool
            new = drawn[int(rng.random() * len(drawn))]
            if new not in shown and (split == "unseen_combinations" or self.strangers[new].isdisjoint(shown)):
                return Thing(openmoji.concepts()[new].name)
        return None


@lru_cache(maxsize=2)
def _permutation(count: int, *key: object) -> list[int]:
    return seeding.rng(*key).permutation(count).tolist()


def alike(pool: range, concept: int) -> list[int]:
    """The concepts of the pool that are of the same category, itself among them."""
    return by_category(pool)[openmoji.concepts()[concept].category]


@lru_cache(maxsize=8)
def by_category(pool: range) -> dict[str, list[int]]:
    concepts = openmoji.concepts()
    return {category: [c for c in pool if concepts[c].category == category] for category in openmoji.CATEGORIES}


def content(objects: list[Object] | tuple[Object, ...]) -> tuple[tuple[int, ...], ...]:
    """What makes two scenes the same: concepts, sizes, directions and coarse places; in any order, turned by any angle,
    on any ground. So scenes that differ in nothing else are of one split."""
    centres = [(o.concept, int(o.size == "big"), int(o.flip), *o.box[:2]) for o in objects]
    return tuple(sorted((*what, int(cx * CELLS), int(cy * CELLS)) for *what, cx, cy in centres))


def membership(split: Split, objects: list[Object]) -> bool:
    """Whether the content is the split's: a tenth is for tests, a tenth for validation, the rest for training."""
    if split.startswith("unseen"):
        return True  # nothing of it can appear elsewhere
    return split == ("test", "validation", *["train"] * 8)[seeding.seed("content", content(objects)) % 10]


@lru_cache(maxsize=1)
def held_out_table() -> np.ndarray:
    """(853, 853) bool, the upper triangle of a keyed tenth."""
    count = len(openmoji.concepts())
    return np.triu(seeding.rng("openmoji", "held-out pairs").random((count, count)) < 0.1, 1)
