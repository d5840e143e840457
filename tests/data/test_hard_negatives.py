"""Hard negatives: false of the scene, well-formed, and the caption's own words but for one span."""

import hashlib
import re
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfm import recipes
from xfm.base import seeding
from xfm.data.source import SPLITS
from xfm.data.world.grammar import Caption, compose, is_true
from xfm.data.world.hard_negatives import HARD_NEGATIVE_KINDS, hard_negative
from xfm.data.world.scenes import World

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
        assert changed.text[slice(*changed.spans[-1][:2])] == caption.absent.name
        before = caption.spans[-2][0]
        assert changed.text[:before] == caption.text[:before]
        assert changed.text.split()[-1 - len(caption.absent.name.split())] in ("a", "an", "some", "with")
        return
    (span,) = differing_spans
    assert caption.spans[span][2] == changed.spans[span][2] == kind and words(caption, span) == words(changed, span)
    before, after = ((*c.things, *c.relations) for c in (caption, changed))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1 and changed.absent == caption.absent


def test_a_plain_hard_negative_reads_as_the_grammar_puts_it() -> None:
    world = WORLDS[0]
    for i in range(100):
        scene = world.scene("test", i)
        for kind in ("noun", "size", "count", "relation"):
            changed = hard_negative(scene.caption, scene, kind, world, seeding.rng(i, kind))
            if changed:
                start = "a picture of " if changed.text.startswith("a picture of ") else ""
                assert changed == compose(changed.things, changed.relations, start)
    unseen = world.scene("unseen_concepts", 0, 1)
    changed = hard_negative(unseen.caption, unseen, "noun", world, seeding.rng(0))
    assert changed and changed.things[0].name in world.unseen_names
    with pytest.raises(ValueError, match=r"kind = 'absent': must be one of noun, size"):
        hard_negative(unseen.caption, unseen, "absent", world, seeding.rng(0))


@pytest.mark.parametrize(("world", "said"), [(World(), "8d7491cba70d9639"), (HARD, "480921a62be500da")])
def test_they_are_those_that_committed_results_are_of(world: World, said: str) -> None:
    """None drawn otherwise, nor with another frequency."""
    digest = hashlib.blake2b(digest_size=8)
    for split, i, kind in product(SPLITS, range(8), HARD_NEGATIVE_KINDS):
        scene = world.scene(split, i)
        digest.update(repr(hard_negative(scene.caption, scene, kind, world, seeding.rng(i))).encode())
    assert digest.hexdigest() == said
