"""Scenes, captions and phrases: what is drawn, what is said of it, and what no split shares."""

import hashlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfm.data import openmoji
from xfm.data.grammar import Caption, Relation, Thing, article, holds, plural, refers, templates
from xfm.data.scenes import SIZES, SPLITS, VISIBLE, Scene, World, sprite

WORLD = World()
OPPOSITE = {
    "to the left of": "to the right of",
    "to the right of": "to the left of",
    "above": "below",
    "below": "above",
}


@st.composite
def scenes(draw: st.DrawFn, splits: tuple[str, ...] = SPLITS) -> Scene:
    split = draw(st.sampled_from(splits))
    least = 2 if split == "unseen_combinations" else 1
    objects = draw(st.none() | st.integers(least, 4) | st.tuples(st.integers(least, 2), st.integers(2, 4)))
    return WORLD.scene(split, draw(st.integers(0, 10**6)), objects, draw(st.integers(0, 99)))  # type: ignore[arg-type]


@given(scenes())
def test_boxes_are_the_masks_and_objects_are_apart(scene: Scene) -> None:
    side = WORLD.image_size
    assert scene.image.shape == (side, side, 3) and scene.image.dtype == np.uint8
    assert 1 <= len(scene.objects) == len(scene.phrases) <= 4
    seen = np.zeros((side, side), int)
    for o in scene.objects:
        rows, columns = np.nonzero(o.mask)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (
            o.x,
            o.y,
            o.x + o.width,
            o.y + o.height,
        )
        assert np.multiply(o.box, side) == pytest.approx((o.x + o.width / 2, o.y + o.height / 2, o.width, o.height))
        low, high = np.multiply(SIZES[o.size], side)
        assert low - 2 <= max(o.width, o.height) <= high + 0.5
        seen[o.y : o.y + o.height, o.x : o.x + o.width] += 1
    assert seen.max() == 1


@given(scenes())
def test_the_image_shows_the_sprites_on_a_pastel_ground(scene: Scene) -> None:
    ground = np.ones(scene.image.shape[:2], bool)
    for o in scene.objects:
        pixels = sprite(o.concept, o.scale, 64)[:, :: -1 if o.flip else 1]
        shown = scene.image[o.y : o.y + o.height, o.x : o.x + o.width]
        solid = pixels[..., 3] == 255
        assert np.array_equal(shown[solid], pixels[solid][:, :3])
        assert np.array_equal(pixels[..., 3] >= VISIBLE, o.mask[o.y : o.y + o.height, o.x : o.x + o.width])
        ground[o.y : o.y + o.height, o.x : o.x + o.width] = False
    assert scene.image[ground].min() >= 255 - 60 - 17


@given(scenes())
def test_captions_hold_and_phrases_name_one_object(scene: Scene) -> None:
    assert holds(scene.caption, scene)
    said = Counter({thing: thing.count for thing in scene.caption.things})
    assert said.total() == len(scene.objects)
    for i, phrase in enumerate(scene.phrases):
        assert refers(phrase, scene) == [i]
        assert phrase.things[0].name == scene.objects[i].name and phrase.text.startswith("the ")


@given(scenes())
def test_relations_are_true_of_the_pixels(scene: Scene) -> None:
    for caption in (scene.caption, *scene.phrases):
        for relation in caption.relations:
            pair = [caption.things[k] for k in (relation.subject, relation.object)]
            found = [[o for o in scene.objects if o.name == t.name and t.size in (None, o.size)] for t in pair]
            if relation.subject == relation.object or any(len(some) > 1 for some in found):
                continue
            (ay, ax), (by, bx) = (np.nonzero(some[0].mask) for some in found)
            truth = {
                "to the left of": ax.max() < bx.min(),
                "to the right of": ax.min() > bx.max(),
                "above": ay.max() < by.min(),
                "below": ay.min() > by.max(),
                "next to": True,
            }
            assert truth[relation.word]


@given(scenes())
def test_text_spans_and_claims_agree(scene: Scene) -> None:
    for caption in (scene.caption, *scene.phrases):
        words = {kind: Counter() for kind in ("noun", "size", "count", "relation")}
        for start, end, kind in caption.spans:
            words[kind][caption.text[start:end]] += 1
        assert words["noun"] == Counter(plural(t.name) if t.count > 1 else t.name for t in caption.things)
        assert words["size"] == Counter(t.size for t in caption.things if t.size)
        assert words["count"].total() == sum(t.count > 1 for t in caption.things)
        assert words["relation"] == Counter(r.word for r in caption.relations)
        rest = caption.text
        for start, end, _ in sorted(caption.spans, reverse=True):
            rest = rest[:start] + rest[end:]
        assert set(rest.replace(",", "").split()) <= {"a", "an", "the", "with", "and", "picture", "of", "some"}


