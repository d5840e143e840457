"""Questions and statements about the drawn world: right by what was drawn, and not to be guessed without pictures."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfm.data.source import SPLITS
from xfm.data.synthetic.grammar import RELATIONS, plural
from xfm.data.synthetic.questions import KINDS, NUMBERS, SIDES, answers, question, statement
from xfm.data.synthetic.scenes import World

WORLD = World()
RIGHT = ("train", "validation", "test")


def names_of(scene) -> list[str]:
    return [o.name for o in scene.objects]


def by_name(scene, name: str):
    (found,) = [o for o in scene.objects if o.name == name]
    return found


@given(index=st.integers(0, 10**6), split=st.sampled_from(SPLITS), kind=st.sampled_from(KINDS))
@settings(max_examples=150, deadline=None)
def test_the_answer_follows_from_what_was_drawn(index: int, split, kind) -> None:
    q = question(WORLD, split, index, kind=kind)
    assert q.kind == kind and q.answer in answers(WORLD)
    shown = names_of(q.scene)
    if kind == "presence":
        (name,) = re.fullmatch(r"is there (?:an?|some) (.+)\?", q.text).groups()
        assert q.answer == ("yes" if name in shown else "no")
    elif kind == "number":
        (names,) = re.fullmatch(r"how many (.+) are there\?", q.text).groups()
        assert q.answer == NUMBERS[sum(plural(n) == names for n in shown)]
    elif kind == "size":
        (name,) = re.fullmatch(r"is the (.+) big or small\?", q.text).groups()
        assert q.answer == by_name(q.scene, name).size
    elif kind == "place":
        name, word, other = re.fullmatch(rf"is the (.+?) ({'|'.join(SIDES)}) the (.+)\?", q.text).groups()
        holds = RELATIONS[word](by_name(q.scene, name), by_name(q.scene, other))
        assert q.answer == ("yes" if holds else "no")
    else:
        word, other = re.fullmatch(rf"what is ({'|'.join(SIDES)}) the (.+)\?", q.text).groups()
        there = {o.name for o in q.scene.objects if RELATIONS[word](o, by_name(q.scene, other))}
        assert there == {q.answer}


@given(index=st.integers(0, 10**6), split=st.sampled_from(SPLITS))
@settings(max_examples=60, deadline=None)
def test_a_statement_is_true_or_false_of_its_two_pictures(index: int, split) -> None:
    s = statement(WORLD, split, index)
    left, right = names_of(s.left), names_of(s.right)
    if found := re.fullmatch(
        r"(both pictures|only one picture|the left picture|the right picture) shows? (?:an?|some) (.+)", s.text
    ):
        which, name = found.groups()
        here, there = name in left, name in right
        truth = {"both pictures": here and there, "only one picture": here != there, "the left picture": here,
                 "the right picture": there}[which]  # fmt: skip
    else:
        (names,) = re.fullmatch(r"there are two (.+) in all", s.text).groups()
        truth = sum(plural(n) == names for n in left + right) == 2
    assert s.true == truth


def test_without_pictures_yes_and_true_are_a_coin() -> None:
    for kind in ("presence", "place"):
        said = Counter(question(WORLD, "train", i, kind=kind).answer for i in range(400))
        assert 0.42 < said["yes"] / 400 < 0.58, (kind, said)
    said = [statement(WORLD, "train", i) for i in range(600)]
    for form in ("both", "only one", "the left", "the right", "there are two"):
        of_form = [s.true for s in said if s.text.startswith(form)]
        assert len(of_form) > 80 and 0.35 < sum(of_form) / len(of_form) < 0.65, form


def test_a_question_is_a_function_of_its_key() -> None:
    one, again, other = (question(WORLD, "test", i, seed=3) for i in (5, 5, 6))
    assert (one.text, one.answer) == (again.text, again.answer) and (one.scene.image == again.scene.image).all()
    assert one.text != other.text
    assert {question(WORLD, "test", i).kind for i in range(40)} == {*KINDS}


@pytest.mark.parametrize("split", RIGHT)
def test_the_scenes_are_of_the_split(split) -> None:
    q = question(WORLD, split, 1)
    assert not {*names_of(q.scene)} & {*WORLD.unseen_names}
