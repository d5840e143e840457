"""Tasks of a frozen model: who knows everything is right, who guesses is at chance, controls are what they say, no
picture is both learnt and asked, and who looks everywhere alike is at the baseline."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
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
from torch import Tensor
from torchvision.ops import box_iou

from xfm.base import seeding
from xfm.data.source import CaptionedImage, Region
from xfm.data.world import openmoji
from xfm.data.world.grammar import is_true, plural, templates
from xfm.data.world.styles import STYLES
from xfm.explain import make_inputs
from xfm.explain.faithfulness import pointing_game
from xfm.explain.tracing import capture_attention
from xfm.model import XFM
from xfm.objectives import build
from xfm.objectives.bbp import corners
from xfm.recipes import LEVELS
from xfm.tasks import MEASURED, EvalContext, find_result
from xfm.tasks.world import alignment, drawing_styles, grounding, language, masked_words, object_naming, retrieval
from xfm.tasks.world import concept_recognition as recognition
from xfm.tasks.world import exchanged_words as exchanged

WAYS = tuple(retrieval.DIRECTIONS)
PARTS = ("several objects", "by size and number", "harder pictures")
SIZED = dict.fromkeys(("big object", "small object", "hard", "alone", "one of 4"), 1.0)
SURE: dict[str, tuple[set[str], dict[str, float]]] = {  # a task's rows, and by condition what who knows has
    "retrieval": ({*WAYS, *(f"{way} (random gallery)" for way in WAYS)}, {"ITM re-ranked": 1, "ITC + ITM": 1}),
    "matching": ({*exchanged.TASKS.values()}, {"ITM": 1, "ITC": 1, "ITM, another picture": 0.5}),
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
    for r in exchanged.score(guesser):  # a dozen: one in twenty intervals misses
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
    _, _, labels, sentence = language._predict(context, masked := language._masked(context, ids))
    assert accuracy.baseline == pytest.approx((labels.numpy() == counts.argmax()).mean())
    assert loss.baseline == pytest.approx(-np.log(counts / counts.sum())[labels].mean())
    assert accuracy.n == loss.n == len(labels) and len(set(sentence.tolist())) == len({*map(tuple, ids)}) == 40
    assert abs(loss.value - np.log(context.tokenizer.vocabulary)) < 1  # untrained: about uniform
    rows = language.beside(masked)
    assert rows[:, 2].tolist() == labels.tolist()
    assert by_neighbours[1].value == pytest.approx(-np.log(language.ngram(context).probability(rows)).mean())
    assert by_neighbours[1].value < loss.baseline - 1, "two neighbours say much"


@pytest.mark.parametrize("kind", exchanged.TASKS)
def test_exactly_one_span_is_masked_and_the_unrelated_picture_shows_nothing_of_the_caption(context, kind) -> None:
    context = context.with_data(LEVELS["rich"])
    scenes = context.scenes("matching", 120, objects=(2, 4))
    pairs = exchanged.draw_negatives(context, scenes, kind)
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


KINDS = ("concept", "subcategory", "category")


@dataclass(frozen=True)
class Sees(EvalContext):
    """Sees in every patch what is there, as codes of the category, the subcategory and the concept; with other weights
    than `knowing` it is an ordinary context."""

    knowing: XFM | None = None

    def patch_states(self, scenes) -> Tensor:
        if self.model is not self.knowing:
            return super().patch_states(scenes)
        seen = torch.zeros(len(scenes), 36, len(code(0)))
        for row, scene in zip(seen, scenes, strict=True):
            masks = [(code(o.concept), torch.from_numpy(o.mask.reshape(6, 8, 6, 8))) for o in scene.objects]
            for said, patches in (*((s, m.any(3).any(1)) for s, m in masks), *((s, m[:, 4, :, 4]) for s, m in masks)):
                row[patches.ravel()] = said  # the centre decides
        return seen


@lru_cache
def code(place: int) -> Tensor:
    concept, subcategories = openmoji.concepts()[place], sorted({c.subcategory for c in openmoji.concepts()})
    which = place if place < 100 else place - 703  # the last 50 are unseen
    category, subcategory = openmoji.CATEGORIES.index(concept.category), subcategories.index(concept.subcategory)
    return torch.cat([torch.eye(n)[i] for n, i in ((5, category), (len(subcategories), subcategory), (150, which))])


@pytest.mark.full
def test_who_sees_is_always_right(few, context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "SCENES_TRAIN", 6)
    monkeypatch.setattr(recognition, "SCENES_PATCHES", 300)
    results = recognition.score(oracle(context, Sees, knowing=context.model))
    ours = [r for r in results if r.condition.startswith(("pooled", "tokens"))]
    assert len(ours) == 2 * (3 + 3 + 1) + 1
    for r in ours:
        certain = r.task in (*KINDS, "concept (unseen concepts)", "concept of a patch")
        assert r.value == 1 if certain else r.value > 0.9, r  # the mean over patches says little of small objects
        inferred = "unseen" in r.task and not certain  # what a new thing is follows from the old ones
        assert r.upper_bound == (None if inferred else 1) and r.baseline is not None and r.baseline < 0.6
    rows = {(r.task, r.condition): r for r in results}
    for r in (r for r in ours if r.condition.startswith("pooled")):
        others = {who: rows[r.task, r.condition.replace("pooled", who)] for who in ("raw pixels", "random weights")}
        assert r.baseline == max(other.value for other in others.values()) == others[r.baseline_name].value


def test_no_content_is_learnt_and_asked(context: EvalContext) -> None:
    for split in ("train", "test", "unseen_concepts"):
        own = replace(context, split=split)
        trained = recognition._single_objects(own, 6, split=None if split == "unseen_concepts" else "train")
        asked = recognition._single_objects(own, 4, trained)
        assert len({s.content for s in (*trained, *asked)}) == len(trained) + len(asked)
        shown = Counter(s.objects[0].concept for s in asked)
        assert shown == dict.fromkeys(context.world.pool(split), 4) and {len(s.objects) for s in trained} == {1}
    own = replace(context, split="train")
    trained = recognition._several_objects(own, 50, split="train")
    assert len({s.content for s in (*trained, *recognition._several_objects(own, 50, trained))}) == 100
    assert {len(s.objects) for s in trained} == {2, 3, 4}


def test_phrases_of_one_box_are_of_one_object_and_one_phrase_of_several_has_no_known_bound(context, add_pictures):
    """As RefCOCO's three sentences an object: of a picture with one object nothing can be swapped."""
    one, two, far = (0.2, 0.2, 0.2, 0.2), (0.7, 0.7, 0.2, 0.2), (0.2, 0.7, 0.2, 0.2)
    owner = torch.tensor([0, 0, 0, 2, 2, 2, 2])
    true = torch.tensor([one, one, one, one, two, two, far])
    thing, number = grounding.objects(owner, true)
    assert number.tolist() == [1, 1, 1, 3, 3, 3, 3] and thing.unique().numel() == 4
    assert grounding.swap(owner, thing).tolist() == [0, 1, 2, 4, 6, 6, 3]
    assert grounding.any_object_box(owner, true).tolist() == pytest.approx([1, 1, 1, *[1 / 3] * 4])
    for again, bound in (("thing", None), ("another thing", 1.0)):
        add_pictures([[Region("thing", one), Region(again, two)]] * 20)
        results = grounding.score(context.with_data({"data.dataset": "pictures"}))
        assert {r.upper_bound for r in results} == {bound}
        assert find_result(results, "grounding (several objects)", "acc@0.5").n == results[0].n > 0


