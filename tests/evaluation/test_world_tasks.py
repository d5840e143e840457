"""Tasks of a frozen model: who knows everything is right, who guesses is at chance, and controls are what they say."""

from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evaluation.stubs import WORLD, Guesser, Oracle, oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip import build_zero_shot_classifier
from sklearn.metrics import top_k_accuracy_score

from xfm.base import seeding
from xfm.data.source import CaptionedImage
from xfm.data.world.grammar import is_true, plural, templates
from xfm.data.world.styles import STYLES
from xfm.recipes import LEVELS
from xfm.tasks import MEASURED, EvalContext, find_result
from xfm.tasks.context import NothingToAsk
from xfm.tasks.world import drawing_styles, exchanged_words, language, masked_words, object_naming, retrieval

WAYS = tuple(retrieval.DIRECTIONS)
PARTS = ("several objects", "by size and number", "harder pictures")
SIZED = dict.fromkeys(("big object", "small object", "hard", "alone", "one of 4"), 1.0)
SURE: dict[str, tuple[set[str], dict[str, float]]] = {  # a task's rows, and by condition what who knows has
    "retrieval": ({*WAYS, *(f"{way} (random gallery)" for way in WAYS)}, {"ITM re-ranked": 1, "ITC + ITM": 1}),
    "matching": ({*exchanged_words.TASKS.values()}, {"ITM": 1, "ITC": 1, "ITM, another picture": 0.5}),
    "naming": ({"naming", "naming (unseen concepts)"}, {"": 1}),
    "grounding": ({"grounding", *(f"grounding ({of})" for of in PARTS)}, {"": 1, "swapped phrase": 0, **SIZED}),
    "imlm": ({*masked_words.KINDS.values()}, {"right picture": 1}),
}


@pytest.mark.parametrize("name", SURE)
def test_who_knows_everything_is_right(name: str, few: None, context: EvalContext) -> None:
    """Of captions that mention colours and absent things where the task asks about words."""
    rich = context.with_data(LEVELS["rich"]) if name in ("matching", "imlm") else context
    results, (tasks, by_condition) = MEASURED[name].score(oracle(rich)), SURE[name]
    assert {r.task for r in results} == tasks and by_condition.keys() <= {r.condition for r in results}
    for r in results:
        assert r.low <= r.value <= r.high
        assert r.value == pytest.approx(by_condition.get(r.condition, r.value)), r
    if name == "retrieval":
        assert {r.value for r in results if r.condition == "ITC" and "random" not in r.task} == {1.0}
        for r in results:
            assert r.baseline == pytest.approx(int(r.metric[2:]) / r.n) and r.n == 24
            assert r.upper_bound is not None and 0.8 < r.upper_bound <= 1
    elif name == "naming":
        assert [(r.n, r.baseline, r.split) for r in results] == [(100, 0.01, "test"), (100, 0.02, "unseen_concepts")]
    elif name == "imlm":  # only the right picture tells a name
        rows = {r.condition: r for r in results if r.task == "masked names"}
        assert rows["wrong picture"].value == rows["no picture"].value == 0
        assert rows["right - wrong"].value == rows["right - none"].value == 1 and rows["right - none"].low > 0.9


@pytest.mark.full
def test_who_guesses_is_at_chance(context: EvalContext) -> None:
    guesser = oracle(context, Guesser)
    for r in exchanged_words.score(guesser):  # a dozen: one in twenty intervals misses
        assert r.baseline == 0.5 and abs(r.value - 0.5) < 4 * 0.5 / r.n**0.5, r
    for r in (*retrieval.score(guesser), *object_naming.score(guesser)):
        if r.metric != "R@1":  # one right of 256: the bootstrap knows little of so rare an event
            assert r.baseline is not None and r.low <= r.baseline <= r.high, r


