"""Scenes of one to four drawings with ground truth: a pure function of (seed, split, index).

The splits share no scene: a hash of a scene's content decides its split. A tenth of all pairs of concepts is held out:
they occur together in `unseen_combinations` only; the last concepts of OpenMoji's order in `unseen_concepts` only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...base import seeding
from ...base.fields import one_of, require
from ...config import CaptionConfig
from ..source import ItemKey, Region, Shown, Split
from . import captions, colours, concept_pools, grammar, objects, openmoji, styles
from .captions import PLAIN, CaptionStyle, make_caption, referring_expression
from .concept_pools import MOST, ConceptPools
from .grammar import Caption
from .objects import Object, add_clutter, may_occlude, pastel_background, rendering_side, sprite, with_occlusion

SIZES = {"big": (0.46, 0.58), "small": (0.30, 0.36)}  # the longer side, as a share of the picture's
CROWDED = 0.50  # the largest share where there are several objects
ANGLES = 6  # steps from upright to the largest rotation, either way: few, since sprites are cached
CELLS = 8  # a side: positions within one cell count as the same content
ATTEMPTS = 10_000
CORPUS_SCENES = 4000  # whose captions and phrases a tokenizer is trained on ...
CORPUS_NAMES = 40_000  # ... and repetitions of the concepts' names, shared evenly: a common name is then one token


@dataclass(frozen=True, eq=False, repr=False)
class Scene(Shown):
    """An Example with all ground truth."""

    image: np.ndarray  # (side, side, 3) uint8 RGB
    objects: tuple[Object, ...]  # from back to front
    caption: Caption  # mentions every object
    phrases: tuple[Caption, ...]  # a referring expression of each object
    credit: str  # of the drawings that were placed

    @property
    def text(self) -> str:
        return self.caption.text

    @property
    def regions(self) -> tuple[Region, ...]:
        return tuple(Region(p.text, o.box, o.mask) for p, o in zip(self.phrases, self.objects, strict=True))

    @property
    def content(self) -> tuple[tuple[int, ...], ...]:
        """Equal for scenes that count as the same one."""
        return _content(self.objects)


@dataclass(frozen=True)
class World(ConceptPools):
    """Scenes of the first `concepts` of OpenMoji's order, on `image_size` pixels a side; of the last UNSEEN, those that
    remain are unseen. Captions and clutter draw from generators of their own: richer ones change no object."""

    captions: CaptionConfig = field(default_factory=CaptionConfig)
    single_until: float = 0.0  # curriculum of the training pairs: one object, each concept at most once, ...
    full_from: float = 0.0  # ... and then more, up to MOST from this share of the training
    styles: tuple[str, ...] = styles.DEFAULT  # each object is drawn in one of them, each as likely

    name = "openmoji"
    provides = frozenset({"pairs", "regions", "images", "objects", "masks", "boxes", "relations"})

    @property
    def credit(self) -> str:  # type: ignore[override]
        return styles.credit(self.styles)

    @property
    def licence(self) -> str:  # type: ignore[override]
        return styles.licence(self.styles)

    def size(self, split: Split) -> None:
        """Endless."""

    def example(self, split: Split, index: int, seed: int = 0) -> Scene:
        return self.scene(split, index, seed=seed)

    def pair(self, key: ItemKey) -> Scene:
        """By the curriculum. The other streams go without: lone objects would repeat each other's phrases."""
        index, number = seeding.seed("pairs", key.step, key.index), self.curriculum(key)
        if number != (1, 1):
            return self.scene(key.split, index, number, key.seed)
        order = seeding.rng(key.seed, key.split, key.step, "pairs", "concepts").permutation(self.concepts)
        concept = order[key.index % len(order)]  # each concept at most once, as far as they suffice: no false negatives
        return self.scene(key.split, index, seed=key.seed, concepts=(int(concept),))

    def curriculum(self, key: ItemKey) -> tuple[int, int] | None:
        """The fewest and the most objects of a pair. None: as the split has them."""
        if key.split != "train" or key.progress >= self.full_from:
            return None
        if key.progress < self.single_until:
            return 1, 1
        return 1, 2 + int((MOST - 1) * (key.progress - self.single_until) / (self.full_from - self.single_until))

    def corpus(self) -> Iterator[str]:
        for index in range(CORPUS_SCENES):
            scene = self.scene("train", index)
            yield scene.text
            yield from (phrase.text for phrase in scene.phrases)
        for name in self.names:
            yield from [f" {name}", f" {grammar.plural(name)}"] * (CORPUS_NAMES // self.concepts)

    @property
    def fingerprint(self) -> str:
        """Of the code and rules that determine the corpus: drawing it takes seconds."""
        modules = (captions, colours, concept_pools, grammar, objects, openmoji, styles)
        files = (__file__, *(module.__file__ for module in modules))
        rules = repr((self.names, self.scenes, self.captions, self.styles)).encode()
        code = b"".join(Path(file).read_bytes() for file in files if file)
        return hashlib.blake2b(code + rules, digest_size=8).hexdigest()

    def scene(
        self,
        split: Split,
        index: int,
        objects: int | tuple[int, int] | None = None,
        seed: int = 0,
        concepts: tuple[int, ...] = (),
        phrases: bool = True,
    ) -> Scene:
        """Scene `index` of a split. `objects`: their number, or its (lowest, highest), each equally likely; None is
        (1, 4), in `unseen_combinations` (2, 4). `concepts`: what is shown instead, as indices of openmoji.concepts().
        Without `phrases` the scene may hold objects that no phrase distinguishes.

        Raises ValueError for an unknown split, a negative index or seed, an impossible number, or concepts that the
        split must not show together.
        """
        for name, value in (("index", index), ("seed", seed)):
            require(isinstance(value, int | np.integer) and value >= 0, name, value, "a whole number, 0 or more")
        low, high = self.number_range(split, objects, concepts)
        key = (seed, split, index, low, high, concepts)
        rng = seeding.rng("scene", *key)
        hand = seeding.rng("styles", *key) if len(self.styles) > 1 else None  # its own: of one style nothing is drawn
        style = PLAIN if self.captions == PLAIN.config else CaptionStyle(self.captions, seeding.rng("words", *key))
        number = low + int(rng.random() * (high - low + 1))
        for _ in range(ATTEMPTS):
            shown = list(concepts) or self.draw_concepts(split, number, rng)
            placed = self._place(shown, rng, hand) if shown else None
            if placed and _belongs_to(split, placed):
                expressions = [referring_expression(placed, i, rng, style) for i in range(number if phrases else 0)]
                if all(expressions):
                    absent = self.draw_absent(split, placed, style.rng) if style.draw_negation() else None
                    caption = make_caption(placed, rng, style, absent)
                    named = tuple(p for p in expressions if p)
                    credit = styles.credit(o.style for o in placed)
                    return Scene(self._render(placed, rng), tuple(placed), caption, named, credit)
        shown = [openmoji.concepts()[c].name for c in concepts] or f"{number} objects"
        raise RuntimeError(f"no {split!r} scene of {shown} in {ATTEMPTS} attempts: ask for fewer or others")

    def _place(
        self, shown: list[int], rng: np.random.Generator, hand: np.random.Generator | None
    ) -> list[Object] | None:
        """Objects of random size, position and direction, a pixel apart at least or, where objects may overlap, in
        front of those placed before; None where they do not fit."""
        side, rules, placed = self.image_size, self.scenes, []
        for concept in shown:
            size = "big" if rng.random() < (0.5 if len(shown) < 3 else 0.35) else "small"
            low, high = SIZES[size] if len(shown) == 1 else np.minimum(SIZES[size], CROWDED).tolist()
            scale = round(side * (low + rng.random() * (high - low)))
            turn = int(rng.random() * (2 * ANGLES + 1)) - ANGLES if rules.rotation else 0
            angle = round(rules.rotation * turn / ANGLES)
            style = self.styles[int(hand.random() * len(self.styles)) if hand else 0]
            height, width = sprite(concept, scale, rendering_side(side), angle, style).shape[:2]
            for left, top in rng.random((8, 2)).tolist():
                x, y = int(left * (side - width + 1)), int(top * (side - height + 1))
                free = all(
                    x > o.x + o.width or o.x > x + width or y > o.y + o.height or o.y > y + height for o in placed
                )
                if free or rules.overlap:
                    name, flip = openmoji.concepts()[concept].name, rng.random() < 0.5
                    new = Object(concept, name, size, x, y, width, height, side, scale, flip, angle, style=style)
                    if free or may_occlude(new, placed, rules.overlap):
                        placed.append(new)
                        break
            else:
                return None
        return with_occlusion(placed) if rules.overlap else placed

    def replace_object(self, scene: Scene, name: str, other: str) -> Scene:
        """The scene with the objects of one name shown as another concept, at their place. Its texts stay.

        The background is drawn anew, the same each time: of one scene, results for different `other` differ in these
        objects alone, also from that for `other=name`. ConfigError for a name that the scene, or the world, lacks.
        """
        one_of("name", name, [o.name for o in scene.objects])
        one_of("other", other, self.names)

        def shown(o: Object) -> Object:
            new = replace(o, concept=self.names.index(other), name=other)
            height, width = new.sprite.shape[:2]
            return replace(new, x=min(o.x, o.side - width), y=min(o.y, o.side - height), width=width, height=height)

        objects = [shown(o) if o.name == name and other != name else o for o in scene.objects]
        return replace(scene, image=self._render(objects, seeding.rng("one ground")), objects=tuple(objects))

    def _render(self, placed: list[Object], rng: np.random.Generator) -> np.ndarray:
        """(side, side, 3) uint8: the objects over the background, the first farthest behind."""
        canvas = pastel_background(self.image_size, rng)
        if self.scenes.clutter:
            canvas = add_clutter(canvas, self.scenes.clutter, rng)
        for o in placed:
            pixels = o.sprite.astype(np.float32)
            under = canvas[o.place(pixels)]
            under *= 1 - pixels[..., 3:] / 255
            under += pixels[..., :3]
        return (canvas + 0.5).astype(np.uint8)


def _content(objects: list[Object] | tuple[Object, ...]) -> tuple[tuple[int, ...], ...]:
    """What makes two scenes the same: concepts, sizes, directions and coarse positions; in any order, at any angle, on
    any background. So scenes that differ in nothing else are of one split."""
    centres = [(o.concept, int(o.size == "big"), int(o.flip), *o.box[:2]) for o in objects]
    return tuple(sorted((*what, int(cx * CELLS), int(cy * CELLS)) for *what, cx, cy in centres))


def _belongs_to(split: Split, objects: list[Object]) -> bool:
    """A tenth of all contents is for tests, a tenth for validation, the rest for training."""
    part = ("test", "validation", *["train"] * 8)[seeding.seed("content", _content(objects)) % 10]
    return split == part or split.startswith("unseen")
