"""The grammar backwards: what a text claims, such as a caption that a model wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
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

_NUMBERS = {wording: count for count, wordings in COUNTS.items() for wording in wordings}
_RELATIONS = {wording: word for word, wordings in RELATION_WORDINGS.items() for wording in wordings}


def _any(words: Iterable[str]) -> str:
    """The longest comes first: "a pair of" before "a"."""
    return "|".join(map(re.escape, sorted(set(words), key=lambda w: (-len(w), w))))


_OPENING = re.compile(f"({_any(['a picture of ', 'there are ', *OPENINGS])})")
_CONJUNCTION = re.compile(_any(w for wordings in CONJUNCTIONS.values() for w in wordings))
_RELATION = re.compile(rf" ({_any(_RELATIONS)})(?![\w-])")


class Parsed(NamedTuple):
    """What was found of the grammar in a text."""

    claims: Caption  # things in the text's order
    whole: bool  # every word of the text is part of it


def readings(text: str, likely: Iterable[str] = ()) -> Iterator[Parsed]:
    """All that a text may mean, the likeliest first: its things, relations and the absent thing. What the grammar does
    not know is passed over. "Black bird", "small airplane" and "houses" are names, too; `likely` names come first."""
    mentions, relations, absent = list[list[tuple[Thing, bool]]](), list[Relation](), None
    likely = frozenset(likely)
    position, whole, word = len(text) - len(without_opening(text)), True, None
    dangling = False  # a conjunction without a thing behind it
    mentioned, negated = _patterns()
    while mention := mentioned.search(text, position):
        whole &= mention.start() == position
        related = word is not None and mention.start() == position
        whole &= related == (word is not None)
        mentions.append(sorted(_things(mention), key=lambda each: each[0].name not in likely))
        if word and related:
            relations.append(Relation(len(mentions) - 2, word, len(mentions) - 1))
        position, word, dangling = mention.end(), None, False
        if relation := _RELATION.match(text, position):
            word, position = _RELATIONS[relation[1]], relation.end()
            if word in EXTREMES:  # the place of the thing alone
                relations.append(Relation(len(mentions) - 1, word, len(mentions) - 1))
                word = None
            elif text[position:].startswith(" "):
                position += 1
        if not word and (negation := negated.match(text, position)):
            absent, position = Thing(_named(negation[1], 1)[0][0]), negation.end()
        elif not word and (conjunction := _CONJUNCTION.match(text, position)):
            position, dangling = conjunction.end(), True
    whole &= not (word or dangling) and position == len(text)
    for chosen in product(*mentions):
        things, worded_well = tuple(thing for thing, _ in chosen), all(well for _, well in chosen)
        yield Parsed(Caption(text, things, tuple(relations), (), absent), whole and worded_well)


def without_opening(text: str) -> str:
    """The text behind "a picture of ", "there are " or another of the grammar's openings."""
    opening = _OPENING.match(text)
    return text[opening.end() :] if opening else text


def _things(mention: re.Match[str]) -> list[tuple[Thing, bool]]:
    """What a mention may mean, its size and colour before the noun or part of it, and whether number and article go
    with the noun."""
    determiner, words, things = mention["determiner"], mention["words"], list[tuple[Thing, bool]]()
    count = _NUMBERS.get(determiner, 1)
    for size, colour in dict.fromkeys(product((mention["size"], None), (mention["colour"], None))):
        before = "".join(f"{word} " for word in (size, colour) if word)
        noun = words.removeprefix(before)
        for name, agrees in _named(noun, count) if words.startswith(before) else ():
            agrees &= count > 1 or determiner in ("the", article(size or colour or noun, name))
            things.append((Thing(name, size, count, colour), agrees))
    return things


def _named(noun: str, count: int) -> list[tuple[str, bool]]:
    """The names of a noun in the singular or the plural, and whether that is of the count's number."""
    singular, plurals = _forms()
    first, second = (plurals, singular) if count > 1 else (singular, plurals)
    return [(name, True) for name in first.get(noun, ())] or [(name, False) for name in second.get(noun, ())]


@cache
def _forms() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Singular, and plural -> names, the commonest first."""
    plurals: dict[str, list[str]] = {}
    for name in (names := [concept.name for concept in openmoji.concepts()]):
        plurals.setdefault(plural(name), []).append(name)
    return {name: [name] for name in names}, plurals


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Of a mention, and of a negation with its noun."""
    noun = _any(form for forms in _forms() for form in forms)
    determiner = _any([*_NUMBERS, "a", "an", "some", "the"])
    phrase = f"(?P<words>(?:(?P<size>big|small) )?(?:(?P<colour>{_any(colours.TERMS)}) )?(?:{noun}))"
    mention = rf"\b(?P<determiner>{determiner}) {phrase}(?![\w-])"
    return re.compile(mention), re.compile(rf",? (?:{_any(NEGATIONS)}) (?:(?:an?|some) )?({noun})(?![\w-])")
