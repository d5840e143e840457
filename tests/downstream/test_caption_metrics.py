"""Captions are scored as COCO's are, and against what a picture shows."""

import sys
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xfm.base.fields import ConfigError
from xfm.config import CaptionConfig
from xfm.data.world.grammar import plural
from xfm.data.world.hard_negatives import hard_negative
from xfm.data.world.scenes import World
from xfm.tasks.own import captioning
from xfm.tasks.own.captioning import BLEU, CIDER, TRUTH, Reference

WORLD, EVERY = World(40), World(853, captions=CaptionConfig(colours=0.5))
texts = st.lists(st.sampled_from("a the cat dog sits on mat red".split()), max_size=9).map(" ".join)
pairs = st.lists(st.tuples(texts, st.lists(texts.filter(len), min_size=1, max_size=3)), min_size=2, max_size=6)


def truth(text: str, reference: Reference) -> dict[str, float]:
    return {metric.name: metric.value([text], [reference]) for metric in TRUTH}


@given(st.integers(0, 10**6))
def test_the_truth_scores_1_and_one_wrong_word_is_noticed(index: int) -> None:
    scene = WORLD.scene("train", index, phrases=False)
    reference = Reference(scene.text, objects=scene.objects)
    right = truth(scene.text, reference)
    claimed = bool(scene.caption.relations)
    assert right == {"true captions": 1, "names right": 1, "counts right": 1, "relations right": claimed}
    for kind, lower in (("noun", "counts right"), ("count", "counts right"), ("relation", "relations right")):
        wrong = hard_negative(scene.caption, scene, kind, WORLD, np.random.default_rng(index))  # type: ignore[arg-type]
        if wrong:
            found = truth(wrong.text, reference)
            assert found["true captions"] == 0 and found[lower] < right[lower], (scene.text, wrong.text)
            same = {thing.name for thing in wrong.things} == {o.name for o in scene.objects}
            assert (found["names right"] == 1) == same


@pytest.mark.parametrize("names", [  # "houses" are a concept as well, and "bird" is one
    ("house", "house"), ("book", "book"), ("houses", "houses"), ("house", "house", "houses", "houses"),
    ("musical note", "musical note"), ("musical notes", "book", "book", "books"), ("black bird",),
    ("black bird", "bird"), ("green apple", "green apple"), ("blue book", "green book", "book"),
    ("small airplane", "airplane"),
])  # fmt: skip
def test_a_true_caption_is_true_whatever_else_its_words_may_mean(names: tuple[str, ...]) -> None:
    concepts = tuple(map(EVERY.names.index, names))
    held_out = EVERY.held_out & {*combinations(sorted({*concepts}), 2)}
    for i in range(12):
        scene = EVERY.scene("unseen_combinations" if held_out else "train", i, concepts=concepts, phrases=False)
        reference = Reference(scene.text, objects=scene.objects)
        found = truth(scene.text, reference)
        assert (found["true captions"], found["names right"], found["counts right"]) == (1, 1, 1), scene.text
        one_less = Reference(scene.text, objects=scene.objects[1:])
        assert truth(scene.text, one_less)["true captions"] == 0


def test_a_name_is_not_what_it_is_part_of() -> None:
    scene = EVERY.scene("train", 0, concepts=(EVERY.names.index("black bird"),), phrases=False)
    reference = Reference(scene.text, objects=scene.objects)
    assert truth("a bird", reference)["true captions"] == 0 < truth("a black bird", reference)["true captions"]
    assert truth("a blue bird", reference)["true captions"] == truth("two black birds", reference)["true captions"] == 0


def test_a_caption_must_mention_every_object_once() -> None:
    whole = next(s for i in range(99) if not (s := WORLD.scene("test", i, 2)).caption.relations)
    reference = Reference(whole.text, objects=whole.objects)
    first = whole.objects[0].name
    for text in (f"a {first}", f"{whole.text}, {whole.text}", f"{whole.text} zzz", "", "left of of left"):
        assert truth(text, reference)["true captions"] == 0, text
    assert truth("", reference) == dict.fromkeys((m.name for m in TRUTH), 0) and BLEU.value([""], [reference]) == 0


def test_a_group_that_is_mentioned_twice_does_not_stand_for_another_object() -> None:
    scenes = (WORLD.scene("test", i, 3) for i in range(9999))
    scene = next(s for s in scenes if len({o.name for o in s.objects}) == 2)
    counts = Counter(o.name for o in scene.objects)
    (two, _), (one, _) = counts.most_common()
    reference = Reference(scene.text, objects=scene.objects)
    twice = f"two {plural(two)} and a {two}"
    assert truth(f"two {plural(two)} and a {one}", reference)["true captions"] == 1
    assert truth(twice, reference)["true captions"] == 0


@given(pairs)
def test_words_are_scored_as_cocos_scorers_do(rows: list[tuple[str, list[str]]]) -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider

    said, references = [text for text, _ in rows], [Reference(*captions) for _, captions in rows]
    given_, made = {i: list(r.captions) for i, r in enumerate(references)}, {i: [t] for i, t in enumerate(said)}
    assume(any(len(text.split()) >= 4 for text in said))  # else COCO's divides one small constant by another
    bleu = Bleu(4).compute_score(given_, made, verbose=0)[0][3]
    assert BLEU.value(said, references) == pytest.approx(bleu, abs=1e-3 if bleu < 1e-3 else 1e-6)
    assert CIDER.value(said, references) == pytest.approx(Cider().compute_score(given_, made)[0], abs=1e-9)


def test_without_the_library_the_truth_is_scored_and_words_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captioning, "find_spec", lambda name: None)
    assert captioning.word_metrics() == ()
    monkeypatch.setitem(sys.modules, "pycocoevalcap.bleu.bleu_scorer", None)
    with pytest.raises(ConfigError, match=r"pycocoevalcap is not installed; pip install 'xfm-lab\[captions\]'"):
        captioning.library()
