"""The grammar backwards: what a text claims, such as a caption that a model wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from . import colours, openmoji
from .grammar import (
    CONJUNCTIONS,
    COUNTS,
    EXTREMES,
    NEGATIONS,
    OPENINGS,
    RELATION_WORDINGS,
    Caption,
    Relation,
    Thing,
    article,
    plural,
)

__all__ = ["Parsed", "parse", "without_opening"]

_NUMBERS = {wording: count for count, wordings in COUNTS.items() for wording in wordings}
_RELATIONS = {wording: word for word, wordings in RELATION_WORDINGS.items() for wording in wordings}


class Parsed(NamedTuple):
    """What was found of the grammar in a text."""

    claims: Caption  # things in the text's order
    whole: bool  # every word of the text is part of it


def parse(text: str) -> Parsed:
    """The things, relations and the absent thing that a text mentions, of all of OpenMoji's names; what the grammar
    does not know is passed over."""
    things, relations, absent = list[Thing](), list[Relation](), None
    position, whole, word = len(text) - len(without_opening(text)), True, None
    dangling = False  # a conjunction without a thing behind it
    while found := _mention().search(text, position):
        whole &= found.start() == position
        related = word is not None and found.start() == position
        thing, worded_well = _thing(found)
        whole &= worded_well and related == (word is not None)
        things.append(thing)
        if word and related:
            relations.append(Relation(len(things) - 2, word, len(things) - 1))
        position, word, dangling = found.end(), None, False
        if relation := _relation().match(text, position):
            word, position = _RELATIONS[relation[1]], relation.end()
            if word in EXTREMES:  # the place of the thing alone
                relations.append(Relation(len(things) - 1, word, len(things) - 1))
                word = None
            elif text[position:].startswith(" "):
                position += 1
        if not word and (negation := _negation().match(text, position)):
            absent, position = Thing(_named(negation[1], 1)[0]), negation.end()
        elif not word and (conjunction := _conjunction().match(text, position)):
            position, dangling = conjunction.end(), True
    whole &= not (word or dangling) and position == len(text)
    return Parsed(Caption(text, tuple(things), tuple(relations), (), absent), whole)


def without_opening(text: str) -> str:
    """The text behind "a picture of ", "there are " or another of the grammar's openings."""
    return re.sub(f"^({_any(['a picture of ', 'there are ', *OPENINGS])})", "", text)


def _thing(found: re.Match[str]) -> tuple[Thing, bool]:
    """The thing of a mention, and whether number and article go with the noun."""
    determiner, size, colour, noun = (found[n] for n in ("determiner", "size", "colour", "noun"))
    count = _NUMBERS.get(determiner, 1)
    name, agrees = _named(noun, count)
    agrees &= count > 1 or determiner in ("the", article(size or colour or noun, name))
    return Thing(name, size, count, colour), agrees


def _named(noun: str, count: int) -> tuple[str, bool]:
    """The name of a noun in the singular or the plural, and whether that is of the count's number."""
    singular, plurals = _forms()
    first, second = (plurals, singular) if count > 1 else (singular, plurals)
    return (first[noun], True) if noun in first else (second[noun], False)


@cache
def _forms() -> tuple[dict[str, str], dict[str, str]]:
    names = [concept.name for concept in openmoji.concepts()]
    return {name: name for name in names}, {plural(name): name for name in names}


@cache
def _mention() -> re.Pattern[str]:
    determiner = _any([*_NUMBERS, "a", "an", "some", "the"])
    parts = f"(?:(?P<size>big|small) )?(?:(?P<colour>{_any(colours.TERMS)}) )?(?P<noun>{_noun()})"
    return re.compile(rf"\b(?P<determiner>{determiner}) {parts}(?![\w-])")


@cache
def _relation() -> re.Pattern[str]:
    return re.compile(rf" ({_any(_RELATIONS)})(?![\w-])")


@cache
def _negation() -> re.Pattern[str]:
    return re.compile(rf",? (?:{_any(NEGATIONS)}) (?:(?:an?|some) )?({_noun()})(?![\w-])")


@cache
def _conjunction() -> re.Pattern[str]:
    return re.compile(_any(w for wordings in CONJUNCTIONS.values() for w in wordings))


def _noun() -> str:
    return _any(form for forms in _forms() for form in forms)


def _any(words: Iterable[str]) -> str:
    """The longest comes first: "a pair of" before "a"."""
    return "|".join(map(re.escape, sorted(set(words), key=lambda w: (-len(w), w))))
