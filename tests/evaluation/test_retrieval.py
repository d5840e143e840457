"""Retrieval: a perfect model scores 1, a guess is at chance, and pairs are distinct."""

from itertools import count

import numpy as np
import pytest
import torch
from evaluation.stubs import WORLD, Guesser, oracle, values
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from xfm.base import seeding
from xfm.data.source import CaptionedImage
from xfm.data.world.grammar import is_true
from xfm.tasks import EvalContext
from xfm.tasks.context import NothingToAsk
from xfm.tasks.world import exchanged_words, object_naming, retrieval


def test_who_knows_retrieves_everything(context: EvalContext) -> None:
    results = retrieval.score(oracle(context))
    sure = [r for r in results if "random" not in r.task]
    for condition in ("ITC", "ITM re-ranked", "ITC + ITM"):
        assert values(sure, condition) == {1.0}
    assert max(values(sure, "ITC, shuffled pairs")) < 0.05
    for r in results:
        assert r.n == 256 and r.baseline == pytest.approx(int(r.metric[2:]) / 256) and r.low <= r.value <= r.high
    for r in results:
        if "random" in r.task:
            assert r.upper_bound is not None and 0.9 < r.upper_bound <= 1 and r.value > 0.9


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.integers(2, 48), st.sampled_from(["train", "test", "unseen_combinations"]))
def test_every_caption_of_distinct_pairs_is_true_of_one_picture_only(start: int, size: int, split) -> None:
    scenes = retrieval.distinct_pairs((WORLD.scene(split, start + i) for i in count()), size)
    truth = np.array([[is_true(t.caption, s.objects) for t in scenes] for s in scenes])
    assert (truth == np.eye(size, dtype=bool)).all()


def test_too_few_distinct_pairs_are_an_error() -> None:
    scene = WORLD.scene("test", 0)
    with pytest.raises(RuntimeError, match="in 9 draws captions tell only 1 of 2 pictures apart"):
        retrieval.distinct_pairs([scene] * 9, 2)


def test_pairs_without_ground_truth_are_distinct_by_their_captions() -> None:
    image = np.zeros((48, 48, 3), np.uint8)
    pairs = [CaptionedImage(image, text) for text in ("a", "b", "a", "c", "b")]
    assert [p.text for p in retrieval.distinct_pairs(pairs, 2)] == ["a", "b"]
    assert [p.text for p in retrieval.distinct_pairs(pairs)] == ["a", "b", "c"]  # all that there are
    with pytest.raises(NothingToAsk, match="all 2 captions are equal"):
        retrieval.distinct_pairs([pairs[0], pairs[2]])


@pytest.mark.parametrize("k", [1, 5])
def test_recall_is_sklearns(k: int) -> None:
    scores = torch.randn(40, 40, generator=seeding.generator("scores")) + 2 * torch.eye(40)
    assert (retrieval.ranks(scores) < k).mean() == top_k_accuracy_score(np.arange(40), scores.numpy(), k=k)


def test_a_tie_is_no_hit() -> None:
    assert (retrieval.ranks(torch.zeros(8, 8)) == 7).all()


def test_reranking_moves_the_best_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "RERANKED", 3)
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5]])
    again = torch.tensor([[-3.0, 4.0, 1.0, 99.0, torch.nan]])
    order = retrieval._rerank(scores, again).argsort(1, descending=True)
    assert order.tolist() == [[1, 2, 0, 3, 4]]


def test_odds_are_asked_for_the_best_of_either_side_alone(
    context: EvalContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "RERANKED", 2)
    scores = torch.randn(6, 6, generator=seeding.generator("odds"))
    asked = ~retrieval.match_best(oracle(context), context.scenes("any", 6), scores).isnan()
    for i in range(6):
        for j in range(6):
            near = (scores[i] > scores[i, j]).sum() < 2 or (scores[:, j] > scores[i, j]).sum() < 2
            assert asked[i, j] == near


def test_the_upper_bound_is_the_recall_of_a_guess_among_equal_captions(context: EvalContext, monkeypatch) -> None:
    monkeypatch.setattr(retrieval, "SIZE", 8)
    monkeypatch.setattr(retrieval, "RECALLS", (1, 2))
    texts = ["a", "a", "a", "b", "b", "c", "d", "e", "f", "g", "h", "i"]  # 8 are distinct, the first 8 are not
    image = np.zeros((48, 48, 3), np.uint8)
    monkeypatch.setattr(
        EvalContext, "examples", lambda _, task, most: (CaptionedImage(image, text) for text in texts[:most])
    )
    results = [r for r in retrieval.score(oracle(context, Guesser)) if "random" in r.task]
    expected = {"R@1": (3 / 3 + 2 / 2 + 3) / 8, "R@2": (3 * 2 / 3 + 2 + 3) / 8}
    assert all(r.upper_bound == pytest.approx(expected[r.metric]) for r in results) and len(results) == 4


def test_an_equal_caption_is_true_and_leaves_nothing_out() -> None:
    scenes = [WORLD.scene("test", i, 2, concepts=c) for i, c in enumerate([(3,), (3,), (3, 5)])]
    equal = np.array([[retrieval.caption_fits(a, b, complete=True) for a in scenes] for b in scenes])
    assert equal.diagonal().all() and not equal[2, 0] and not equal[2, 1] and not equal[0, 2]
    sized = [bool(s.caption.things[0].size) for s in scenes]
    assert equal[0, 1] == (not sized[1] or scenes[0].objects[0].size == scenes[1].objects[0].size)


def test_who_guesses_is_at_chance(context: EvalContext) -> None:
    guesser = oracle(context, Guesser)
    for r in exchanged_words.score(guesser):  # a dozen: one in twenty intervals misses
        assert r.baseline == 0.5 and abs(r.value - 0.5) < 4 * 0.5 / r.n**0.5, r
    for r in (*retrieval.score(guesser), *object_naming.score(guesser)):
        if r.metric != "R@1":  # one right of 256: the bootstrap knows little of so rare an event
            assert r.baseline is not None and r.low <= r.baseline <= r.high, r
