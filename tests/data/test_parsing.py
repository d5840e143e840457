"""The grammar backwards: what captions claim is read back from their text, whatever they were worded like."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfm.config import CaptionConfig, SceneConfig
from xfm.data.world.grammar import EXTREMES, Caption, Relation, Thing, compose
from xfm.data.world.parsing import parse, readings, without_opening
from xfm.data.world.scenes import World

RICH = World(40, 48, SceneConfig(overlap=0.4), CaptionConfig(colours=0.5, negation=0.4, paraphrase=0.7))
PLAIN = World(40)


def claims(caption: Caption) -> tuple:
    related = Counter((caption.things[r.subject], r.word, caption.things[r.object]) for r in caption.relations)
    return Counter(caption.things), related, caption.absent


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_every_caption_and_phrase_is_read_back(index: int, rich: bool) -> None:
    scene = (RICH if rich else PLAIN).scene("train", index)
    for said in (scene.caption, *scene.phrases):
        found = parse(said.text)
        assert found.whole and claims(found.claims) == claims(said), said.text


def test_every_name_is_known_in_both_numbers_and_a_place_is_of_one_thing() -> None:
    names = [((Thing(name, "big", count), Thing("cat")), ()) for name in World(853).names[::20] for count in (1, 2, 4)]
    places = [((Thing("cat"), Thing("dog", count=2)), (Relation(0, word, 0),)) for word in EXTREMES]
    for said in (compose(*claimed) for claimed in (*names, *places)):
        found = parse(said.text)
        assert found.whole and claims(found.claims) == claims(said), said.text


CAT, DOG = Thing("cat"), Thing("dog")


@pytest.mark.parametrize(("text", "things"), [
    ("", ()), ("of of the and", ()), ("two cat", (Thing("cat", count=2),)), ("a cats", (CAT,)),
    ("a apple", (Thing("apple"),)), ("a cat above", (CAT,)), ("a cat a dog", (CAT, DOG)), ("a cat and ", (CAT,)),
    ("a cat above a zzz, with two dogs", (CAT, Thing("dog", count=2))), ("a catalogue", ()),
])  # fmt: skip
def test_what_the_grammar_does_not_know_is_passed_over(text: str, things: tuple[Thing, ...]) -> None:
    found = parse(text)
    assert not found.whole or not text
    assert found.claims.things == things and not found.claims.relations


@pytest.mark.parametrize(("text", "likely", "first", "number"), [
    ("two houses", (), Thing("house", count=2), 2), ("two houses", {"houses"}, Thing("houses", count=2), 2),
    ("some books", (), Thing("books"), 1), ("a small black bird", (), Thing("bird", "small", colour="black"), 2),
    ("a small black bird", {"black bird"}, Thing("black bird", "small"), 2),
    ("the small airplane", {"small airplane"}, Thing("small airplane"), 2),
    ("a cat and two books above a green apple", (), CAT, 4),
])  # fmt: skip
def test_a_text_has_every_reading_once(text: str, likely: set[str], first: Thing, number: int) -> None:
    found = [*readings(text, likely)]
    assert found[0].claims.things[0] == first and all(each.whole for each in found)
    assert len({each.claims.things for each in found}) == len(found) == number


def test_an_opening_claims_nothing_and_a_long_text_is_parsed_at_once() -> None:
    for start in ("a picture of ", "an image of ", "there are ", "we see ", ""):
        assert without_opening(f"{start}two cats") == "two cats"
        assert parse(f"{start}two cats").claims.things == (Thing("cat", count=2),)
    assert len(parse(" and ".join(["two houses"] * 60)).claims.things) == 60