def test_a_box_is_right_from_half_an_overlap() -> None:
    assert grounding.is_correct(torch.tensor([0, 0.01, 0.49, 0.5, 1])).tolist() == [0, 0, 0, 1, 1]
    boxes = torch.tensor([[0.3, 0.3, 0.3, 0.3]] * 3 + [[0.7, 0.7, 0.4, 0.4]] * 2)
    best = grounding._best_constant(boxes, grid_alone=True)  # the best of the grid
    assert grounding.is_correct(grounding.box_iou(best.expand(5, 4), boxes)).tolist() == [1, 1, 1, 0, 0]
    a, b = torch.rand(2, 20, 4, generator=seeding.generator("boxes")) * 0.5 + 0.1
    assert torch.allclose(grounding.box_iou(a[:, None], b), box_iou(corners(a), corners(b)), atol=1e-6)


class Looks(Oracle):
    """At the true box alone; its words look everywhere alike."""

    def cross_attention(self, scenes, phrases, owner) -> Tensor:
        covered = alignment.coverage(grounding.questions(scenes)[2], self.config.model.vision.grid)
        first = covered.where(covered == covered.amax(1, keepdim=True), 0.0)
        alike = torch.full_like(covered, 1 / (1 + covered.shape[1]))
        both = torch.stack([first / first.sum(1, keepdim=True), alike], 1)
        return torch.cat([1 - both.sum(-1, keepdim=True), both], -1)


