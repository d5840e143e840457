"""Captions that mention every object of a scene, and for each object a referring expression (as in ReferItGame)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...base import seeding
from ...config import CaptionConfig
from .grammar import EXTREMES, OPENINGS, Caption, Determiner, Relation, Thing, compose, interpretations, next_to
from .objects import Object


@dataclass(frozen=True)
class CaptionStyle:
    """How a scene is worded. It draws from a generator of its own, so that a style changes nothing but the words."""

    config: CaptionConfig
    rng: np.random.Generator

    def choose_wording(self, wordings: Sequence[str]) -> str:
        """The plain wording, which comes first, or with probability `paraphrase` another."""
        if len(wordings) > 1 and self.config.paraphrase and self.rng.random() < self.config.paraphrase:
            return wordings[1 + int(self.rng.random() * (len(wordings) - 1))]
        return wordings[0]

    def choose_determiner(self) -> Determiner:
        """Of a phrase: "the", or with probability `articles` "a" or nothing, each equally likely."""
        if self.config.articles and self.rng.random() < self.config.articles:
            return "a" if self.rng.random() < 0.5 else ""
        return "the"

    def with_colours(self, things: Sequence[Thing], objects: Sequence[Sequence[Object]]) -> Sequence[Thing]:
        """Each thing, with probability `colours` with the colour that its objects share: of several styles, one name
        may be of two colours."""
        if self.config.colours == 0:
            return things
        coloured = self.rng.random(len(things)) < self.config.colours
        shared = [{o.colour for o in group} for group in objects]
        triples = zip(things, shared, coloured, strict=True)
        return [replace(t, colour=terms.pop()) if yes and len(terms) == 1 else t for t, terms, yes in triples]

    def draw_negation(self) -> bool:
        """Whether a caption mentions something absent."""
        return bool(self.config.negation) and self.rng.random() < self.config.negation


PLAIN = CaptionStyle(CaptionConfig(), seeding.rng("words"))  # never draws


def make_caption(
    objects: Sequence[Object], rng: np.random.Generator, style: CaptionStyle = PLAIN, absent: Thing | None = None
) -> Caption:
    """A true caption that mentions every object: "a picture of a big cat above a dog, with two apples"."""
    by_name: dict[str, list[int]] = {}
    for i, o in enumerate(objects):
        by_name.setdefault(o.name, []).append(i)
    mentions: list[tuple[Thing, list[int]]] = []  # with its objects
    for name, members in by_name.items():
        if rng.random() < 0.5:  # mention sizes
            by_size = {size: [i for i in members if objects[i].size == size] for size in ("big", "small")}
            mentions += [(Thing(name, size, len(group)), group) for size, group in by_size.items() if group]
        else:
            mentions.append((Thing(name, None, len(members)), members))
    mentions = [mentions[i] for i in rng.permutation(len(mentions))]
    mentions.sort(key=lambda m: m[0].count > 1)  # groups last: a relation is between single things
    relations: list[Relation] = []
    singles = sum(thing.count == 1 for thing, _ in mentions)
    for first in range(0, singles - 1, 2):
        if rng.random() < 0.6:
            a, b = (objects[i] for _, (i,) in mentions[first : first + 2])
            relations.append(Relation(first, _relation_word(a, b, rng), first + 1))
    named = [[objects[i] for i in group] for _, group in mentions]
    things = style.with_colours([thing for thing, _ in mentions], named)
    start = style.choose_wording(("a picture of " if rng.random() < 0.15 else "", *OPENINGS))
    return compose(things, relations, start, absent=absent, choose_wording=style.choose_wording)


def referring_expression(
    objects: Sequence[Object], i: int, rng: np.random.Generator, style: CaptionStyle = PLAIN
) -> Caption | None:
    """A phrase true of object i alone, "the small apple to the left of the dog"; None where the grammar has none."""
    for things, relations, mentioned in _candidates(objects, i, rng):
        if {choice[0] for choice in interpretations(Caption("", things, relations), objects)} == {i}:
            things = style.with_colours(things, [(o,) for o in mentioned])
            return compose(things, relations, determiner=style.choose_determiner(), choose_wording=style.choose_wording)
    return None


def _relation_word(a: Object, b: Object, rng: np.random.Generator) -> str:
    """Mostly the occlusion, where there is one; else the direction of the largest gap between the boxes, or sometimes,
    and always where the boxes overlap, "next to"."""
    if (b in a.front or a in b.front) and rng.random() < 0.7:
        return "behind" if b in a.front else "in front of"
    if rng.random() < 0.3 and next_to(a, b):
        return "next to"
    gaps = {"to the left of": b.x - a.x - a.width, "to the right of": a.x - b.x - b.width,
            "above": b.y - a.y - a.height, "below": a.y - b.y - b.height}  # fmt: skip
    word = max(gaps, key=gaps.__getitem__)
    return word if gaps[word] >= 0 else "next to"


def _candidates(
    objects: Sequence[Object], i: int, rng: np.random.Generator
) -> Iterator[tuple[tuple[Thing, ...], tuple[Relation, ...], tuple[Object, ...]]]:
    """What may refer to object i, with the objects mentioned, in a random order: its name, with its size, with a
    relation; extremes last."""
    target, names = objects[i], [o.name for o in objects]
    others = [o for o in objects if names.count(o.name) == 1 and o.name != target.name]
    sizes = (None, target.size) if rng.random() < 0.6 else (target.size, None)
    if not others or rng.random() < 0.7:
        yield from (((Thing(target.name, size),), (), (target,)) for size in sizes)
    for j in rng.permutation(len(others)).tolist():
        relations = (Relation(0, _relation_word(target, others[j], rng), 1),)
        yield from (
            ((Thing(target.name, size), Thing(others[j].name)), relations, (target, others[j])) for size in sizes
        )
    yield from (
        ((Thing(target.name, size),), (Relation(0, word, 0),), (target,)) for word in EXTREMES for size in sizes
    )
