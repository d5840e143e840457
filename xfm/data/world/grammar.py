"""The grammar of captions and phrases: what a text claims, whether that is true of objects, and how it is worded.

A `Caption` is a text, its claims (things, relations between them, an absent thing) and the span of characters of each.
"A cat" claims at least one cat, "two cats" exactly two, "no cat" none; two things are two different objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal

from .objects import Object

Determiner = Literal["a", "the", ""]  # "a" is also "an" and "some"
Kind = Literal["noun", "size", "colour", "count", "relation", "negation", "absent"]  # absent: the noun of a negation
Span = tuple[int, int, Kind]  # characters [start, end)
NEAR = 0.15  # of the picture's side: the widest gap between boxes that are next to each other
# The first wording of a row is the plain one, the others are paraphrases.
COUNTS = {2: ("two", "a pair of", "a couple of"), 3: ("three", "a group of three"), 4: ("four", "a group of four")}
OPENINGS = ("an image of ", "a drawing of ", "a sketch of ", "an illustration of ", "a view of ", "a scene of ",
            "a picture with ", "an image with ", "a drawing with ", "a scene with ", "we see ", "one sees ", "you see ",
            "it shows ", "this shows ", "the picture shows ", "the image shows ", "there is ")  # fmt: skip
CONJUNCTIONS = {", with ": (", with ", ", and ", ", along with "), ", ": (", ", " and "),
                " and ": (" and ", " as well as ")}  # fmt: skip
NEGATIONS = ("and no", "with no", "without")
IRREGULAR = {"mouse": "mice", "goose": "geese", "wolf": "wolves", "fish": "fish", "deer": "deer", "die": "dice",
             "snowman": "snowmen", "knife": "knives", "leaf": "leaves", "ox": "oxen", "bison": "bison"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thing:
    """What a noun phrase names."""

    name: str
    size: str | None = None  # "big", "small", None: not mentioned
    count: int = 1
    colour: str | None = None  # one of colours.TERMS, None: not mentioned


@dataclass(frozen=True, slots=True)
class Relation:
    """A statement about two things, or about the place of one."""

    subject: int  # index of a thing
    word: str  # a key of RELATIONS or, with subject == object, of EXTREMES, whatever the wording
    object: int


@dataclass(frozen=True, slots=True)
class Caption:
    """A text, and what it says: its things, their relations, and where in the text each is named."""

    text: str
    things: tuple[Thing, ...]
    relations: tuple[Relation, ...] = ()
    spans: tuple[Span, ...] = ()
    absent: Thing | None = None  # nothing in the picture is like this


def next_to(a: Object, b: Object) -> bool:
    """Whether the gap between two boxes is at most NEAR of the picture's side."""
    aside = max(b.x - a.x - a.width, a.x - b.x - b.width, 0)
    apart = max(b.y - a.y - a.height, a.y - b.y - b.height, 0)
    return aside**2 + apart**2 <= (NEAR * a.side) ** 2


# By the visible parts. One of the first four or "next to" always holds.
RELATIONS: dict[str, Callable[[Object, Object], bool]] = {
    "to the left of": lambda a, b: a.x + a.width <= b.x,
    "to the right of": lambda a, b: b.x + b.width <= a.x,
    "above": lambda a, b: a.y + a.height <= b.y,
    "below": lambda a, b: b.y + b.height <= a.y,
    "next to": next_to,
    "in front of": lambda a, b: a in b.front,
    "behind": lambda a, b: b in a.front,
}
OCCLUSIONS = ("in front of", "behind")  # only where objects may overlap
EXTREMES = {"on the left": "to the left of", "on the right": "to the right of",
            "at the top": "above", "at the bottom": "below"}  # fmt: skip
RELATION_WORDINGS = {wordings[0]: wordings for wordings in (
    ("to the left of", "left of", "on the left of"), ("to the right of", "right of", "on the right of"),
    ("above", "over", "higher than"), ("below", "under", "beneath", "lower than"),
    ("next to", "beside", "near", "close to"), ("in front of", "partly hiding"), ("behind", "partly hidden by"),
    ("on the left", "furthest to the left"), ("on the right", "furthest to the right"),
    ("at the top", "furthest up"), ("at the bottom", "furthest down"),
)}  # fmt: skip


def is_true(caption: Caption, objects: Sequence[Object]) -> bool:
    """Whether every claim of the caption is true of a picture with these objects."""
    return next(interpretations(caption, objects), None) is not None


def interpretations(caption: Caption, objects: Sequence[Object]) -> Iterator[tuple[int, ...]]:
    """Every choice of one object's index (-1: a counted group) for each thing, all different, that makes it true."""
    if caption.absent and matching_objects(caption.absent, objects):
        return
    options = []
    for thing in caption.things:
        matching = matching_objects(thing, objects)
        if len(matching) < thing.count or len(matching) > thing.count > 1:
            return
        options.append(matching if thing.count == 1 else [-1])
    singles = sum(thing.count == 1 for thing in caption.things)
    for choice in product(*options):
        different = len(choice) == 1 or len({i for i in choice if i >= 0}) == singles
        if different and all(_relation_holds(r, caption, choice, objects) for r in caption.relations):
            yield choice


