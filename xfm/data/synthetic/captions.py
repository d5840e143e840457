"""What is said of a scene: a caption that mentions every object, and for each object a phrase true of it alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ... import seeding
from ...config import CaptionConfig
from .grammar import EXTREMES, OPENINGS, Caption, Relation, Thing, compose, next_to, readings
from .objects import Object


@dataclass(frozen=True)
class Manner:
    """How things are put. It draws from a generator of its own, so that other words are all that changes."""

    config: CaptionConfig
    rng: np.random.Generator

    def say(self, ways: Sequence[str]) -> str:
        """The usual words, which come first, or now and then others."""
        if len(ways) > 1 and self.config.paraphrase and self.rng.random() < self.config.paraphrase:
            return ways[1 + int(self.rng.random() * (len(ways) - 1))]
        return ways[0]

    def coloured(self, things: Sequence[Thing], meant: Sequence[Object]) -> Sequence[Thing]:
        """The things with the colours of the objects that they mean, now and then."""
        share = self.config.colours
        if share == 0:
            return things
        said = self.rng.random(len(things)) < share
        return [replace(t, colour=o.colour) if yes else t for t, o, yes in zip(things, meant, said, strict=True)]

    def denies(self) -> bool:
        return bool(self.config.negation) and self.rng.random() < self.config.negation


PLAIN = Manner(CaptionConfig(), seeding.rng("words"))  # never draws


def describe(
    objects: Sequence[Object], rng: np.random.Generator, manner: Manner = PLAIN, absent: Thing | None = None
) -> Caption:
    """A true caption that mentions every object: "a picture of a big cat above a dog, with two apples"."""
    groups: dict[str, list[int]] = {}
    for i, o in enumerate(objects):
        groups.setdefault(o.name, []).append(i)
    mentions: list[tuple[Thing, int]] = []  # with the object, where it is one
    for name, members in groups.items():
        by_size = {size: [i for i in members if objects[i].size == size] for size in ("big", "small")}
        if rng.random() < 0.5:  # sizes are said
            mentions += [(Thing(name, size, len(some)), some[0]) for size, some in by_size.items() if some]
        else:
            mentions.append((Thing(name, None, len(members)), members[0]))
    mentions = [mentions[i] for i in rng.permutation(len(mentions))]
    mentions.sort(key=lambda m: m[0].count > 1)  # groups last: a relation is between single things
    relations: list[Relation] = []
    singles = sum(thing.count == 1 for thing, _ in mentions)
    for first in range(0, singles - 1, 2):
        if rng.random() < 0.6:
            a, b = (objects[i] for _, i in mentions[first : first + 2])
            relations.append(Relation(first, relation_word(a, b, rng), first + 1))
    things = manner.coloured([thing for thing, _ in mentions], [objects[i] for _, i in mentions])
    start = manner.say(("a picture of " if rng.random() < 0.15 else "", *OPENINGS))
    return compose(things, relations, start, absent=absent, say=manner.say)


def relation_word(a: Object, b: Object, rng: np.random.Generator) -> str:
    """Mostly who hides the other, where one does; else the direction in which the boxes lie farther apart, or now and
    then, and always where the boxes overlap, "next to"."""
    if (b in a.front or a in b.front) and rng.random() < 0.7:
        return "behind" if b in a.front else "in front of"
    if rng.random() < 0.3 and next_to(a, b):
        return "next to"
    gaps = {"to the left of": b.x - a.x - a.width, "to the right of": a.x - b.x - b.width,
            "above": b.y - a.y - a.height, "below": a.y - b.y - b.height}  # fmt: skip
    word = max(gaps, key=gaps.__getitem__)
    return word if gaps[word] >= 0 else "next to"


def refer(objects: Sequence[Object], i: int, rng: np.random.Generator, manner: Manner = PLAIN) -> Caption | None:
    """A phrase true of object i alone, "the small apple to the left of the dog"; None where the grammar has none."""
    for things, relations, meant in referring(objects, i, rng):
        if {reading[0] for reading in readings(Caption("", things, relations), objects)} == {i}:
            return compose(manner.coloured(things, meant), relations, definite=True, say=manner.say)
    return None


def referring(
    objects: Sequence[Object], i: int, rng: np.random.Generator
) -> Iterator[tuple[tuple[Thing, ...], tuple[Relation, ...], tuple[Object, ...]]]:
    """What may refer to object i, with the objects that it mentions, in a random order: its name, with its size, with a
    relation; extremes last."""
    target = objects[i]
    names = [o.name for o in objects]
    others = [o for o in objects if names.count(o.name) == 1 and o.name != target.name]
    sizes = (None, target.size) if rng.random() < 0.6 else (target.size, None)
    if not others or rng.random() < 0.7:
        yield from (((Thing(target.name, size),), (), (target,)) for size in sizes)
    for j in rng.permutation(len(others)).tolist():
        relation, meant = (Relation(0, relation_word(target, others[j], rng), 1),), (target, others[j])
        yield from (((Thing(target.name, size), Thing(others[j].name)), relation, meant) for size in sizes)
    yield from (
        ((Thing(target.name, size),), (Relation(0, word, 0),), (target,)) for word in EXTREMES for size in sizes
    )
