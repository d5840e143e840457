"""Pictures made to order, for questions and statements: what is to be shown, drawn evenly, and scenes that show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from ... import seeding
from . import openmoji
from .grammar import LAYERS, RELATIONS, plural
from .scenes import ATTEMPTS, FEWEST, MOST, Scene, Split, World

T = TypeVar("T")
Cast = Callable[[np.random.Generator], list[int]]  # draws the concepts of a picture


def pool(world: World, split: Split) -> Sequence[int]:
    """The concepts that may be shown with any other. Raises ValueError where they are too few to ask about."""
    found = world.pool(split)
    if len(found) < FEWEST:
        few = f"{len(found)} concepts are too few to ask about, {FEWEST} are needed"
        raise ValueError(f"split = {split!r}, data.concepts = {world.concepts}: {few}; take fewer or another split")
    return [c for c in found if world.strangers[c]] if split == "unseen_combinations" else found


def countable(world: World, split: Split) -> list[int]:
    """Those whose plural is their own: "books" are several of one concept, and the name of another."""
    plurals = Counter(plural(name_of(c)) for c in pool(world, split))
    return [c for c in pool(world, split) if plurals[plural(name_of(c))] == 1]


def name_of(concept: int) -> str:
    return openmoji.concepts()[concept].name


def pick(some: Sequence[T], rng: np.random.Generator) -> T:
    return some[int(rng.random() * len(some))]


def two_of(some: Sequence[T], rng: np.random.Generator) -> tuple[T, T]:
    """Two different ones, in any order."""
    first, second = rng.choice(len(some), 2, replace=False).tolist()
    return some[first], some[second]


def partners(world: World, split: Split, concept: int) -> list[int]:
    """Those that alone may be shown beside the concept: in `unseen_combinations` those that it is held out from."""
    held_out = world.strangers[concept]
    if split == "unseen_combinations":
        return sorted(held_out)
    return [c for c in pool(world, split) if c != concept and c not in held_out]


def relation_words(world: World) -> list[str]:
    """Those that may be true in the world."""
    return [word for word in RELATIONS if world.scenes.overlap or word not in LAYERS]


def cast(
    world: World, split: Split, shown: Sequence[int], besides: Sequence[int] = (), least: int = 1, most: int = MOST
) -> Cast:
    """Draws `shown` and others, each once, none of `besides`: `least` to `most` in all, each number equally often."""
    everything = pool(world, split)
    least = max(len(shown), least, 2 if split == "unseen_combinations" else 1)

    def draw(rng: np.random.Generator) -> list[int]:
        chosen, number = list(shown), least + int(rng.random() * (most + 1 - least))
        while len(chosen) < number:
            new = pick(everything, rng)
            if new not in chosen and new not in besides:
                chosen.append(new)
        return chosen

    return draw


def stage(world: World, split: Split, draw: Cast, wanted: Callable[[Scene], bool], *key: object) -> Scene:
    """A scene of the split that is as wanted, of concepts that `draw` draws: a function of the key."""
    rng, seed = seeding.rng("stage", *key), seeding.seed("stage", *key)
    for attempt in range(ATTEMPTS):
        shown = rng.permutation(draw(rng)).tolist()  # the first is farthest behind
        held_out = any(not world.strangers[c].isdisjoint(shown) for c in shown)
        if held_out == (split == "unseen_combinations"):
            scene = world.scene(split, attempt, seed=seed, concepts=tuple(shown), phrases=False)
            if wanted(scene):
                return scene
    raise RuntimeError(f"no such {split!r} scene in {ATTEMPTS} attempts: {key}")
