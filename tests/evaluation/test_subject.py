"""What the tasks are told is what the objectives compute in training, whatever the batch and the order."""

import pytest
import torch
import torch.nn.functional as F

from xfm import seeding
from xfm.batch import IGNORE, Pairs, Texts, TokenBatch
from xfm.data.streams import Streams, filled
from xfm.evaluation import EvalContext, inference_mode
from xfm.evaluation import context as module
from xfm.evaluation.tasks import language
from xfm.flow import Flow
from xfm.masking import mask_tokens
from xfm.model import XFM

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def flow(subject: EvalContext, batch, *active: str) -> Flow:
    return Flow(subject.model, batch, subject.config.flow, active, ("key",))


@pytest.fixture
def streams(subject: EvalContext) -> Streams:
    return Streams(subject.config, subject.tokenizer, "test")


def test_features_and_odds_are_the_training_forwards(subject: EvalContext, streams: Streams) -> None:
    batch, scenes = streams.pairs(50), streams.scenes(50, "pairs", subject.config.data.pairs)
    texts = [s.caption.text for s in scenes]
    trained = flow(subject, batch, "itc", "itm")
    image, text = trained.features
    torch.testing.assert_close(subject.image_features(scenes), image, **CLOSE)
    torch.testing.assert_close(subject.text_features(texts), text, **CLOSE)
    itm = subject.model.objectives["itm"]
    logits, n = itm.head(trained.fused["itm"][:, 0]), len(texts)
    own = torch.arange(n)
    other_image, other_text = itm.negatives(trained)
    odds = subject.matches(scenes, texts, torch.cat([own, other_image, own]), torch.cat([own, own, other_text]))
    torch.testing.assert_close(odds, logits[:, 1] - logits[:, 0], **CLOSE)


def test_boxes_are_the_training_forwards(subject: EvalContext, streams: Streams) -> None:
    scenes = streams.scenes(50, "regions", subject.config.data.region_images)
    batch = streams.regions(50)
    kept = [i for i, whole in enumerate(batch.is_image.tolist()) if not whole]
    phrases = [subject.tokenizer.decode(batch.tokens.ids[i].tolist()) for i in kept]
    trained = subject.model.objectives["bbp"].boxes(flow(subject, batch, "bbp").fused["bbp"])
    torch.testing.assert_close(subject.boxes(scenes, phrases, batch.owner[kept]), trained[kept], **CLOSE)


def test_guesses_are_the_training_forwards(subject: EvalContext, streams: Streams) -> None:
    batch, scenes = streams.pairs(50), streams.scenes(50, "pairs", subject.config.data.pairs)
    assert isinstance(batch, Pairs)
    words, n = batch.tokens, len(scenes)
    lengths, counts = words.mask.sum(1).tolist(), (words.labels >= 0).sum(1).tolist()
    masked = [row[:k].tolist() for row, k in zip(words.masked_ids, lengths, strict=True)]
    places = [row[:k].tolist() for row, k in zip(words.masked_at, counts, strict=True)]
    trained = subject.model.objectives["imlm"].logits(flow(subject, batch, "imlm").fused["imlm"]).softmax(-1)
    tokens, probabilities = subject.guesses(scenes, masked, places, torch.arange(n), torch.arange(n))
    for i, some in enumerate(places):
        best = trained[i, some].topk(3)
        torch.testing.assert_close(probabilities[i, : len(some)], best.values, **CLOSE)
        assert (tokens[i, : len(some)] == best.indices).float().mean() > 0.9  # near ties aside


def test_held_out_loss_is_the_objectives(subject: EvalContext) -> None:
    texts = [s.text for s in subject.source.sentences("test")[:20]]
    ids = sorted((subject.tokenizer.encode(t, 32) for t in texts), key=len)
    right, loss, labels, sentence = language.predictions(subject, ids)
    rule, rng = subject.config.data.mask, subject.rng("language", "masks")
    how = subject.tokenizer.vocabulary, rule.text_share, rule.text_most, rule.span_share, rng
    masked, places, true = zip(*(mask_tokens(t, *how) for t in ids), strict=True)
    padded, mask = subject.tokenizer.pad(ids)
    words = TokenBatch(padded, mask, subject.tokenizer.pad(masked)[0], filled(places, 0), filled(true, IGNORE))
    out = subject.model.objectives["mlm"](flow(subject, Texts(words), "mlm"))
    assert labels.tolist() == [t for row in true for t in row]
    assert sentence.tolist() == [i for i, row in enumerate(true) for _ in row]
    torch.testing.assert_close(loss.mean(), out.loss, **CLOSE)
    torch.testing.assert_close(right.float().mean(), out.report["accuracy"].float(), **CLOSE)


def test_answers_do_not_depend_on_the_batch(subject: EvalContext, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = subject.scenes("any", 9)
    texts = [s.caption.text for s in scenes]
    picture, text = torch.randint(9, (2, 31), generator=seeding.generator("pairings"))
    whole = subject.matches(scenes, texts, picture, text), subject.boxes(scenes, texts, torch.arange(9))
    monkeypatch.setattr(module, "BATCH", 4)
    torch.testing.assert_close(subject.matches(scenes, texts, picture, text), whole[0], **CLOSE)
    torch.testing.assert_close(subject.boxes(scenes, texts, torch.arange(9)), whole[1], **CLOSE)
    for i in (0, 17):
        alone = subject.matches([scenes[picture[i]]], [texts[text[i]]], torch.tensor([0]), torch.tensor([0]))
        torch.testing.assert_close(alone[0], whole[0][i], **CLOSE)


def test_features_have_unit_length(subject: EvalContext) -> None:
    features = subject.image_features(subject.scenes("any", 3))
    torch.testing.assert_close(features, F.normalize(features, dim=1))


def test_questions_depend_on_the_seed_the_split_and_the_task_alone(subject: EvalContext) -> None:
    def shown(split="test", seed=0, task="any"):
        some = EvalContext(subject.model, subject.config, subject.tokenizer, split, seed)
        return [s.content for s in some.scenes(task, 5)]

    assert shown() == shown() == [s.content for s in subject.scenes("any", 9)[:5]]
    assert len({str(s) for s in (shown(), shown("validation"), shown(seed=1), shown(task="other"))}) == 4


def test_examining_restores_every_modules_mode(model: XFM) -> None:
    model.train()
    model.vision.eval()
    with pytest.raises(KeyError), inference_mode(model):
        assert not any(m.training for m in model.modules()) and torch.is_inference_mode_enabled()
        raise KeyError
    assert model.training and model.fusion.training and not model.vision.training and not model.vision.norm.training
    model.eval()
