"""The grammar backwards: what captions claim is read back, however it is worded; hard negatives, wrong in one span."""

import hashlib
import re
from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfm import recipes
from xfm.base import seeding
from xfm.config import CaptionConfig, SceneConfig
from xfm.data.source import SPLITS
from xfm.data.world.grammar import EXTREMES, Caption, Relation, Thing, compose, is_true
from xfm.data.world.hard_negatives import HARD_NEGATIVE_KINDS, hard_negative
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
    ("", ()), ("of of the and", ()), ("two cat", (Thing("cat", count=2),)), ("a cat above", (CAT,)),
    ("a cat a dog", (CAT, DOG)), ("a cat above a zzz, with a dog", (CAT, DOG)), ("a catalogue", ()),
])  # fmt: skip
def test_what_the_grammar_does_not_know_is_passed_over(text: str, things: tuple[Thing, ...]) -> None:
    found = parse(text)
    assert not found.whole or not text
    assert found.claims.things == things and not found.claims.relations


@pytest.mark.parametrize(("text", "likely", "first", "number"), [
    ("two houses", (), Thing("house", count=2), 2), ("two houses", {"houses"}, Thing("houses", count=2), 2),
    ("some books", (), Thing("books"), 1), ("a small black bird", (), Thing("bird", "small", colour="black"), 2),
    ("a small black bird", {"black bird"}, Thing("black bird", "small"), 2),
    ("a cat and two books above a green apple", (), CAT, 4),
])  # fmt: skip
def test_a_text_has_every_reading_once(text: str, likely: set[str], first: Thing, number: int) -> None:
    found = [*readings(text, likely)]
    assert found[0].claims.things[0] == first and all(each.whole for each in found)
    assert len({each.claims.things for each in found}) == len(found) == number


def test_an_opening_claims_nothing_and_a_long_text_is_parsed_at_once() -> None:
    for start in ("a picture of ", "there are ", "we see ", ""):
        assert without_opening(f"{start}two cats") == "two cats"
        assert parse(f"{start}two cats").claims.things == (Thing("cat", count=2),)
    assert len(parse(" and ".join(["two houses"] * 60)).claims.things) == 60


LEVEL = recipes.get("demo+hard+rich").data
WORLDS = World(), World(853 - 40, 48, LEVEL.scenes, replace(LEVEL.captions, colours=0.7, negation=0.7))
HARD = World(200, 48, LEVEL.scenes, LEVEL.captions)


def words(caption: Caption, without: int) -> list[str]:
    """Of the text, articles all the same, and none of the span."""
    start, end, _ = caption.spans[without]
    return re.sub(r"\b(an|a)\b", "a", caption.text[:start] + "#" + caption.text[end:]).split()


@given(
    st.data(), st.sampled_from(SPLITS), st.integers(0, 10**6), st.sampled_from(HARD_NEGATIVE_KINDS), st.integers(0, 99)
)
def test_one_span_differs_and_the_caption_is_false(data, split, index: int, kind, seed: int) -> None:
    world = data.draw(st.sampled_from(WORLDS))
    scene = world.scene(split, index)
    caption = data.draw(st.sampled_from((scene.caption, *scene.phrases)))
    changed = hard_negative(caption, scene, kind, world, seeding.rng(seed))
    if changed is None:
        assert kind != "noun" or all(t.colour for t in caption.things)  # another name there is, if not of the colour
        assert kind != "negation" or not caption.absent
        return
    assert not is_true(changed, scene.objects) and is_true(caption, scene.objects)
    assert changed == hard_negative(caption, scene, kind, world, seeding.rng(seed))
    said = [[c.text[start:end] for start, end, _ in c.spans] for c in (caption, changed)]
    differing_spans = [i for i, (a, b) in enumerate(zip(*said, strict=False)) if a != b]
    if kind == "negation":
        assert caption.absent and changed.absent is None and changed.things == (*caption.things, caption.absent)
        before = caption.spans[-2][0]
        assert changed.text[:before] == caption.text[:before] and changed.text.endswith(f" {caption.absent.name}")
        return
    (span,) = differing_spans
    assert caption.spans[span][2] == changed.spans[span][2] == kind and words(caption, span) == words(changed, span)
    before, after = ((*c.things, *c.relations) for c in (caption, changed))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1 and changed.absent == caption.absent


def test_an_unseen_name_becomes_another_unseen_one_and_an_unknown_kind_is_refused() -> None:
    world = WORLDS[0]
    unseen = world.scene("unseen_concepts", 0, 1)
    changed = hard_negative(unseen.caption, unseen, "noun", world, seeding.rng(0))
    assert changed and changed.things[0].name in world.unseen_names
    with pytest.raises(ValueError, match=r"kind = 'absent': must be one of noun, size"):
        hard_negative(unseen.caption, unseen, "absent", world, seeding.rng(0))


@pytest.mark.parametrize(("world", "said"), [(World(), "8d7491cba70d9639"), (HARD, "cddb1e252ff751b1")])
def test_they_are_those_that_committed_results_are_of(world: World, said: str) -> None:
    digest = hashlib.blake2b(digest_size=8)
    for split, i, kind in product(SPLITS, range(8), HARD_NEGATIVE_KINDS):
        scene = world.scene(split, i)
        digest.update(repr(hard_negative(scene.caption, scene, kind, world, seeding.rng(i))).encode())
    assert digest.hexdigest() == said