@given(scenes(("train", "test")), st.data())
def test_a_perturbed_caption_is_false(scene: Scene, data: st.DataObject) -> None:
    things, relations = scene.caption.things, scene.caption.relations
    i = data.draw(st.integers(0, len(things) - 1))

    def changed(**fields: object) -> Caption:
        return replace(scene.caption, things=(*things[:i], replace(things[i], **fields), *things[i + 1 :]))

    absent = next(n for n in WORLD.names if all(o.name != n for o in scene.objects))
    assert not holds(changed(name=absent), scene)
    assert not holds(changed(count=things[i].count + 1), scene)
    if things[i].size and sum(o.name == things[i].name for o in scene.objects) == 1:
        assert not holds(changed(size="big" if things[i].size == "small" else "small"), scene)
    for relation in relations:
        pair = {things[relation.subject].name, things[relation.object].name}
        if relation.word in OPPOSITE and len(pair) == 2:
            assert not holds(
                replace(scene.caption, relations=(replace(relation, word=OPPOSITE[relation.word]),)), scene
            )


def test_meaning_on_a_scene_made_by_hand() -> None:
    scene = WORLD.scene("train", 0, 4)
    o = replace(scene.objects[0], name="cat", size="small", width=10, height=10)
    cats = (replace(o, x=0, y=0), replace(o, x=12, y=0), replace(o, x=5, y=30, name="dog", size="big"))
    scene = replace(scene, objects=cats)

    def reading(*things: Thing, relations: tuple[Relation, ...] = ()) -> Caption:
        return Caption("", things, relations)

    assert holds(reading(Thing("cat")), scene) and holds(reading(Thing("cat", count=2)), scene)
    assert not holds(reading(Thing("cat", count=3)), scene) and not holds(reading(Thing("cat", "big")), scene)
    assert holds(reading(Thing("cat"), Thing("cat")), scene) and not holds(reading(Thing("dog"), Thing("dog")), scene)
    assert refers(reading(Thing("cat")), scene) == [0, 1]
    assert refers(reading(Thing("cat"), relations=(Relation(0, "on the left", 0),)), scene) == [0]
    assert refers(reading(Thing("cat"), Thing("cat"), relations=(Relation(0, "to the right of", 1),)), scene) == [1]
    assert refers(reading(Thing("cat"), Thing("dog"), relations=(Relation(0, "above", 1),)), scene) == [0, 1]
    assert refers(reading(Thing("cat"), Thing("cat"), relations=(Relation(0, "next to", 1),)), scene) == [0, 1]
    assert not holds(reading(Thing("cat"), Thing("dog"), relations=(Relation(0, "next to", 1),)), scene)
    for word in ("to the left of", "to the right of"):  # the dog's columns are among the cats'
        assert not holds(reading(Thing("cat"), Thing("dog"), relations=(Relation(0, word, 1),)), scene)
    three = replace(scene, objects=(*cats, replace(o, x=30, y=0)))
    assert holds(reading(Thing("cat", count=3)), three) and not holds(reading(Thing("cat", count=2)), three)
    assert refers(reading(Thing("cat"), relations=(Relation(0, "on the right", 0),)), three) == [3]
    assert refers(reading(Thing("cat"), relations=(Relation(0, "at the top", 0),)), three) == []


@given(scenes(("train", "validation", "test")))
def test_no_held_out_pair_meets_and_no_unseen_concept_shows(scene: Scene) -> None:
    concepts = sorted({o.concept for o in scene.objects})
    assert not set(combinations(concepts, 2)) & WORLD.held_out and concepts[-1] < WORLD.concepts


@given(scenes(("unseen_combinations",)))
def test_a_held_out_pair_meets(scene: Scene) -> None:
    concepts = sorted({o.concept for o in scene.objects})
    assert set(combinations(concepts, 2)) & WORLD.held_out and concepts[-1] < WORLD.concepts


@given(scenes(("unseen_concepts",)))
def test_unseen_concepts_show_alone(scene: Scene) -> None:
    assert {o.name for o in scene.objects} <= set(WORLD.unseen_names)
    assert not set(WORLD.unseen_names) & set(WORLD.names)


def test_splits_share_no_content_even_where_contents_are_few() -> None:
    """One fixed concept, alone, has some hundred contents: without the rule the splits would share most of them."""
    seen = {
        split: {WORLD.scene(split, i, seed=seed, concepts=(3,)).content for i in range(150) for seed in (0, 1)}
        for split in SPLITS[:3]
    }
    assert all(len(contents) > 3 for contents in seen.values())
    assert all(not seen[a] & seen[b] for a, b in combinations(SPLITS[:3], 2))


