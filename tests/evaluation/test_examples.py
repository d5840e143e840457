"""Single answers are right by ground truth; a retrieval set has the ranks of its task."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torchvision.ops import box_iou

from xfm.config import ConfigError
from xfm.data.world.grammar import plural
from xfm.data.world.scenes import Scene
from xfm.objectives.bbp import corners
from xfm.tasks import EvalContext, examples, find_result
from xfm.tasks.retrieval_set import RetrievalSet, query_scorer, retrieval_set
from xfm.tasks.world import retrieval

SHOWN = 12


def scene_of(context: EvalContext, image: np.ndarray, task: str) -> Scene:
    (found,) = [s for s in context.scenes(task, 80) if np.array_equal(s.image, image)]
    return found


def test_a_caption_is_right_where_none_is_nearer(few, model, config, tokenizer, context) -> None:
    shown = examples(model, config, tokenizer, n=24).retrieval
    cosine = context.image_features(shown) @ context.text_features([r.caption for r in shown]).T
    for i, r in enumerate(shown):
        nearer = int((cosine[i] > cosine[i, i]).sum())
        assert r.rank == nearer and r.right == (nearer == 0)
    assert not all(r.right for r in shown)  # untrained


@pytest.mark.full
def test_a_box_is_right_where_it_covers_the_object_that_is_named(few, model, config, tokenizer, context, monkeypatch):
    def boxes(self, scenes, phrases, owner) -> torch.Tensor:
        true = torch.tensor([o.box for s in scenes for o in s.objects])
        true[:, 0] += 1.5 * true[:, 2] * (owner % 2)  # every other one is aside
        return true

    monkeypatch.setattr(EvalContext, "boxes", boxes)
    shown = examples(model, config, tokenizer, n=SHOWN).grounding
    assert [g.right for g in shown] == [i % 2 == 0 for i in range(SHOWN)]
    for g in shown:
        scene = scene_of(context, g.image, "grounding")
        named = scene.objects[[p.text for p in scene.phrases].index(g.phrase)]
        assert len(scene.objects) > 1 and g.true == pytest.approx(named.box)
        iou = box_iou(*(corners(torch.tensor([box])) for box in (g.predicted, named.box))).item()
        assert g.iou == pytest.approx(iou, abs=1e-5) and g.right == (iou >= 0.5)


@pytest.mark.full
def test_a_name_is_right_where_the_likeliest_word_stood_there(few, model, config, tokenizer, context, monkeypatch):
    asked = EvalContext.top_tokens

    def guesses(self, scenes, masked, places, picture, text):
        """The model's, but for every other text beside its own picture: there they begin with what stood there."""
        tokens, probabilities = asked(self, scenes, masked, places, picture, text)
        for row in range(0, len(masked), 2):
            whole = tokenizer.encode(scenes[int(picture[row])].caption.text, config.data.caption_tokens)
            tokens[row, 0, 0] = whole[places[row][0]]
        return tokens, probabilities

    monkeypatch.setattr(EvalContext, "top_tokens", guesses)
    shown = examples(model, config, tokenizer, n=SHOWN).words
    assert {w.right for w in shown} == {True, False}
    for w in shown:
        scene = scene_of(context, w.image, "imlm")
        assert w.caption.replace("____", w.word) == scene.caption.text
        assert w.right == (w.guesses[0][0].strip() == w.word)
        assert w.word in {word for thing in scene.caption.things for word in (thing.name, plural(thing.name))}


N = 24


@pytest.fixture(scope="module")
def small(model, config, tokenizer) -> RetrievalSet:
    torch.set_num_threads(1)
    return retrieval_set(model, config, tokenizer, N)


def test_it_has_the_arrays_and_recalls_of_the_retrieval_task(context, small, few) -> None:
    results = retrieval.score(context)
    for direction in retrieval.DIRECTIONS:
        for condition in ("ITC", "ITM re-ranked"):
            itm = [None if condition == "ITC" else small.row(small.odds, direction, i) for i in range(N)]
            ranks = [small.ranking(direction, i, scores).tolist().index(i) for i, scores in enumerate(itm)]
            for k in retrieval.RECALLS:
                wanted = find_result(results, direction, f"R@{k}", condition).value
                assert (np.array(ranks) < k).mean() == pytest.approx(wanted), (direction, condition, k)
    scenes = retrieval.distinct_pairs(context.examples("retrieval", 999), N)
    assert small.texts == tuple(s.caption.text for s in scenes)
    assert np.array_equal(small.images, [s.image for s in scenes])
    assert (small.truth == np.eye(N, dtype=bool)).all()
    assert np.allclose(small.image_features @ small.text_features.T, small.similarity, atol=1e-6)


def test_of_equals_the_true_one_comes_last_and_nan_behind_all(small: RetrievalSet) -> None:
    scores, odds = np.zeros((N, N)), np.full(N, 9.0)
    scores[0, 3], scores[0, 5:7] = np.nan, 1
    equal = replace(small, similarity=scores, reranked=3)
    assert equal.ranking("image to text", 0).tolist() == [5, 6, 1, 2, 4, *range(7, N), 0, 3]
    odds[5], odds[1] = np.nan, 10
    assert equal.ranking("image to text", 0, odds).tolist()[:4] == [1, 6, 5, 2]
    for name, wrong, said in (("images", np.zeros((3, 8, 8, 3), np.uint8), r"images = 'uint8 \(3, 8, 8, 3\)'"),
                              ("truth", np.ones((2, N), bool), r"truth.shape = \(2, 24\)")):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            replace(small, **{name: wrong})


def test_the_plane_is_sklearns_pca(small: RetrievalSet) -> None:
    features = np.concatenate([small.image_features, small.text_features]).astype(float)
    places, shares = small.plane()
    pca = PCA(2).fit(features)
    assert np.allclose(np.abs(places), np.abs(pca.transform(features)), atol=1e-6)
    assert shares == pytest.approx(pca.explained_variance_ratio_)
    apart, _ = small.plane(apart=True)
    assert np.allclose(apart[:N].mean(0), 0) and np.allclose(apart[N:].mean(0), 0)
    broken = np.where(np.arange(N)[:, None] == 2, np.nan, small.text_features)
    places, _ = replace(small, text_features=broken).plane()
    assert np.flatnonzero(np.isnan(places).any(1)).tolist() == [N + 2]


def test_a_query_of_ones_own_is_scored_as_one_of_the_sets_and_what_is_none_is_refused(model, config, tokenizer, small):
    mode, score = model.training, query_scorer(model, config, tokenizer, small)
    for direction, query in (("text to image", small.texts[3]), ("image to text", small.images[3])):
        itc, itm = score(query, direction)
        np.testing.assert_allclose(itc, small.row(small.similarity, direction, 3), atol=1e-5)
        known = np.isfinite(itm)
        assert known.sum() == min(small.reranked, N)
        np.testing.assert_allclose(itm[known], small.row(small.odds, direction, 3)[known], atol=1e-3)
    large = np.kron(small.images[3], np.ones((3, 3, 1), np.uint8))  # any size
    np.testing.assert_allclose(score(large, "image to text").itc, small.similarity[3], atol=0.05)
    for said, query, direction in (
        ("some words", " \n", "text to image"),
        ("UTF-8", "a\ud800", "text to image"),
        (r"tokens\)': must be of at most \d+ tokens", "cat " * 500, "text to image"),
        ("no picture that can be read", b"no picture", "image to text"),
        ("direction", "a cat", "sideways"),
    ):
        with pytest.raises(ConfigError, match=said):
            score(query, direction)
    assert model.training is mode
