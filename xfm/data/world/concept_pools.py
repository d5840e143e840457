"""Which concepts each split of the drawn world shows, how many at a time, and draws of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from ...base import seeding
from ...base.fields import one_of
from ...config import ConfigError, SceneConfig
from ..source import SPLITS, Source, Split
from . import openmoji
from .grammar import Thing
from .objects import Object

MOST = 4  # objects in a scene
REPEAT = 0.15  # probability that a further object repeats a concept
FEWEST = 16  # concepts of a world: fewer might leave no pair to hold out, or none to show


@dataclass(frozen=True)
class ConceptPools(Source):
    """The concepts of a world, those of each split, and the pairs that only `unseen_combinations` shows."""

    concepts: int = 100
    image_size: int = 48
    scenes: SceneConfig = field(default_factory=SceneConfig)

    def __post_init__(self) -> None:
        """Raises ConfigError for too few or too many concepts, and a picture that is too small."""
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
        """The pairs of concepts (a < b) that occur in `unseen_combinations` only; a larger world has more of them."""
        a, b = np.nonzero(_held_out_table()[: self.concepts, : self.concepts])
        return frozenset(zip(a.tolist(), b.tolist(), strict=True))

    @cached_property
    def held_out_partners(self) -> tuple[frozenset[int], ...]:
        """For every concept those that it is held out from."""
        table = _held_out_table()[: self.concepts, : self.concepts]
        partners = [frozenset(np.flatnonzero(row).tolist()) for row in table | table.T]
        return (*partners, *[frozenset()] * (len(openmoji.concepts()) - self.concepts))

    @cached_property
    def _held_out_lists(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """All held-out pairs, and those of one category."""
        concepts, pairs = openmoji.concepts(), sorted(self.held_out)
        return pairs, [(a, b) for a, b in pairs if concepts[a].category == concepts[b].category] or pairs

    def pool(self, split: Split) -> range:
        """The concepts that the split may show, as indices of openmoji.concepts()."""
        total = len(openmoji.concepts())
        unseen = range(max(self.concepts, total - openmoji.UNSEEN), total)
        return unseen if split == "unseen_concepts" else range(self.concepts)

    def number_range(
        self, split: Split, objects: int | tuple[int, int] | None, concepts: tuple[int, ...]
    ) -> tuple[int, int]:
        """The lowest and the highest number of objects, once the request is known to be possible."""
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

    def draw_concepts(self, split: Split, number: int, rng: np.random.Generator) -> list[int] | None:
        """Concepts, one perhaps repeated; None where the draw gave a pair that the split must not show."""
        pool, free, chosen = self.pool(split), split == "unseen_combinations", []
        if free:
            pairs = self._held_out_lists[bool(self.scenes.alike) and rng.random() < self.scenes.alike]
            chosen += pairs[int(rng.random() * len(pairs))]
        while len(chosen) < number:
            if chosen and rng.random() < REPEAT:
                chosen.append(chosen[int(rng.random() * len(chosen))])
                continue
            alike = chosen and self.scenes.alike and rng.random() < self.scenes.alike
            candidates = same_category(pool, chosen[0]) if alike else pool
            new = candidates[int(rng.random() * len(candidates))]
            if new in chosen or not (free or self.held_out_partners[new].isdisjoint(chosen)):
                return None
            chosen.append(new)
        return chosen

    def draw_absent(self, split: Split, placed: list[Object], rng: np.random.Generator) -> Thing | None:
        """Something plausible that is not in the picture, of an object's category or any: never a concept of another
        split nor, but in `unseen_combinations`, the other one of a held-out pair. None where no draw was allowed."""
        shown, pool = [o.concept for o in placed], self.pool(split)
        for _ in range(8):
            near = shown[int(rng.random() * len(shown))]
            candidates = same_category(pool, near) if rng.random() < 0.5 else pool
            new = candidates[int(rng.random() * len(candidates))]
            allowed = split == "unseen_combinations" or self.held_out_partners[new].isdisjoint(shown)
            if new not in shown and allowed:
                return Thing(openmoji.concepts()[new].name)
        return None


@lru_cache(maxsize=1024)
def same_category(pool: range, concept: int) -> list[int]:
    """The concepts of the pool that are of the same category, itself among them."""
    concepts = openmoji.concepts()
    return [c for c in pool if concepts[c].category == concepts[concept].category]


@lru_cache(maxsize=1)
def _held_out_table() -> np.ndarray:
    """(853, 853) bool, the upper triangle of a keyed tenth."""
    count = len(openmoji.concepts())
    return np.triu(seeding.rng("openmoji", "held-out pairs").random((count, count)) < 0.1, 1)