def test_who_looks_at_the_object_is_aligned_and_who_looks_everywhere_is_at_the_baseline(few, context) -> None:
    results, several = alignment.score(oracle(context, Looks)), "alignment (several objects)"
    for task in ("alignment", several):
        for metric in ("mass on the box", "pointing game"):
            first, words = (find_result(results, task, metric, query) for query in alignment.QUERIES)
            assert first.value > 0.9 and words.value == pytest.approx(words.baseline, abs=1e-6)
            assert first.baseline == words.baseline < 0.2 and first.better == "higher"
    other = find_result(results, several, "pointing game", "<s>, another object's box")
    assert other.better == "" and other.value < 0.02  # boxes do not overlap, but share patches


def test_a_patch_counts_by_the_pixels_of_it_that_are_in_the_box() -> None:
    rng, side, grid = seeding.rng("coverage"), 48, 6
    for _ in range(50):
        (x1, x2), (y1, y2) = (sorted(rng.choice(side + 1, 2, replace=False)) for _ in "xy")
        truth = np.zeros((side, side), bool)
        truth[y1:y2, x1:x2] = True
        box = torch.tensor([[(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]]) / side
        expected = truth.reshape(grid, 8, grid, 8).mean((1, 3)).ravel()
        covered = alignment.coverage(box.float(), grid)
        np.testing.assert_allclose(covered[0].numpy(), expected, atol=1e-5)
        values = rng.integers(4, size=grid**2)  # with ties
        of_pixels = pointing_game(np.kron(values.reshape(grid, grid), np.ones((8, 8), int)), truth)
        assert alignment.pointed(torch.tensor(values[None]), covered).item() == pytest.approx(of_pixels, abs=1e-5)


@pytest.mark.parametrize("function", ["scaled_dot", "dot", "general", "additive", "cosine"])
def test_the_models_attention_is_what_a_capture_sees_and_leaves_the_model_alone(config, tokenizer, function) -> None:
    model = build(config.replace({"model.cross_attention": function})).eval()
    context = EvalContext(model, config, tokenizer)
    scenes = context.scenes("grounding", 6)
    phrases, owner, _ = grounding.questions(scenes)
    with torch.inference_mode():
        weights = context.cross_attention(scenes, phrases, owner)
    assert all(layer.cross.tap is None for layer in model.fusion.layers)
    for r, phrase in enumerate(phrases):
        maps, _ = capture_attention(make_inputs(model, tokenizer, scenes[owner[r]].image, phrase), gradients=False)
        expected = maps["cross"].weights.mean((0, 1))
        both = torch.stack([expected[0], expected[1:-1].mean(0)])
        torch.testing.assert_close(weights[r], both, rtol=1e-4, atol=1e-6)
