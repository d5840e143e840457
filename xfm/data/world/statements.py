"""Statements about two pictures, true or false by the ground truth, balanced in pairs.

Statements 2k and 2k + 1 are one text with two pairs of pictures, true of one and false of the other (as in NLVR2, Suhr
et al., 2019), so a model that reads the text alone is right in exactly half of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np

from ...base import seeding
from .grammar import Relation, Thing, compose, is_true, matching_objects, plural
from .questions import ConceptSampler, SceneSampler, choose, name_of
from .scenes import MOST, Scene, Split, World

StatementKind = Literal["both", "one", "neither", "more"]
STATEMENT_KINDS: tuple[StatementKind, ...] = get_args(StatementKind)
QUANTIFIERS: dict[StatementKind, tuple[str, Callable[[int, int], bool]]] = {  # of the left and the right amount
    "both": ("both pictures show {}", lambda left, right: left > 0 < right),
    "one": ("exactly one picture shows {}", lambda left, right: (left > 0) != (right > 0)),
    "neither": ("neither picture shows {}", lambda left, right: left == right == 0),
    "more": ("the left picture shows more {} than the right one", lambda left, right: left > right),
}


@dataclass(frozen=True, eq=False)
class Statement:
    """A text about two scenes, true or false (as in NLVR2)."""

    left: Scene
    right: Scene
    text: str
    is_true: bool
    kind: StatementKind


@dataclass(frozen=True)
class _Content:
    """What a picture may show: a number of something, or whether a caption is true of it, as 0 or 1."""

    text: str
    most: int
    concepts: Callable[[int], ConceptSampler]  # of pictures that show such an amount
    amount: Callable[[Scene], int]


def statement(world: World, split: Split, index: int, seed: int = 0) -> Statement:
    """Statement `index`, the kinds in turn: a pure function of (seed, split, index). ValueError as of a question."""
    number, side = divmod(index, 2)
    kind = STATEMENT_KINDS[number % len(STATEMENT_KINDS)]
    rng = seeding.rng("statement", seed, split, number)
    text, quantifier = QUANTIFIERS[kind]
    make = _number if kind == "more" else choose((_thing, _group, _relation), rng)
    sampler = SceneSampler(world, split)
    content = make(sampler, rng)
    true = bool(rng.random() < 0.5) == (side == 0)
    rng = seeding.rng("statement", seed, split, number, side)  # the two pairs of pictures have nothing in common
    amounts = [a for a in product(range(content.most + 1), repeat=2) if quantifier(*a) == true]
    left, right = (
        sampler.scene(content.concepts(n), lambda s, n=n: content.amount(s) == n, "statement", seed, split, index, side)
        for side, n in zip(("left", "right"), choose(amounts, rng), strict=True)
    )
    return Statement(left, right, text.format(content.text), true, kind)


def _number(sampler: SceneSampler, rng: np.random.Generator) -> _Content:
    """ "apples", as many as there are."""
    concept = choose(sampler.countable, rng)
    thing = Thing(name_of(concept))
    return _Content(
        plural(thing.name),
        MOST - 1,
        lambda n: sampler.showing([concept] * n, [concept]),
        lambda scene: len(matching_objects(thing, scene.objects)),
    )


def _thing(sampler: SceneSampler, rng: np.random.Generator) -> _Content:
    """ "a cat" """
    concept = choose(sampler.pool, rng)
    return _claim([Thing(name_of(concept))], [], lambda n: sampler.showing([concept] * n, [concept]))


def _group(sampler: SceneSampler, rng: np.random.Generator) -> _Content:
    """ "two cats": where it is false, there is another number of them."""
    concept, count = choose(sampler.countable, rng), choose((2, 3), rng)
    others = [number for number in range(MOST) if number != count]

    def concepts(n: int) -> ConceptSampler:
        return lambda rng: sampler.showing([concept] * (count if n else choose(others, rng)), [concept])(rng)

    return _claim([Thing(name_of(concept), count=count)], [], concepts)


def _relation(sampler: SceneSampler, rng: np.random.Generator) -> _Content:
    """ "a cat above a dog": where it is false, both are shown all the same."""
    subject = choose(sampler.pool, rng)
    other, word = choose(sampler.partners(subject), rng), choose(sampler.relation_words, rng)
    things = [Thing(name_of(subject)), Thing(name_of(other))]
    return _claim(things, [Relation(0, word, 1)], lambda n: sampler.showing([subject, other], most=3))


def _claim(things: list[Thing], relations: list[Relation], concepts: Callable[[int], ConceptSampler]) -> _Content:
    caption = compose(things, relations)
    return _Content(caption.text, 1, concepts, lambda scene: int(is_true(caption, scene.objects)))
