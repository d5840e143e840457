"""What the tasks get from the model is what the objectives compute in training, whatever the batch."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torchvision.ops import box_iou

from xfm import recipes
from xfm.base import seeding
from xfm.config import ConfigError
from xfm.data import DATASETS, Dataset
from xfm.data.masking import mask_tokens
from xfm.data.source import Split
from xfm.data.streams import Streams, filled
from xfm.data.world.grammar import plural
from xfm.data.world.scenes import Scene, World
from xfm.flow import Flow
from xfm.model.batch import IGNORE, Texts, TokenBatch
from xfm.objectives import build
from xfm.objectives.bbp import corners
from xfm.tasks import EvalContext, examples, find_result, pairings
from xfm.tasks import context as context_module
from xfm.tasks.retrieval_set import RetrievalSet, query_scorer, retrieval_set
from xfm.tasks.world import language, retrieval

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def flow(context: EvalContext, batch, *active: str) -> Flow:
    return Flow(context.model, batch, context.config.flow, active, ("key",))


@pytest.fixture
def streams(context: EvalContext) -> Streams:
    return Streams(context.config, context.tokenizer, "test")


def test_features_odds_guesses_and_boxes_are_the_training_forwards(context: EvalContext, streams: Streams) -> None:
    batch, scenes = streams.pairs(50), [s.pair(k) for s, k in streams.items("pairs", 50, context.config.data.pairs)]
    trained, texts = flow(context, batch, "itc", "itm"), [s.caption.text for s in scenes]
    found, own = (context.image_features(scenes), context.text_features(texts)), torch.arange(len(scenes))
    torch.testing.assert_close(found, tuple(trained.features), **CLOSE)
    itm, words = context.model.objectives["itm"], batch.tokens
    logits, (other_image, other_text) = itm.head(trained.fused["itm"][:, 0]), itm.negatives(trained)
    odds = context.match_logits(scenes, texts, torch.cat([own, other_image, own]), torch.cat([own, own, other_text]))
    torch.testing.assert_close(odds, logits[:, 1] - logits[:, 0], **CLOSE)
    lengths, counts = words.mask.sum(1).tolist(), (words.labels >= 0).sum(1).tolist()
    masked = [row[:k].tolist() for row, k in zip(words.masked_ids, lengths, strict=True)]
    places = [row[:k].tolist() for row, k in zip(words.masked_at, counts, strict=True)]
    likely = context.model.objectives["imlm"].logits(flow(context, batch, "imlm").fused["imlm"]).softmax(-1)
    tokens, probabilities = context.top_tokens(scenes, masked, places, own, own)
    for i, some in enumerate(places):
        best = likely[i, some].topk(3)
        torch.testing.assert_close(probabilities[i, : len(some)], best.values, **CLOSE)
        assert (tokens[i, : len(some)] == best.indices).float().mean() > 0.9  # near ties aside
    scenes = [s.regions(key) for s, key in streams.items("regions", 50, context.config.data.region_images)]
    batch = streams.regions(50)
    kept = [i for i, whole in enumerate(batch.is_image.tolist()) if not whole]
    phrases = [context.tokenizer.decode(batch.tokens.ids[i].tolist()) for i in kept]
    trained = context.model.objectives["bbp"].boxes(flow(context, batch, "bbp").fused["bbp"])
    torch.testing.assert_close(context.boxes(scenes, phrases, batch.owner[kept]), trained[kept], **CLOSE)


def test_held_out_loss_is_the_objectives(context: EvalContext) -> None:
    texts = [s.text for s in context.source.sentences("test")[:20]]
    ids = sorted((context.tokenizer.encode(t, 32) for t in texts), key=len)
    right, loss, labels, sentence = language._predict(context, language._masked(context, ids))
    rule = context.config.data.mask
    how = rule.text_share, rule.text_most, rule.span_share, context.rng("language", "masks")
    masked, places, true = zip(*(mask_tokens(t, context.tokenizer.vocabulary, *how) for t in ids), strict=True)
    padded, mask = context.tokenizer.pad(ids)
    words = TokenBatch(padded, mask, context.tokenizer.pad(masked)[0], filled(places, 0), filled(true, IGNORE))
    out = context.model.objectives["mlm"](flow(context, Texts(words), "mlm"))
    assert labels.tolist() == [t for row in true for t in row]
    assert sentence.tolist() == [i for i, row in enumerate(true) for _ in row]
    torch.testing.assert_close(loss.mean(), out.loss, **CLOSE)
    torch.testing.assert_close(right.float().mean(), out.report["accuracy"].float(), **CLOSE)


def test_answers_do_not_depend_on_the_batch(context: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = context.scenes("any", 9)
    texts, pairs = [s.caption.text for s in scenes], torch.randint(9, (2, 31), generator=seeding.generator("pairings"))
    whole = context.match_logits(scenes, texts, *pairs), context.boxes(scenes, texts, torch.arange(9))
    monkeypatch.setattr(context_module, "BATCH", 4)
    monkeypatch.setattr(pairings, "PAIRINGS", 7)
    again = context.match_logits(scenes, texts, *pairs), context.boxes(scenes, texts, torch.arange(9))
    torch.testing.assert_close(again, whole, **CLOSE)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_examples_are_of_the_split_of_the_context(split: Split, context: EvalContext, add_pictures: Callable) -> None:
    of_split = replace(context, split=split)
    drawn = list(of_split.examples("any", 5))
    assert [example.text for example in drawn] == [scene.text for scene in of_split.scenes("any", 5)]
    source, user = add_pictures(), of_split.with_data({"data.dataset": "pictures"})
    assert sorted(e.text for e in user.examples("any", 99)) == sorted(source.texts(split)), "each once, and no other's"
    assert sorted(e.text for e in user.examples("any", 99, split="train")) == sorted(source.texts("train"))


def test_ones_own_data_are_asked_before_those_that_come_along(context, add_pictures, monkeypatch) -> None:
    for order in (1, -1):
        sources = (add_pictures(), World())[::order]
        monkeypatch.setitem(DATASETS, "mixed", lambda config, sources=sources: Dataset(config, sources))
        mixed = context.with_data({"data.dataset": "mixed"})
        assert (mixed.source_with("pairs").name, mixed.source_with("boxes").name) == ("twenty", "openmoji")


def scene_of(context: EvalContext, image: np.ndarray, task: str) -> Scene:
    (found,) = [s for s in context.scenes(task, 80) if np.array_equal(s.image, image)]
    return found


N = 24


@pytest.fixture(scope="module")
def small(model, config, tokenizer) -> RetrievalSet:
    return retrieval_set(model, config, tokenizer, N)


def test_a_set_has_the_arrays_and_recalls_of_the_task_and_examples_its_ranks(
    few, model, config, tokenizer, context, small
):
    results = retrieval.score(context)
    for direction in retrieval.DIRECTIONS:
        for condition in ("ITC", "ITM re-ranked"):
            itm = [None if condition == "ITC" else small.row(small.odds, direction, i) for i in range(N)]
            ranks = [small.ranking(direction, i, scores).tolist().index(i) for i, scores in enumerate(itm)]
            for k in retrieval.RECALLS:
                wanted = find_result(results, direction, f"R@{k}", condition).value
                assert (np.array(ranks) < k).mean() == pytest.approx(wanted), (direction, condition, k)
    scenes = retrieval.distinct_pairs(context.examples("retrieval", 999), N)
    assert small.texts == tuple(s.caption.text for s in scenes) and (small.truth == np.eye(N, dtype=bool)).all()
    assert np.array_equal(small.images, [s.image for s in scenes])
    assert np.allclose(small.image_features @ small.text_features.T, small.similarity, atol=1e-6)
    shown = examples(model, config, tokenizer, n=N).retrieval
    nearer = (small.similarity > small.similarity.diagonal()[:, None]).sum(1).tolist()
    expected = [(text, n, n == 0) for text, n in zip(small.texts, nearer, strict=True)]
    assert [(r.caption, r.rank, r.right) for r in shown] == expected


def test_a_model_without_itm_has_a_set_that_is_ranked_by_itc_alone(config, tokenizer) -> None:
    dual = recipes.with_changes(config, ["clip_like"])
    pairs = retrieval_set(build(dual), dual, tokenizer, 8)
    assert pairs.odds is None and sorted(pairs.ranking("image to text", 0)) == [*range(8)]


@pytest.mark.full
def test_boxes_and_names_are_right_by_ground_truth(few, model, config, tokenizer, context, monkeypatch) -> None:
    asked = EvalContext.top_tokens

    def boxes(self, scenes, phrases, owner) -> torch.Tensor:
        true = torch.tensor([o.box for s in scenes for o in s.objects])
        true[:, 0] += 1.5 * true[:, 2] * (owner % 2)  # every other one is aside
        return true

    def guesses(self, scenes, masked, places, picture, text):
        """The model's, but for every other text beside its own picture: there they begin with what stood there."""
        tokens, probabilities = asked(self, scenes, masked, places, picture, text)
        for row in range(0, len(masked), 2):
            whole = tokenizer.encode(scenes[int(picture[row])].caption.text, config.data.caption_tokens)
            tokens[row, 0, 0] = whole[places[row][0]]
        return tokens, probabilities

    monkeypatch.setattr(EvalContext, "boxes", boxes)
    monkeypatch.setattr(EvalContext, "top_tokens", guesses)
    shown = examples(model, config, tokenizer, n=12)
    assert [g.right for g in shown.grounding] == [True, False] * 6 and {w.right for w in shown.words} == {True, False}
    for g in shown.grounding:
        scene = scene_of(context, g.image, "grounding")
        named = scene.objects[[p.text for p in scene.phrases].index(g.phrase)]
        assert len(scene.objects) > 1 and g.true == pytest.approx(named.box)
        iou = box_iou(*(corners(torch.tensor([box])) for box in (g.predicted, named.box))).item()
        assert g.iou == pytest.approx(iou, abs=1e-5) and g.right == (iou >= 0.5)
    for w in shown.words:
        scene = scene_of(context, w.image, "imlm")
        assert w.caption.replace("____", w.word) == scene.caption.text
        assert w.right == (w.guesses[0][0].strip() == w.word)
        assert w.word in {word for thing in scene.caption.things for word in (thing.name, plural(thing.name))}


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
    (places, shares), pca = small.plane(), PCA(2).fit(features)
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
