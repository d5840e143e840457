"""MLM and IMLM are a loop over texts and their hidden tokens, without padding anywhere."""

import math
from types import SimpleNamespace

import pytest
import torch
from reference import batches, naive
from torch import Tensor

from xfm.model.batch import IGNORE, TokenBatch
from xfm.model.kernels import chosen
from xfm.objectives import base
from xfm.objectives.base import hidden_tokens, masked_language_loss


def hidden_places(words: TokenBatch, b: int) -> list[tuple[int, int]]:
    """(position, token) of what is hidden in a text."""
    return [(p, t) for p, t in zip(words.masked_at[b].tolist(), words.labels[b].tolist(), strict=True) if t != IGNORE]


def naive_head(head, hidden: Tensor, table: Tensor) -> Tensor:
    h = torch.nn.functional.gelu(head.dense.weight @ hidden + head.dense.bias)
    h = (h - h.mean()) / (h.var(unbiased=False) + 1e-5).sqrt() * head.norm.weight + head.norm.bias
    return table @ h + head.bias


def check(out, head, table: Tensor, states: list[Tensor], words: TokenBatch) -> None:
    losses, right = [], 0
    for b, state in enumerate(states):
        for place, token in hidden_places(words, b):
            logits = naive_head(head, state[place], table)
            losses.append(naive.cross_entropy(logits, token))
            right += int(logits.argmax() == token)
    torch.testing.assert_close(out.loss, sum(losses) / len(losses), rtol=1e-9, atol=1e-11)
    assert out.report["accuracy"].item() == pytest.approx(right / len(losses))


GRID = [(1, 5, 1), (2, 6, 4), (5, 12, 3)]  # texts, tokens, hidden


@pytest.mark.parametrize(("texts", "tokens", "hidden"), GRID)
@torch.no_grad()
def test_mlm_is_a_loop(texts, tokens, hidden):
    p = batches.pretraining()
    batch = batches.texts(p.config, texts, tokens, hidden)
    mlm, words = p.model.objectives["mlm"], batch.tokens
    out = mlm(p.flow({"texts": batch}, "texts", ("mlm",), (0, 0)))
    states = [naive.text(p.model, naive.unpadded(words, b, masked=True)) for b in range(texts)]
    check(out, mlm.head, p.model.text.word.weight, states, words)


@pytest.mark.parametrize(("texts", "tokens", "hidden"), GRID)
@pytest.mark.parametrize("stream", ["pairs", "2 of the pairs", "regions"])
@torch.no_grad()
def test_imlm_is_a_loop(texts, tokens, hidden, stream):
    p = batches.pretraining(data__fusion_batch=2 if "2" in stream else 0)
    stream, imlm = stream.split()[-1], p.model.objectives["imlm"]
    if stream == "pairs":
        batch = batches.pairs(p.config, texts, tokens, hidden)
        fused = batch.image[: p.config.data.fusion_batch or None]
        grids = [naive.tokens(naive.picture(p.model, image)) for image in fused]
    else:
        batch = batches.regions(p.config, texts, 2, tokens, hidden)
        pictures = [naive.picture(p.model, image) for image in batch.image]
        grids = [naive.tokens(pictures[o], s) for o, s in zip(batch.owner, batch.patches, strict=True)]
    out = imlm(p.flow({stream: batch}, stream, ("imlm",), (0, 0)))
    words = batch.tokens
    texts_seen = [naive.text(p.model, naive.unpadded(words, b, masked=True)) for b in range(len(grids))]
    states = [naive.fuse(p.model, t, g) for t, g in zip(texts_seen, grids, strict=True)]
    check(out, imlm.head, imlm.word.weight, states, words)


def test_hidden_tokens_reach_the_head_first_and_then_padding_up_to_a_round_number(monkeypatch):
    monkeypatch.setattr(base, "chosen", lambda mask: chosen(mask, 4))
    words = batches.words(4, 9, 5)
    hidden = torch.arange(4 * 9.0).view(4, 9, 1)  # each state is its own place
    states, labels = hidden_tokens(hidden, words)
    expected = [(9.0 * b + p, t) for b in range(4) for p, t in hidden_places(words, b)]
    assert list(zip(states[:, 0].tolist(), labels.tolist(), strict=True))[: len(expected)] == expected
    assert len(labels) == -(-len(expected) // 4) * 4 < words.labels.numel()
    assert set(labels[len(expected) :].tolist()) <= {IGNORE}
    first, few = hidden_tokens(hidden[:2], words)
    kept = int((few != IGNORE).sum())
    assert torch.equal(first[:kept], states[:kept]) and torch.equal(few[:kept], labels[:kept])


def test_narrow_logits_are_widened_before_the_softmax_and_nothing_hidden_is_a_loss_of_zero():
    logits = torch.full((2, 40000), -8.0, dtype=torch.bfloat16)
    out = masked_language_loss(logits, torch.tensor([0, 1]))
    assert out.loss.dtype == torch.float32 and out.loss.item() == pytest.approx(math.log(40000), rel=1e-5)
    out = masked_language_loss(torch.zeros(0, 7, requires_grad=True), torch.zeros(0).long())
    out.loss.backward()
    assert out.loss.item() == 0 == out.report["accuracy"].item()


def test_each_decoder_is_tied_to_its_own_table():
    p = batches.pretraining()
    tables = SimpleNamespace(text=p.model.text.word.weight, fusion=p.model.objectives["imlm"].word.weight)
    batch = batches.batch(p.config)
    for stream, objective, own, other in (("texts", "mlm", "text", "fusion"), ("pairs", "imlm", "fusion", "text")):
        loss = p.model.objectives[objective](p.flow(batch, stream, (objective,), (0, 0))).loss
        grads = torch.autograd.grad(loss, [getattr(tables, own), getattr(tables, other)], allow_unused=True)
        assert grads[0].any(1).all() and grads[1] is None  # every word is in the softmax
