"""What the tasks get from the model is what the objectives compute in training, whatever the batch and the order."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from reference import batches

from xfm.base import seeding
from xfm.data import DATASETS, Dataset
from xfm.data.masking import mask_tokens
from xfm.data.source import Split
from xfm.data.streams import Streams, filled
from xfm.data.world.scenes import World
from xfm.flow import Flow
from xfm.model import ImageTokens
from xfm.model.batch import IGNORE, Texts, TokenBatch
from xfm.tasks import EvalContext, pairings
from xfm.tasks import context as module
from xfm.tasks.pairings import of_pairings
from xfm.tasks.world import language

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def flow(context: EvalContext, batch, *active: str) -> Flow:
    return Flow(context.model, batch, context.config.flow, active, ("key",))


@pytest.fixture
def streams(context: EvalContext) -> Streams:
    return Streams(context.config, context.tokenizer, "test")


def test_features_odds_and_guesses_are_the_training_forwards(context: EvalContext, streams: Streams) -> None:
    batch, scenes = streams.pairs(50), [s.pair(k) for s, k in streams.items("pairs", 50, context.config.data.pairs)]
    trained, texts, own = (
        flow(context, batch, "itc", "itm"),
        [s.caption.text for s in scenes],
        torch.arange(len(scenes)),
    )
    image, text = trained.features
    torch.testing.assert_close(context.image_features(scenes), image, **CLOSE)
    torch.testing.assert_close(context.text_features(texts), text, **CLOSE)
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


def test_boxes_are_the_training_forwards(context: EvalContext, streams: Streams) -> None:
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
    texts = [s.caption.text for s in scenes]
    picture, text = torch.randint(9, (2, 31), generator=seeding.generator("pairings"))
    whole = context.match_logits(scenes, texts, picture, text), context.boxes(scenes, texts, torch.arange(9))
    monkeypatch.setattr(module, "BATCH", 4)
    torch.testing.assert_close(context.match_logits(scenes, texts, picture, text), whole[0], **CLOSE)
    torch.testing.assert_close(context.boxes(scenes, texts, torch.arange(9)), whole[1], **CLOSE)


def test_questions_depend_on_the_seed_the_split_and_the_task_alone(context: EvalContext) -> None:
    def shown(split="test", seed=0, task="any"):
        some = EvalContext(context.model, context.config, context.tokenizer, split, seed)
        return [s.content for s in some.scenes(task, 5)]

    assert shown() == shown() == [s.content for s in context.scenes("any", 9)[:5]]
    assert len({str(s) for s in (shown(), shown("validation"), shown(seed=1), shown(task="other"))}) == 4


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_examples_are_of_the_split_of_the_context(split: Split, context: EvalContext, add_pictures: Callable) -> None:
    of_split = replace(context, split=split)
    drawn = list(of_split.examples("any", 5))
    assert [example.text for example in drawn] == [scene.text for scene in of_split.scenes("any", 5)]
    source, user = add_pictures(), of_split.with_data({"data.dataset": "pictures"})
    assert sorted(e.text for e in user.examples("any", 99)) == sorted(source.texts(split)), "each once, and no other's"
    assert sorted(e.text for e in user.examples("any", 99, split="train")) == sorted(source.texts("train"))


@pytest.mark.parametrize("first", [True, False])
def test_ones_own_data_are_asked_before_those_that_come_along(first, context, add_pictures, monkeypatch) -> None:
    sources = (add_pictures(), World())
    monkeypatch.setitem(DATASETS, "mixed", lambda config: Dataset(config, sources if first else sources[::-1]))
    mixed = context.with_data({"data.dataset": "mixed"})
    assert (mixed.source_with("pairs").name, mixed.source_with("boxes").name) == ("twenty", "openmoji")
    assert all(example.text.startswith("picture") for example in mixed.examples("retrieval", 5))


@pytest.mark.parametrize("of", ["pictures", "regions"])
@torch.no_grad()
def test_many_pairings_are_those_of_one_pass(of, monkeypatch) -> None:
    """In batches of texts of like length."""
    monkeypatch.setattr(pairings, "PAIRINGS", 16)
    model, inside = batches.model(batches.config()), torch.rand(5, 9) < 0.5
    grids, words, states = torch.randn(7, 9, 32).double(), batches.words(12, 8, 1), torch.randn(12, 8, 24).double()
    inside[:, 1] = True
    regions = of == "regions"
    image = ImageTokens.of_regions(grids, torch.arange(5), inside) if regions else ImageTokens.of_pictures(grids)
    text, item, number = torch.randint(12, (50,)), torch.randint(len(image.owner), (50,)), torch.arange(50, 100)
    text[:3], item[:3] = text[0], item[0]  # the same pairing more than once
    whole = model.fusion(states[text], words.mask[text], image, item)

    def head(hidden, chunk):
        assert len(hidden) <= 16
        return torch.cat([hidden[:, 0], number[chunk, None].double()], 1)

    found = of_pairings(model.fusion, states, words.mask, image, text, item, head)
    torch.testing.assert_close(found[:, :-1], whole[:, 0], rtol=1e-9, atol=1e-11)
    assert torch.equal(found[:, -1].long(), number), "in the order of the pairings"
