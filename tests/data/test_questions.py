"""Questions and statements: right by a naive reading of the text and the objects, in pairs, and blind to the text."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from xfm import recipes
from xfm.base import seeding
from xfm.config import CaptionConfig, SceneConfig
from xfm.data.source import SPLITS, Split
from xfm.data.world import colours, openmoji
from xfm.data.world.grammar import EXTREMES, Caption, Relation, Thing, compose, is_true, plural
from xfm.data.world.hard_negatives import HARD_NEGATIVE_KINDS, hard_negative
from xfm.data.world.objects import Object
from xfm.data.world.parsing import readings, without_opening
from xfm.data.world.questions import QUESTION_KINDS, visual_question
from xfm.data.world.scenes import Scene, World
from xfm.data.world.statements import STATEMENT_KINDS, statement

LEVEL = recipes.get("demo+hard+rich").data
WORLD, HARD = World(), World(200, 48, LEVEL.scenes, LEVEL.captions)
SINGULAR = {plural(c.name): c.name for c in reversed(openmoji.concepts())}  # "houses" are several of the first, "house"


def edges(o: Object) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(o.mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def stands(scene: Scene, a: Object, word: str, b: Object) -> bool:
    (al, at, ar, ab), (bl, bt, br, bb) = edges(a), edges(b)
    hidden, order = bool((a.silhouette & b.silhouette).any()), scene.objects.index(a) - scene.objects.index(b)
    wide, tall = max(bl - ar, al - br, 0), max(bt - ab, at - bb, 0)
    return {
        "to the left of": ar <= bl, "to the right of": br <= al, "above": ab <= bt, "below": bb <= at,
        "next to": np.hypot(wide, tall) <= 0.15 * a.side, "in front of": hidden and order > 0,
        "behind": hidden and order < 0,
    }[word]  # fmt: skip


WORDS = "to the left of|to the right of|above|below|next to|in front of|behind"
ASKED: dict[str, Callable[[Scene, re.Match[str]], str | bool]] = {
    r"what is this\?": lambda s, m: s.objects[0].name if len(s.objects) == 1 else "",
    r"what is the (big|small) thing\?": lambda s, m: only([o.name for o in s.objects if o.size == m[1]]),
    rf"what is ({WORDS}) the (.*)\?": lambda s, m: only([o.name for o in beside(s, m[1], m[2])]),
    rf"what colour is the thing ({WORDS}) the (.*)\?": lambda s, m: only(
        [colours.colour(o.concept) for o in beside(s, m[1], m[2])]
    ),
    r"how many (.*) are there\?": lambda s, m: str([o.name for o in s.objects].count(SINGULAR[m[1]])),
    r"(?:is there (?:an?)|are there any) (.*)\?": lambda s, m: m[1] in [o.name for o in s.objects],
    rf"(?:is|are) the (.*) ({WORDS}) the (.*)\?": lambda s, m: m[1] in [o.name for o in beside(s, m[2], m[3])],
}


def beside(scene: Scene, word: str, name: str) -> list[Object]:
    (there,) = (o for o in scene.objects if o.name == name)
    return [o for o in scene.objects if o is not there and stands(scene, o, word, there)]


def only(found: list) -> str:
    return found[0] if len(found) == 1 else ""


def answer(scene: Scene, text: str) -> str:
    found = [(reply, match) for pattern, reply in ASKED.items() if (match := re.fullmatch(pattern, text))]
    said = found[0][0](scene, found[0][1])
    return {True: "yes", False: "no"}.get(said, said)


def shows(scene: Scene, text: str) -> bool:
    names = [o.name for o in scene.objects]
    if found := re.fullmatch(rf"(?:an?|some) (.*) ({WORDS}) (?:an?|some) (.*)", text):
        a, b = ([o for o in scene.objects if o.name == found[i]] for i in (1, 3))
        return any(stands(scene, x, found[2], y) for x in a for y in b)
    first, name = text.split(" ", 1)
    number = {"two": 2, "three": 3}.get(first)
    return names.count(SINGULAR[name]) == number if number else name in names


def holds(left: Scene, right: Scene, text: str) -> bool:
    if found := re.fullmatch("the left picture shows more (.*) than the right one", text):
        a, b = ([o.name for o in scene.objects].count(SINGULAR[found[1]]) for scene in (left, right))
        return a > b
    start, shown = re.findall("^(both|exactly one|neither) pictures? shows? (.*)$", text)[0]
    wanted = {"both": 2, "exactly one": 1, "neither": 0}[start]
    return sum(shows(scene, shown) for scene in (left, right)) == wanted


@pytest.mark.parametrize(("world", "split"), [*product((WORLD, HARD), SPLITS)])
def test_answers_are_right_statements_as_true_as_they_say_and_pairs_complementary(world: World, split: Split) -> None:
    asked = [visual_question(world, split, i, 2) for i in range(48)]
    assert [q.kind for q in asked[::2]] == [QUESTION_KINDS[i % len(QUESTION_KINDS)] for i in range(24)]
    for q in asked:
        assert answer(q.scene, q.text) == q.answer and q.answer in q.answers
    for a, b in zip(asked[::2], asked[1::2], strict=True):
        assert a.text == b.text and a.answer != b.answer and a.answers == b.answers
    stated = [statement(world, split, i, 2) for i in range(40)]
    assert {s.kind for s in stated} == set(STATEMENT_KINDS)
    for s in stated:
        assert holds(s.left, s.right, s.text) == s.is_true
    for a, b in zip(stated[::2], stated[1::2], strict=True):
        assert a.text == b.text and a.is_true != b.is_true


def test_who_reads_the_text_alone_is_at_chance() -> None:
    """By naive Bayes; who knows the questions has each text with two answers."""
    asked = [visual_question(WORLD, "train", i, 5) for i in range(1200)]
    for kind in QUESTION_KINDS:
        known, tested = ([q for q in asked[part] if q.kind == kind] for part in (slice(0, 800), slice(800, None)))
        chance = 1 / len(known[0].answers)
        words = CountVectorizer()
        model = MultinomialNB().fit(words.fit_transform([q.text for q in known]), [q.answer for q in known])
        right = model.predict(words.transform([q.text for q in tested])) == [q.answer for q in tested]
        assert right.mean() < chance + 3 * np.sqrt(chance * (1 - chance) / len(tested))
    assert sum(statement(WORLD, "train", i).is_true for i in range(400)) == 200


# ---- captions read back, and made wrong


RICH = World(40, 48, SceneConfig(overlap=0.4), CaptionConfig(colours=0.5, negation=0.4, paraphrase=0.7))


def claims(caption: Caption) -> tuple:
    related = Counter((caption.things[r.subject], r.word, caption.things[r.object]) for r in caption.relations)
    return Counter(caption.things), related, caption.absent


NAMES = [((Thing(name, "big", count), Thing("cat")), ()) for name in World(853).names[::20] for count in (1, 2, 4)]
PLACES = [((Thing("cat"), Thing("dog", count=2)), (Relation(0, word, 0),)) for word in EXTREMES]


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=30)
def test_every_caption_and_phrase_is_read_back(index: int, rich: bool) -> None:
    scene = (RICH if rich else WORLD).scene("train", index)
    for said in (scene.caption, *scene.phrases):
        found = next(readings(said.text))
        assert found.whole and claims(found.claims) == claims(said), said.text


def test_every_name_is_known_and_what_the_grammar_does_not_know_is_passed_over_and_so_is_an_opening() -> None:
    for said in (compose(*claimed) for claimed in (*NAMES, *PLACES)):
        found = next(readings(said.text))
        assert found.whole and claims(found.claims) == claims(said), said.text
    for text, names in (("of of the and", ""), ("a cat above", "cat"), ("a cat above a zzz, with a dog", "cat dog")):
        found = next(readings(text))
        assert not found.whole and " ".join(thing.name for thing in found.claims.things) == names
    for start in ("a picture of ", "there are ", "we see ", ""):
        assert without_opening(f"{start}two cats") == "two cats"
    assert len(next(readings(" and ".join(["two houses"] * 60))).claims.things) == 60, "at once"


WORLDS = WORLD, World(853 - 40, 48, LEVEL.scenes, replace(LEVEL.captions, colours=0.7, negation=0.7))


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


@pytest.mark.parametrize(("world", "wrong", "asked"), [
    (WORLD, "8d7491cba70d9639", "fb65ccddb7007e6b"), (HARD, "cddb1e252ff751b1", "c1a0845435b873cb"),
])  # fmt: skip
def test_they_and_what_is_asked_are_what_committed_results_are_of(world: World, wrong: str, asked: str) -> None:
    of_wrong, of_asked = (hashlib.blake2b(digest_size=8) for _ in range(2))
    for split, i, kind in product(SPLITS, range(8), HARD_NEGATIVE_KINDS):
        scene = world.scene(split, i)
        of_wrong.update(repr(hard_negative(scene.caption, scene, kind, world, seeding.rng(i))).encode())
    for split, i in product(SPLITS, range(12)):
        q, s = visual_question(world, split, i), statement(world, split, i)
        said = q.text, q.answer, q.scene.caption.text, s.text, s.is_true, s.left.caption.text, s.right.caption.text
        of_asked.update(repr(said).encode())
    assert (of_wrong.hexdigest(), of_asked.hexdigest()) == (wrong, asked)
