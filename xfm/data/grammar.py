"""What is said of a scene: captions and region phrases whose meaning a program can check.

A `Caption` is a text, what it claims (things and relations between them) and where in the text the names, sizes, counts
and relation words stand. "A cat" claims at least one cat, "two cats" exactly two; two things are two objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from .scenes import Object, Scene

Kind = Literal["noun", "size", "count", "relation"]
Span = tuple[int, int, Kind]  # characters [start, end)
COUNTS = {2: "two", 3: "three", 4: "four"}
NEAR = 0.15  # of the picture's side: the widest gap between boxes that are next to each other
IRREGULAR = {"mouse": "mice", "goose": "geese", "wolf": "wolves", "fish": "fish", "deer": "deer", "die": "dice",
             "snowman": "snowmen", "knife": "knives", "leaf": "leaves", "ox": "oxen", "bison": "bison"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thing:
    name: str
    size: str | None = None  # "big", "small", None: not said
    count: int = 1


@dataclass(frozen=True, slots=True)
class Relation:
    subject: int  # index of a thing
    word: str  # a key of RELATIONS or, with subject == object, of EXTREMES
    object: int


@dataclass(frozen=True, slots=True)
class Caption:
    text: str
    things: tuple[Thing, ...]
    relations: tuple[Relation, ...] = ()
    spans: tuple[Span, ...] = ()


def left_of(a: Object, b: Object) -> bool:
    return a.x + a.width <= b.x


def above(a: Object, b: Object) -> bool:
    return a.y + a.height <= b.y


def next_to(a: Object, b: Object) -> bool:
    aside = max(b.x - a.x - a.width, a.x - b.x - b.width, 0)
    apart = max(b.y - a.y - a.height, a.y - b.y - b.height, 0)
    return aside**2 + apart**2 <= (NEAR * a.side) ** 2


RELATIONS: dict[str, Callable[[Object, Object], bool]] = {  # boxes never overlap, so one of the first four always holds
    "to the left of": left_of,
    "to the right of": lambda a, b: left_of(b, a),
    "above": above,
    "below": lambda a, b: above(b, a),
    "next to": next_to,
}
EXTREMES = {"on the left": "to the left of", "on the right": "to the right of",
            "at the top": "above", "at the bottom": "below"}  # fmt: skip


def holds(caption: Caption, scene: Scene) -> bool:
    """Whether all that the caption claims is true of the scene."""
    return next(readings(caption, scene.objects), None) is not None


def refers(phrase: Caption, scene: Scene) -> list[int]:
    """The objects of the scene that the phrase's first thing can be."""
    return sorted({reading[0] for reading in readings(phrase, scene.objects)})


def readings(caption: Caption, objects: Sequence[Object]) -> Iterator[tuple[int, ...]]:
    """Every choice of an object (-1: a counted group) for each thing, all different, that makes the caption true."""
    options = []
    for thing in caption.things:
        fitting = fits(thing, objects)
        if len(fitting) < thing.count or len(fitting) > thing.count > 1:
            return
        options.append(fitting if thing.count == 1 else [-1])
    singles = sum(thing.count == 1 for thing in caption.things)
    for choice in product(*options):
        different = len(choice) == 1 or len({i for i in choice if i >= 0}) == singles
        if different and all(true(r, caption, choice, objects) for r in caption.relations):
            yield choice


def fits(thing: Thing, objects: Sequence[Object]) -> list[int]:
    return [i for i, o in enumerate(objects) if o.name == thing.name and thing.size in (None, o.size)]


def true(relation: Relation, caption: Caption, choice: Sequence[int], objects: Sequence[Object]) -> bool:
    subject = choice[relation.subject]
    if relation.word in EXTREMES:
        related, rest = RELATIONS[EXTREMES[relation.word]], fits(caption.things[relation.subject], objects)
        return all(related(objects[subject], objects[i]) for i in rest if i != subject)
    return RELATIONS[relation.word](objects[subject], objects[choice[relation.object]])


def describe(objects: Sequence[Object], rng: np.random.Generator) -> Caption:
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
    things = tuple(thing for thing, _ in mentions)
    return compose(things, tuple(relations), "a picture of " if rng.random() < 0.15 else "")


