"""The language of captions and phrases: what they claim, when that is true, and how it is put into words.

A `Caption` is a text, what it claims (things, relations between them, a thing that is absent) and where in the text
the words for each stand. "A cat" claims one cat at least, "two cats" just two, "no cat" none; two things, two objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .objects import Object
    from .scenes import Scene

Kind = Literal["noun", "size", "colour", "count", "relation", "negation", "absent"]  # absent: the name of what is not
Span = tuple[int, int, Kind]  # characters [start, end)
NEAR = 0.15  # of the picture's side: the widest gap between boxes that are next to each other
# In each row the usual words come first.
COUNTS = {2: ("two", "a pair of", "a couple of"), 3: ("three", "a group of three"), 4: ("four", "a group of four")}
OPENINGS = ("an image of ", "a drawing of ", "we see ", "there is ")
JOINTS = {", with ": (", with ", ", and ", ", along with "), ", ": (", ", " and "), " and ": (" and ", " as well as ")}
DENIALS = ("and no", "with no", "without")
IRREGULAR = {"mouse": "mice", "goose": "geese", "wolf": "wolves", "fish": "fish", "deer": "deer", "die": "dice",
             "snowman": "snowmen", "knife": "knives", "leaf": "leaves", "ox": "oxen", "bison": "bison"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thing:
    name: str
    size: str | None = None  # "big", "small", None: not said
    count: int = 1
    colour: str | None = None  # one of colours.TERMS, None: not said


@dataclass(frozen=True, slots=True)
class Relation:
    subject: int  # index of a thing
    word: str  # a key of RELATIONS or, with subject == object, of EXTREMES, whatever the words that are said
    object: int


@dataclass(frozen=True, slots=True)
class Caption:
    text: str
    things: tuple[Thing, ...]
    relations: tuple[Relation, ...] = ()
    spans: tuple[Span, ...] = ()
    absent: Thing | None = None  # nothing in the picture is like this


def left_of(a: Object, b: Object) -> bool:
    return a.x + a.width <= b.x


def above(a: Object, b: Object) -> bool:
    return a.y + a.height <= b.y


def next_to(a: Object, b: Object) -> bool:
    aside = max(b.x - a.x - a.width, a.x - b.x - b.width, 0)
    apart = max(b.y - a.y - a.height, a.y - b.y - b.height, 0)
    return aside**2 + apart**2 <= (NEAR * a.side) ** 2


# All of what is visible. One of the first four or "next to" always holds.
RELATIONS: dict[str, Callable[[Object, Object], bool]] = {
    "to the left of": left_of,
    "to the right of": lambda a, b: left_of(b, a),
    "above": above,
    "below": lambda a, b: above(b, a),
    "next to": next_to,
    "in front of": lambda a, b: a in b.front,  # hides a part of it
    "behind": lambda a, b: b in a.front,
}
LAYERS = ("in front of", "behind")  # only where objects may overlap
EXTREMES = {"on the left": "to the left of", "on the right": "to the right of",
            "at the top": "above", "at the bottom": "below"}  # fmt: skip
WAYS = {
    "to the left of": ("to the left of", "left of", "on the left of"),
    "to the right of": ("to the right of", "right of", "on the right of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "beneath", "lower than"),
    "next to": ("next to", "beside", "near", "close to"),
    "in front of": ("in front of", "partly hiding"),
    "behind": ("behind", "partly hidden by"),
    "on the left": ("on the left", "furthest to the left"),
    "on the right": ("on the right", "furthest to the right"),
    "at the top": ("at the top", "furthest up"),
    "at the bottom": ("at the bottom", "furthest down"),
}


def holds(caption: Caption, scene: Scene) -> bool:
    """Whether all that the caption claims is true of the scene."""
    return next(readings(caption, scene.objects), None) is not None


def refers(phrase: Caption, scene: Scene) -> list[int]:
    """The objects of the scene that the phrase's first thing can be."""
    return sorted({reading[0] for reading in readings(phrase, scene.objects)})


