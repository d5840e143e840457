"""Scenes on demand for questions and statements: concepts drawn evenly, and scenes that meet a condition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

from ...base import seeding
from . import openmoji
from .concept_pools import FEWEST, MOST
from .grammar import OCCLUSIONS, RELATIONS, plural
from .scenes import ATTEMPTS, Scene, Split, World

T = TypeVar("T")
ConceptSampler = Callable[[np.random.Generator], list[int]]  # draws the concepts of a picture


class SceneSampler:
    """Draws scenes under constraints, for pairs of scenes that differ in one thing."""

    def __init__(self, world: World, split: Split) -> None:
        """Raises ValueError where the split shows too few concepts."""
        self.world, self.combined = world, split == "unseen_combinations"
        self.split: Split = split
        self.pool: Sequence[int] = world.pool(split)  # the concepts that may be shown with another
        if len(self.pool) < FEWEST:
            few = f"{len(self.pool)} concepts are too few to ask about, {FEWEST} are needed"
            raise ValueError(f"split = {split!r}, data.concepts = {world.concepts}: {few}; take fewer or another split")
        if self.combined:
            self.pool = [c for c in self.pool if world.held_out_partners[c]]
        self.relation_words = [w for w in RELATIONS if world.scenes.overlap or w not in OCCLUSIONS]  # that can be true

    @cached_property
    def countable(self) -> list[int]:
        """The concepts whose plural is unique: "books" are several of one concept, and the name of another."""
        plurals = Counter(plural(name_of(c)) for c in self.pool)
        return [c for c in self.pool if plurals[plural(name_of(c))] == 1]

    def partners(self, concept: int) -> list[int]:
        """Those that may be shown with the concept; in `unseen_combinations` those that it is held out from."""
        held_out = self.world.held_out_partners[concept]
        return sorted(held_out) if self.combined else [c for c in self.pool if c != concept and c not in held_out]

    def showing(
        self, shown: Sequence[int], excluded: Sequence[int] = (), least: int = 1, most: int = MOST
    ) -> ConceptSampler:
        """Of `shown` and others, each once and none `excluded`: `least` to `most`, each number equally likely."""
        least = max(len(shown), least, 2 if self.combined else 1)

        def sample(rng: np.random.Generator) -> list[int]:
            chosen, number = list(shown), least + int(rng.random() * (most + 1 - least))
            while len(chosen) < number:
                new = choose(self.pool, rng)
                if new not in chosen and new not in excluded:
                    chosen.append(new)
            return chosen

        return sample

    def scene(self, concepts: ConceptSampler, accept: Callable[[Scene], bool], *key: object) -> Scene:
        """An accepted scene of the split: a function of the key. RuntimeError where none is found."""
        rng, seed = seeding.rng("stage", *key), seeding.seed("stage", *key)
        for attempt in range(ATTEMPTS):
            shown = rng.permutation(concepts(rng)).tolist()  # from back to front
            if any(not self.world.held_out_partners[c].isdisjoint(shown) for c in shown) == self.combined:
                scene = self.world.scene(self.split, attempt, seed=seed, concepts=tuple(shown), phrases=False)
                if accept(scene):
                    return scene
        raise RuntimeError(f"no such {self.split!r} scene in {ATTEMPTS} attempts: {key}")


def name_of(concept: int) -> str:
    """The name of a concept by its index."""
    return openmoji.concepts()[concept].name


def choose(items: Sequence[T], rng: np.random.Generator) -> T:
    """One item, each as likely."""
    return items[int(rng.random() * len(items))]


def choose_two(items: Sequence[T], rng: np.random.Generator) -> tuple[T, T]:
    """Two different ones, in any order."""
    first, second = rng.choice(len(items), 2, replace=False).tolist()
    return items[first], items[second]