def relation_word(a: Object, b: Object, rng: np.random.Generator) -> str:
    """The direction in which the boxes lie farther apart, or now and then "next to" where that is true."""
    if rng.random() < 0.3 and next_to(a, b):
        return "next to"
    gaps = {"to the left of": b.x - a.x - a.width, "to the right of": a.x - b.x - b.width,
            "above": b.y - a.y - a.height, "below": a.y - b.y - b.height}  # fmt: skip
    return max(gaps, key=gaps.__getitem__)


def refer(objects: Sequence[Object], i: int, rng: np.random.Generator) -> Caption | None:
    """A phrase true of object i alone, "the small apple to the left of the dog"; None where the grammar has none."""
    for things, relations in referring(objects, i, rng):
        if {reading[0] for reading in readings(Caption("", things, relations), objects)} == {i}:
            return compose(things, relations, definite=True)
    return None


def referring(objects: Sequence[Object], i: int, rng: np.random.Generator
              ) -> Iterator[tuple[tuple[Thing, ...], tuple[Relation, ...]]]:  # fmt: skip
    """What may refer to object i, in a random order: its name, with its size, with a relation; extremes last."""
    target = objects[i]
    names = [o.name for o in objects]
    others = [o for o in objects if names.count(o.name) == 1 and o.name != target.name]
    sizes = (None, target.size) if rng.random() < 0.6 else (target.size, None)
    if not others or rng.random() < 0.7:
        yield from (((Thing(target.name, size),), ()) for size in sizes)
    for j in rng.permutation(len(others)).tolist():
        relation = (Relation(0, relation_word(target, others[j], rng), 1),)
        yield from (((Thing(target.name, size), Thing(others[j].name)), relation) for size in sizes)
    yield from (((Thing(target.name, size),), (Relation(0, word, 0),)) for word in EXTREMES for size in sizes)


def templates(name: str) -> tuple[str, ...]:
    """The texts of a class for zero-shot classification of single objects, in the words that captions use."""
    things = [Thing(name), Thing(name, "big"), Thing(name, "small")]
    return tuple(compose((thing,), (), start).text for start in ("", "a picture of ") for thing in things)


def compose(things: Sequence[Thing], relations: Sequence[Relation], start: str = "", definite: bool = False) -> Caption:
    """The caption's text, "A above B, with C and D" or "A, B and C", and its spans."""
    text, spans = start, []

    def add(words: str, kind: Kind | None = None) -> None:
        nonlocal text
        if kind:
            spans.append((len(text), len(text) + len(words), kind))
        text += words

    def name(thing: Thing) -> None:
        words = plural(thing.name) if thing.count > 1 else thing.name
        if thing.count > 1:
            add(COUNTS[thing.count], "count")
        else:
            add("the" if definite else article(thing.size or thing.name, thing.name))
        if thing.size:
            add(" ")
            add(thing.size, "size")
        add(" ")
        add(words, "noun")

    by_subject = {r.subject: r for r in relations}
    said = {r.object for r in relations if r.object != r.subject}
    heads = [i for i in by_subject if i not in said]
    for n, i in enumerate(heads):
        add(", with " if n else "")
        name(things[i])
        add(" ")
        add(by_subject[i].word, "relation")
        if by_subject[i].object != i:
            add(" ")
            name(things[by_subject[i].object])
    rest = [i for i in range(len(things)) if i not in by_subject and i not in said]
    for n, i in enumerate(rest):
        add(", with " if heads and not n else "" if not n else " and " if n == len(rest) - 1 else ", ")
        name(things[i])
    return Caption(text, tuple(things), tuple(relations), tuple(spans))


def article(word: str, name: str) -> str:
    if plural(name) == name and name not in IRREGULAR:
        return "some"
    return "an" if re.match("(?!uni|ufo|eu|one)[aeiou]", word) else "a"


def plural(name: str) -> str:
    """The plural, "cherries" of "cherry"; a name that is a plural already stays."""
    head, _, last = name.rpartition(" ")
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif re.search("(?<![suio])s$", last):
        return name
    elif re.search("(s|x|z|ch|sh|[tng]ato|cano|ango)$", last):
        last += "es"
    elif re.search("[^aeiou]y$", last):
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}".strip()
