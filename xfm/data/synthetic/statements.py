"""Statements about two pictures, true or false by the ground truth, balanced in pairs.

Statements 2k and 2k + 1 are one text with two pairs of pictures, true of one and false of the other (as in NLVR2), so
who reads the text alone is right in exactly a half of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np

from ... import seeding
from .grammar import Caption, Relation, Thing, compose, fits, holds, plural
from .sampling import Cast, cast, countable, name_of, partners, pick, pool, relation_words, stage
from .scenes import MOST, Scene, Split, World

State = Literal["both", "one", "neither", "more"]
STATES: tuple[State, ...] = get_args(State)
QUANTIFIERS: dict[State, tuple[str, Callable[[int, int], bool]]] = {  # of what the left and the right picture show
    "both": ("both pictures show {}", lambda left, right: left > 0 < right),
    "one": ("exactly one picture shows {}", lambda left, right: (left > 0) != (right > 0)),
    "neither": ("neither picture shows {}", lambda left, right: left == right == 0),
    "more": ("the left picture shows more {} than the right one", lambda left, right: left > right),
}


@dataclass(frozen=True, eq=False)
class Statement:
    left: Scene
    right: Scene
    text: str
    truth: bool
    kind: State


@dataclass(frozen=True)
class Sight:
    """What a picture may show: a number of something, or whether a caption is true of it, as 0 or 1."""

    text: str
    most: int
    draw: Callable[[int], Cast]  # what a picture that shows so much is made of
    shown: Callable[[Scene], int]


def statements(world: World, split: Split, count: int, seed: int = 0) -> list[Statement]:
    """The first `count`, the kinds in turn. Raises ValueError where the split shows too few concepts."""
    return [statement(world, split, i, seed) for i in range(count)]


def statement(world: World, split: Split, index: int, seed: int = 0) -> Statement:
    """Statement `index`: a pure function of (seed, split, index)."""
    pair, side = divmod(index, 2)
    kind = STATES[pair % len(STATES)]
    rng = seeding.rng("statement", seed, split, pair)
    words, quantifier = QUANTIFIERS[kind]
    sight = number(world, split, rng) if kind == "more" else pick((thing, group, relation), rng)(world, split, rng)
    first = bool(rng.random() < 0.5)
    truth = first == (side == 0)
    rng = seeding.rng("statement", seed, split, pair, side)  # the two pairs of pictures have nothing in common
    amounts = [a for a in product(range(sight.most + 1), repeat=2) if quantifier(*a) == truth]
    left, right = (
        stage(world, split, sight.draw(n), lambda s, n=n: sight.shown(s) == n, "statement", seed, split, index, where)
        for where, n in zip(("left", "right"), pick(amounts, rng), strict=True)
    )
    return Statement(left, right, words.format(sight.text), truth, kind)


def number(world: World, split: Split, rng: np.random.Generator) -> Sight:
    """ "apples", as many as there are."""
    concept = pick(countable(world, split), rng)
    name = Thing(name_of(concept))
    return Sight(
        plural(name.name),
        MOST - 1,
        lambda n: cast(world, split, [concept] * n, [concept]),
        lambda scene: len(fits(name, scene.objects)),
    )


def thing(world: World, split: Split, rng: np.random.Generator) -> Sight:
    """ "a cat" """
    concept = pick(pool(world, split), rng)
    claim = compose([Thing(name_of(concept))], [])
    return claimed(claim, lambda n: cast(world, split, [concept] * n, [concept]))


def group(world: World, split: Split, rng: np.random.Generator) -> Sight:
    """ "two cats": where it is false, there is another number of them."""
    concept, count = pick(countable(world, split), rng), pick((2, 3), rng)
    claim = compose([Thing(name_of(concept), count=count)], [])

    def draw(n: int) -> Cast:
        def other(rng: np.random.Generator) -> list[int]:
            amount = count if n else pick([k for k in range(MOST) if k != count], rng)
            return cast(world, split, [concept] * amount, [concept])(rng)

        return other

    return claimed(claim, draw)


def relation(world: World, split: Split, rng: np.random.Generator) -> Sight:
    """ "a cat above a dog": where it is false, both are there all the same."""
    subject = pick(pool(world, split), rng)
    other, word = pick(partners(world, split, subject), rng), pick(relation_words(world), rng)
    claim = compose([Thing(name_of(subject)), Thing(name_of(other))], [Relation(0, word, 1)])
    return claimed(claim, lambda n: cast(world, split, [subject, other], most=3))


def claimed(claim: Caption, draw: Callable[[int], Cast]) -> Sight:
    return Sight(claim.text, 1, draw, lambda scene: int(holds(claim, scene)))