def readings(caption: Caption, objects: Sequence[Object]) -> Iterator[tuple[int, ...]]:
    """Every choice of an object (-1: a counted group) for each thing, all different, that makes the caption true."""
    if caption.absent and fits(caption.absent, objects):
        return
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
    """The objects that the thing can be, whatever its count."""
    found = [i for i, o in enumerate(objects) if o.name == thing.name and thing.size in (None, o.size)]
    return found if thing.colour is None else [i for i in found if objects[i].colour == thing.colour]


def true(relation: Relation, caption: Caption, choice: Sequence[int], objects: Sequence[Object]) -> bool:
    subject = choice[relation.subject]
    if relation.word in EXTREMES:
        related, rest = RELATIONS[EXTREMES[relation.word]], fits(caption.things[relation.subject], objects)
        return all(related(objects[subject], objects[i]) for i in rest if i != subject)
    return RELATIONS[relation.word](objects[subject], objects[choice[relation.object]])


def templates(name: str) -> tuple[str, ...]:
    """The texts of a class for zero-shot classification of single objects, in the words that captions use."""
    things = [Thing(name), Thing(name, "big"), Thing(name, "small")]
    return tuple(compose((thing,), (), start).text for start in ("", "a picture of ") for thing in things)


def usual(ways: Sequence[str]) -> str:
    return ways[0]


def compose(
    things: Sequence[Thing],
    relations: Sequence[Relation],
    start: str = "",
    definite: bool = False,
    absent: Thing | None = None,
    say: Callable[[Sequence[str]], str] = usual,
) -> Caption:
    """The caption's text, "A above B, with C and D" or "A, B and C", with "and no E", and its spans; `say` chooses
    among ways to put the same."""
    text, spans = start, []

    def add(words: str, kind: Kind | None = None) -> None:
        nonlocal text
        if kind:
            spans.append((len(text), len(text) + len(words), kind))
        text += words

    def name(thing: Thing) -> None:
        words = plural(thing.name) if thing.count > 1 else thing.name
        if thing.count > 1:
            add(say(COUNTS[thing.count]), "count")
        else:
            add("the" if definite else article(thing.size or thing.colour or thing.name, thing.name))
        if thing.size:
            add(" ")
            add(thing.size, "size")
        if thing.colour:
            add(" ")
            add(thing.colour, "colour")
        add(" ")
        add(words, "noun")

    for n, relation in enumerate(relations):
        add(say(JOINTS[", with "]) if n else "")
        name(things[relation.subject])
        add(" ")
        add(say(WAYS[relation.word]), "relation")
        if relation.object != relation.subject:
            add(" ")
            name(things[relation.object])
    related = {i for r in relations for i in (r.subject, r.object)}
    rest = [thing for i, thing in enumerate(things) if i not in related]
    for n, thing in enumerate(rest):
        joint = ", with " if related and not n else " and " if n == len(rest) - 1 else ", "
        add(say(JOINTS[joint]) if n or related else "")
        name(thing)
    if absent:
        joint, _, word = f"{',' if len(things) > 1 else ''} {say(DENIALS)}".rpartition(" ")
        add(f"{joint} ")
        add(word, "negation")
        some = article(absent.name, absent.name)
        add(f" {some} " if word == "without" and some != "some" else " ")
        add(absent.name, "absent")
    if start == "there is " and re.match("there is (two|three|four|some) ", text):
        text, spans = "there are" + text[8:], [(a + 1, b + 1, kind) for a, b, kind in spans]
    return Caption(text, tuple(things), tuple(relations), tuple(spans), absent)


@lru_cache(maxsize=4096)
def article(word: str, name: str) -> str:
    if plural(name) == name and name not in IRREGULAR:
        return "some"
    return "an" if re.match("(?!uni|ufo|eu|one)[aeiou]", word) else "a"


@lru_cache(maxsize=4096)
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