def test_the_classes_are_those_of_open_clips_classifier(context: EvalContext) -> None:
    class Texts(list):
        def to(self, device):
            return self

    tower = SimpleNamespace(encode_text=lambda texts, normalize: context.text_features(texts))
    filled = [lambda name, i=i: templates(name)[i] for i in range(len(templates("")))]
    classes = build_zero_shot_classifier(tower, Texts, context.world.names, filled, num_classes_per_batch=None)
    scenes = [context.scene("naming", i, concepts=(c,)) for c in context.world.pool("test") for i in range(4)]
    right = (context.image_features(scenes) @ classes).argmax(1).numpy() == np.arange(100).repeat(4)
    assert object_naming.score(context)[0].value == right.mean()


@pytest.mark.full
def test_the_language_baselines_are_counted_on_training_sentences(context: EvalContext, few: None) -> None:
    accuracy, loss, *by_neighbours = language.score(context)
    train = [token for ids in language._sample(context, "train", 200, "unigram") for token in ids[1:-1]]
    counts = np.bincount(train, minlength=context.tokenizer.vocabulary) + 1
    ids = language._sample(context, "test", 40, "language")
    masked = language._masked(context, ids)
    _, _, labels, sentence = language._predict(context, masked)
    assert accuracy.baseline == pytest.approx((labels.numpy() == counts.argmax()).mean())
    assert loss.baseline == pytest.approx(-np.log(counts / counts.sum())[labels].mean())
    assert accuracy.n == loss.n == len(labels) and len(set(sentence.tolist())) == len({*map(tuple, ids)}) == 40
    assert abs(loss.value - np.log(context.tokenizer.vocabulary)) < 1  # untrained: about uniform
    rows = language.beside(masked)
    assert rows[:, 2].tolist() == labels.tolist()
    assert by_neighbours[1].value == pytest.approx(-np.log(language.ngram(context).probability(rows)).mean())
    assert by_neighbours[1].value < loss.baseline - 1, "two neighbours say much"


@pytest.mark.parametrize("kind", exchanged_words.TASKS)
def test_exactly_one_span_is_masked_and_the_unrelated_picture_shows_nothing_of_the_caption(context, kind) -> None:
    context = context.with_data(LEVELS["rich"])
    scenes = context.scenes("matching", 120, objects=(2, 4))
    pairs = exchanged_words.draw_negatives(context, scenes, kind)
    spans = masked_words.mask_spans(context, scenes, kind) if kind in masked_words.KINDS else []
    assert len(pairs) > 5 and (len(spans) > 10 or kind not in masked_words.KINDS)
    for each in (*pairs, *spans):
        caption = scenes[each.scene].caption
        assert {t.name for t in caption.things}.isdisjoint(o.name for o in scenes[each.unrelated].objects)
    assert all(pair.caption == scenes[pair.scene].caption.text != pair.negative for pair in pairs)
    assert len({b.scene for b in spans}) == len(spans)
    for b in spans:
        caption = scenes[b.scene].caption
        ids, word = context.tokenizer.encode(caption.text, 1 << 30), caption.text[b.start : b.end]
        assert [i for i, (a, t) in enumerate(zip(b.masked, ids, strict=True)) if a != t] == b.positions
        assert {b.masked[p] for p in b.positions} == {context.tokenizer.mask_id}
        assert [ids[p] for p in b.positions] == b.tokens and context.tokenizer.decode(b.tokens) == word
        if kind == "noun":
            assert [word in (t.name, plural(t.name)) for t in caption.things].count(True) == 1


def test_a_caption_that_was_cut_has_no_masked_span_at_its_end(context: EvalContext) -> None:
    short = Oracle(context.model, context.config.replace({"data.caption_tokens": 6}), context.tokenizer)
    for b in masked_words.mask_spans(short, context.scenes("imlm", 100), "noun"):
        assert len(b.masked) <= 6 and b.positions[-1] < 5
    scenes = [WORLD.scene("test", i, concepts=(3,)) for i in range(3)]
    assert masked_words.unrelated_scene(scenes, 0) is None, "where all show the same, no picture is another"


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.integers(2, 48), st.sampled_from(["train", "test", "unseen_combinations"]))
def test_every_caption_of_distinct_pairs_is_true_of_one_picture_only(start: int, size: int, split) -> None:
    scenes = retrieval.distinct_pairs((WORLD.scene(split, start + i) for i in count()), size)
    truth = np.array([[is_true(t.caption, s.objects) for t in scenes] for s in scenes])
    assert (truth == np.eye(size, dtype=bool)).all()