def test_larger_worlds_hold_out_the_same_pairs() -> None:
    larger = World(200)
    assert {pair for pair in larger.held_out if pair[1] < 100} == WORLD.held_out
    assert len(WORLD.held_out) / (100 * 99 / 2) == pytest.approx(0.1, abs=0.02)
    assert larger.names[:100] == WORLD.names


def test_numbers_and_sizes_are_spread() -> None:
    sample = [WORLD.scene("train", i) for i in range(1500)]
    numbers = Counter(len(s.objects) for s in sample)
    assert all(abs(numbers[n] / 1500 - 0.25) < 0.05 for n in range(1, 5))
    alone = Counter(s.objects[0].size for s in sample if len(s.objects) == 1)
    assert abs(alone["big"] / alone.total() - 0.5) < 0.1
    repeated = np.mean([len({o.name for o in s.objects}) < len(s.objects) for s in sample if len(s.objects) > 1])
    assert 0.15 < repeated < 0.45
    assert {o.concept for s in sample for o in s.objects} == set(range(100))
    assert {w for s in sample for r in s.caption.relations for w in [r.word]} == {*OPPOSITE, "next to"}


def test_what_is_asked_for_is_shown() -> None:
    assert [len(WORLD.scene("train", i, 3).objects) for i in range(20)] == [3] * 20
    assert {len(WORLD.scene("train", i, (2, 3)).objects) for i in range(30)} == {2, 3}
    scene = WORLD.scene("test", 5, concepts=(7, 9) if (7, 9) not in WORLD.held_out else (7, 10))
    assert scene.objects[0].concept == 7
    assert WORLD.scene("train", 5, seed=1).content != WORLD.scene("train", 5, seed=2).content
    pair = min(WORLD.held_out)
    assert {o.concept for o in WORLD.scene("unseen_combinations", 0, concepts=pair).objects} == set(pair)


def test_impossible_wishes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"split = 'dev': must be one of train"):
        WORLD.scene("dev", 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"scenes of 1 to 4"):
        WORLD.scene("train", 0, 5)
    with pytest.raises(ValueError, match=r"scenes of 2 to 4"):
        WORLD.scene("unseen_combinations", 0, 1)
    with pytest.raises(ValueError, match=r"no pair of World.held_out"):
        WORLD.scene("train", 0, concepts=min(WORLD.held_out))
    with pytest.raises(ValueError, match=r"concepts"):
        WORLD.scene("train", 0, concepts=(840,))
    with pytest.raises(ValueError, match=r"data.concepts = 853: must be from 16 to 803"):
        World(853)


def test_the_whole_world_at_224_pixels() -> None:
    world = World(803, 224)
    for i in range(5):
        scene = world.scene("train", i)
        assert scene.image.shape == (224, 224, 3) and holds(scene.caption, scene)


DIGEST = """
import hashlib
from xfm.data.scenes import SPLITS, World
h = hashlib.sha256()
for split in SPLITS:
    for i in range(20):
        s = World().scene(split, i, seed=3)
        h.update(s.image.tobytes() + repr((s.objects, s.caption, s.phrases)).encode())
digest = h.hexdigest()
"""


def test_another_process_draws_the_same_scenes() -> None:
    names: dict[str, str] = {}
    exec(DIGEST, names)
    run = [sys.executable, "-c", DIGEST + "print(digest)"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == names["digest"]
    assert len(names["digest"]) == len(hashlib.sha256().hexdigest())


def test_words() -> None:
    pairs = """
    apple apples, cherry cherries, mouse mice, bus buses, potato potatoes, key keys, ladybug ladybugs, jeans jeans,
    glass glasses, paintbrush paintbrushes, fish fish, fox foxes, octopus octopuses, snowman snowmen
    """
    forms = {"polar bear": "polar bears", **dict(pair.split() for pair in pairs.split(","))}
    assert {name: plural(name) for name in forms} == forms
    words = ["apple", "unicorn", "umbrella", "egg", "dog", "jeans", "ufo"]
    assert [article(word, word) for word in words] == ["an", "a", "an", "an", "a", "some", "a"]
    assert templates("apple")[:3] == ("an apple", "a big apple", "a small apple")


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_templates_are_captions_of_single_objects(index: int) -> None:
    scene = WORLD.scene("train", index, 1)
    assert scene.caption.text in templates(scene.objects[0].name)
    assert openmoji.concepts()[scene.objects[0].concept].name == scene.objects[0].name