def matching_objects(thing: Thing, objects: Sequence[Object]) -> list[int]:
    """The indices of the objects that fit the thing's name, size and colour, whatever its count."""
    matching = [i for i, o in enumerate(objects) if o.name == thing.name and thing.size in (None, o.size)]
    return matching if thing.colour is None else [i for i in matching if objects[i].colour == thing.colour]


def _relation_holds(relation: Relation, caption: Caption, choice: Sequence[int], objects: Sequence[Object]) -> bool:
    subject = choice[relation.subject]
    if relation.word in EXTREMES:
        holds, rivals = RELATIONS[EXTREMES[relation.word]], matching_objects(caption.things[relation.subject], objects)
        return all(holds(objects[subject], objects[i]) for i in rivals if i != subject)
    return RELATIONS[relation.word](objects[subject], objects[choice[relation.object]])


def templates(name: str) -> tuple[str, ...]:
    """Class prompts for zero-shot classification of single objects, worded as captions are."""
    things = [Thing(name), Thing(name, "big"), Thing(name, "small")]
    return tuple(compose((thing,), (), start).text for start in ("", "a picture of ") for thing in things)


def compose(
    things: Sequence[Thing],
    relations: Sequence[Relation],
    start: str = "",
    determiner: Determiner = "a",
    absent: Thing | None = None,
    choose_wording: Callable[[Sequence[str]], str] = lambda wordings: wordings[0],
) -> Caption:
    """The caption "A above B, with C and D" or "A, B and C", with "and no E" for what is absent, and its spans.

    `determiner`: of every single thing; `choose_wording` is given the alternatives, the plain one first.
    """
    wording = _Wording(start, determiner, choose_wording)
    for n, relation in enumerate(relations):
        wording.add(choose_wording(CONJUNCTIONS[", with "]) if n else "")
        wording.mention(things[relation.subject])
        wording.add(" ")
        wording.add(choose_wording(RELATION_WORDINGS[relation.word]), "relation")
        if relation.object != relation.subject:
            wording.add(" ")
            wording.mention(things[relation.object])
    related = {i for r in relations for i in (r.subject, r.object)}
    others = [thing for i, thing in enumerate(things) if i not in related]
    for n, thing in enumerate(others):
        conjunction = ", with " if related and not n else " and " if n == len(others) - 1 else ", "
        wording.add(choose_wording(CONJUNCTIONS[conjunction]) if n or related else "")
        wording.mention(thing)
    if absent:
        wording.negate(absent, "," if len(things) > 1 else "")
    if start == "there is " and re.match("there is (two|three|four|some) ", wording.text):
        wording.text = "there are" + wording.text[8:]
        wording.spans = [(a + 1, b + 1, kind) for a, b, kind in wording.spans]
    return Caption(wording.text, tuple(things), tuple(relations), tuple(wording.spans), absent)


class _Wording:
    """A caption's text as it grows, and the spans that its claims take."""

    def __init__(self, start: str, determiner: Determiner, choose: Callable[[Sequence[str]], str]) -> None:
        self.text, self.determiner, self.choose = start, determiner, choose
        self.spans: list[Span] = []

    def add(self, words: str, kind: Kind | None = None) -> None:
        if kind:
            self.spans.append((len(self.text), len(self.text) + len(words), kind))
        self.text += words

    def mention(self, thing: Thing) -> None:
        """ "a big red ball", "two cats" """
        if thing.count > 1:
            self.add(self.choose(COUNTS[thing.count]), "count")
        else:
            indefinite = article(thing.size or thing.colour or thing.name, thing.name)
            self.add(indefinite if self.determiner == "a" else self.determiner)
        noun = plural(thing.name) if thing.count > 1 else thing.name
        words: list[tuple[str | None, Kind]] = [(thing.size, "size"), (thing.colour, "colour"), (noun, "noun")]
        for word, kind in words:
            if word:
                self.add(" " if self.text and not self.text.endswith(" ") else "")
                self.add(word, kind)

    def negate(self, absent: Thing, comma: str) -> None:
        """ ", and no cat", "without a cat" """
        before, _, negation = f"{comma} {self.choose(NEGATIONS)}".rpartition(" ")
        self.add(f"{before} ")
        self.add(negation, "negation")
        determiner = article(absent.name, absent.name)
        self.add(f" {determiner} " if negation == "without" and determiner != "some" else " ")
        self.add(absent.name, "absent")


@lru_cache(maxsize=4096)
def article(word: str, name: str) -> str:
    """The indefinite article before `word`, the first of a mention of `name`."""
    if plural(name) == name and name not in IRREGULAR:
        return "some"
    return "an" if re.match("(?!uni|ufo|eu|one)[aeiou]", word) else "a"


@lru_cache(maxsize=4096)
def plural(name: str) -> str:
    """ "cherries" of "cherry"; a name that is a plural already stays as it is."""
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