def captioned(texts: str) -> list[CaptionedImage]:
    return [CaptionedImage(np.zeros((48, 48, 3), np.uint8), text) for text in texts]


def test_pairs_that_cannot_be_told_apart_are_left_out_or_an_error() -> None:
    with pytest.raises(RuntimeError, match="in 9 draws captions tell only 1 of 2 pictures apart"):
        retrieval.distinct_pairs([WORLD.scene("test", 0)] * 9, 2)
    pairs = captioned("abacb")  # without ground truth
    assert [[p.text for p in retrieval.distinct_pairs(pairs, n)] for n in (2, None)] == [["a", "b"], ["a", "b", "c"]]
    with pytest.raises(NothingToAsk, match="all 2 captions are equal"):
        retrieval.distinct_pairs(captioned("aa"))


def test_a_tie_is_no_hit() -> None:
    assert (retrieval.ranks(torch.zeros(8, 8)) == 7).all()
    scores = torch.randn(40, 40, generator=seeding.generator("scores")) + 2 * torch.eye(40)
    for k in (1, 5):
        assert (retrieval.ranks(scores) < k).mean() == top_k_accuracy_score(np.arange(40), scores.numpy(), k=k)


def test_the_best_of_either_side_alone_are_reranked(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "RERANKED", 3)
    again = torch.tensor([[-3.0, 4.0, 1.0, 99.0, torch.nan]])
    order = retrieval._rerank(torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5]]), again).argsort(1, descending=True)
    assert order.tolist() == [[1, 2, 0, 3, 4]]
    monkeypatch.setattr(retrieval, "RERANKED", 2)
    scores = torch.randn(6, 6, generator=seeding.generator("odds"))
    asked = ~retrieval.match_best(oracle(context), context.scenes("any", 6), scores).isnan()
    above = [[min((scores[i] > s).sum(), (scores[:, j] > s).sum()) for j, s in enumerate(scores[i])] for i in range(6)]
    assert (asked == (torch.tensor(above) < 2)).all()


def test_the_upper_bound_is_the_recall_of_a_guess_among_equal_captions(context: EvalContext, monkeypatch) -> None:
    monkeypatch.setattr(retrieval, "SIZE", 8)
    monkeypatch.setattr(retrieval, "RECALLS", (1, 2))
    pairs = captioned("aaabbcdefghi")  # 8 are distinct, the first 8 are not
    monkeypatch.setattr(EvalContext, "examples", lambda _, task, most: iter(pairs[:most]))
    results = [r for r in retrieval.score(oracle(context, Guesser)) if "random" in r.task]
    expected = {"R@1": (3 / 3 + 2 / 2 + 3) / 8, "R@2": (3 * 2 / 3 + 2 + 3) / 8}
    assert all(r.upper_bound == pytest.approx(expected[r.metric]) for r in results) and len(results) == 4


def test_who_knows_the_concepts_knows_them_in_every_style(few: None, context: EvalContext) -> None:
    results = drawing_styles.score(oracle(context))
    assert {r.value for r in results} == {1.0} and len(results) == 4 * len(STYLES)
    for name in STYLES:
        kind = "trained style" if name == "openmoji" else "held-out style"
        assert find_result(results, f"{kind}: naming", "accuracy", name).n == 100
        row = find_result(results, f"{kind}: grounding", "acc@0.5", name)
        assert row.n > 12 and row.baseline_name == "any object's box" and 0.25 < row.baseline < 0.6
    assert [r.baseline for r in results if r.metric == "R@1"] == [1 / 24] * 2 * len(STYLES)
