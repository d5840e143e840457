"""Questions and statements: right by a naive reading of the text and the objects, in pairs, and blind to the text."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB

from xfm import recipes
from xfm.data.source import SPLITS, Split
from xfm.data.world import colours, openmoji
from xfm.data.world.grammar import plural
from xfm.data.world.objects import Object
from xfm.data.world.questions import QUESTION_KINDS, visual_question
from xfm.data.world.scenes import Scene, World
from xfm.data.world.statements import STATEMENT_KINDS, statement

LEVEL = recipes.get("demo+hard+rich").data
WORLD, HARD = World(), World(200, 48, LEVEL.scenes, LEVEL.captions)
CASES = [(world, split) for world in (WORLD, HARD) for split in SPLITS]
SINGULAR = {plural(c.name): c.name for c in reversed(openmoji.concepts())}  # "houses" are several of the first, "house"
NUMBERS = {"two": 2, "three": 3}


def first(item: Callable, world: World, split: Split, count: int, seed: int = 0) -> list:
    return [item(world, split, i, seed) for i in range(count)]


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
ASKED: dict[str, Callable[[Scene, re.Match[str]], str]] = {
    r"what is this\?": lambda s, m: s.objects[0].name if len(s.objects) == 1 else "",
    r"what is the (big|small) thing\?": lambda s, m: only([o.name for o in s.objects if o.size == m[1]]),
    rf"what is ({WORDS}) the (.*)\?": lambda s, m: only([o.name for o in beside(s, m[1], m[2])]),
    rf"what colour is the thing ({WORDS}) the (.*)\?": lambda s, m: only(
        [colours.colour(o.concept) for o in beside(s, m[1], m[2])]
    ),
    r"how many (.*) are there\?": lambda s, m: str([o.name for o in s.objects].count(SINGULAR[m[1]])),
    r"(?:is there (?:an?)|are there any) (.*)\?": lambda s, m: truth(m[1] in [o.name for o in s.objects]),
    rf"(?:is|are) the (.*) ({WORDS}) the (.*)\?": lambda s, m: truth(m[1] in [o.name for o in beside(s, m[2], m[3])]),
}


def beside(scene: Scene, word: str, name: str) -> list[Object]:
    (there,) = (o for o in scene.objects if o.name == name)
    return [o for o in scene.objects if o is not there and stands(scene, o, word, there)]


def only(found: list) -> str:
    return found[0] if len(found) == 1 else ""


def truth(value: bool) -> str:
    return "yes" if value else "no"


def answer(scene: Scene, text: str) -> str:
    found = [(reply, match) for pattern, reply in ASKED.items() if (match := re.fullmatch(pattern, text))]
    return found[0][0](scene, found[0][1])


def shows(scene: Scene, text: str) -> bool:
    names = [o.name for o in scene.objects]
    if found := re.fullmatch(rf"(?:an?|some) (.*) ({WORDS}) (?:an?|some) (.*)", text):
        a, b = ([o for o in scene.objects if o.name == found[i]] for i in (1, 3))
        return any(stands(scene, x, found[2], y) for x in a for y in b)
    first, name = text.split(" ", 1)
    return names.count(SINGULAR[name]) == NUMBERS[first] if first in NUMBERS else name in names


def is_true(left: Scene, right: Scene, text: str) -> bool:
    if found := re.fullmatch("the left picture shows more (.*) than the right one", text):
        a, b = ([o.name for o in scene.objects].count(SINGULAR[found[1]]) for scene in (left, right))
        return a > b
    start, shown = re.findall("^(both|exactly one|neither) pictures? shows? (.*)$", text)[0]
    wanted = {"both": 2, "exactly one": 1, "neither": 0}[start]
    return sum(shows(scene, shown) for scene in (left, right)) == wanted


@pytest.mark.parametrize(("world", "split"), CASES)
def test_answers_are_right_and_pairs_complementary(world: World, split: Split) -> None:
    asked = first(visual_question, world, split, 48, seed=2)
    assert [q.kind for q in asked[::2]] == [QUESTION_KINDS[i % len(QUESTION_KINDS)] for i in range(24)]
    for q in asked:
        assert answer(q.scene, q.text) == q.answer and q.answer in q.answers
    for a, b in zip(asked[::2], asked[1::2], strict=True):
        assert a.text == b.text and a.answer != b.answer and a.answers == b.answers


@pytest.mark.parametrize(("world", "split"), CASES)
def test_statements_are_as_true_as_they_say(world: World, split: Split) -> None:
    stated = first(statement, world, split, 40, seed=2)
    assert {s.kind for s in stated} == set(STATEMENT_KINDS)
    for s in stated:
        assert is_true(s.left, s.right, s.text) == s.is_true
    for a, b in zip(stated[::2], stated[1::2], strict=True):
        assert a.text == b.text and a.is_true != b.is_true


@pytest.mark.parametrize(("world", "asked"), [(WORLD, "fb65ccddb7007e6b"), (HARD, "c1a0845435b873cb")])
def test_what_is_asked_is_what_committed_results_are_of(world: World, asked: str) -> None:
    digest = hashlib.blake2b(digest_size=8)
    for split, i in product(SPLITS, range(12)):
        q, s = visual_question(world, split, i), statement(world, split, i)
        of_statement = s.text, s.is_true, s.left.caption.text, s.right.caption.text
        digest.update(repr((q.text, q.answer, q.scene.caption.text, *of_statement)).encode())
    assert digest.hexdigest() == asked


def test_who_reads_the_text_alone_is_at_chance() -> None:
    """Who has seen the questions and knows of each text its most frequent answer; and who has not, by naive Bayes."""
    asked = first(visual_question, WORLD, "train", 1200, seed=5)
    for kind in QUESTION_KINDS:
        known, tested = ([q for q in asked[part] if q.kind == kind] for part in (slice(0, 800), slice(800, None)))
        chance = 1 / len(known[0].answers)
        by_text = defaultdict(Counter)
        for q in known:
            by_text[q.text][q.answer] += 1
        if kind in ("exists", "relation"):
            assert sum(c.most_common(1)[0][1] for c in by_text.values()) <= 0.56 * len(known)
        words = CountVectorizer()
        model = MultinomialNB().fit(words.fit_transform([q.text for q in known]), [q.answer for q in known])
        right = model.predict(words.transform([q.text for q in tested])) == [q.answer for q in tested]
        assert right.mean() < chance + 3 * np.sqrt(chance * (1 - chance) / len(tested))
    stated = first(statement, WORLD, "train", 400)
    assert Counter(s.is_true for s in stated) == {True: 200, False: 200}


def test_too_few_concepts_are_refused() -> None:
    for concepts, item in ((845, visual_question), (853, statement)):
        with pytest.raises(ValueError, match=rf"'unseen_concepts', data.concepts = {concepts}: .* are too few"):
            item(World(concepts), "unseen_concepts", 0)
    assert all(q.text for q in first(visual_question, World(16), "train", 12))
