"""MLM and IMLM are loops over hidden tokens; what a constant prediction reaches."""

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from reference import batches, naive
from torch import Tensor

from xfm.model.batch import IGNORE, MimTarget, Texts, TokenBatch
from xfm.objectives import OBJECTIVES
from xfm.objectives.base import masked_language_loss
from xfm.objectives.bbp import constant_box, overlap
from xfm.objectives.mim import constant_loss


def hidden_places(words: TokenBatch, b: int) -> list[tuple[int, int]]:
    return [(p, t) for p, t in zip(words.masked_at[b].tolist(), words.labels[b].tolist(), strict=True) if t != IGNORE]


def check(out, head, table: Tensor, states: list[Tensor], words: TokenBatch) -> None:
    losses, right = [], 0
    for b, state in enumerate(states):
        for place, token in hidden_places(words, b):
            h = torch.nn.functional.gelu(head.dense.weight @ state[place] + head.dense.bias)
            h = (h - h.mean()) / (h.var(unbiased=False) + 1e-5).sqrt() * head.norm.weight + head.norm.bias
            logits = table @ h + head.bias
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
    batch = getattr(batches, stream)(p.config, texts, tokens=tokens, hidden=hidden)
    pictures = [naive.picture(p.model, image) for image in batch.image]
    if stream == "pairs":
        grids = [naive.tokens(picture) for picture in pictures[: p.config.data.fusion_batch or None]]
    else:
        grids = [naive.tokens(pictures[o], s) for o, s in zip(batch.owner, batch.patches, strict=True)]
    out = imlm(p.flow({stream: batch}, stream, ("imlm",), (0, 0)))
    words = [naive.text(p.model, naive.unpadded(batch.tokens, b, masked=True)) for b in range(len(grids))]
    states = [naive.fuse(p.model, t, g) for t, g in zip(words, grids, strict=True)]
    check(out, imlm.head, imlm.word.weight, states, batch.tokens)


def test_narrow_logits_are_widened_and_each_decoder_is_tied_to_its_own_table():
    logits = torch.full((2, 40000), -8.0, dtype=torch.bfloat16)
    out = masked_language_loss(logits, torch.tensor([0, 1]))
    assert out.loss.dtype == torch.float32 and out.loss.item() == pytest.approx(math.log(40000), rel=1e-5)
    out = masked_language_loss(torch.zeros(0, 7, requires_grad=True), torch.zeros(0).long())
    out.loss.backward()
    assert out.loss.item() == 0 == out.report["accuracy"].item()
    p = batches.pretraining()
    tables, batch = (p.model.text.word.weight, p.model.objectives["imlm"].word.weight), batches.batch(p.config)
    for stream, objective, own in (("texts", "mlm", tables), ("pairs", "imlm", tables[::-1])):
        loss = p.model.objectives[objective](p.flow(batch, stream, (objective,), (0, 0))).loss
        grads = torch.autograd.grad(loss, own, allow_unused=True)
        assert grads[0].any(1).all() and grads[1] is None  # every word is in the softmax


def hide_all(texts: list[list[int]], most: int = 99) -> Texts:
    longest = max(map(len, texts)) + 2
    ids = torch.tensor([[0, *text, 2, *[1] * (longest - 2 - len(text))] for text in texts])
    labels = torch.tensor([[*text[:most], *[IGNORE] * (longest - len(text[:most]))] for text in texts])
    return Texts(SimpleNamespace(ids=ids, mask=ids != 1, labels=labels))  # type: ignore[arg-type]


def test_constants_are_of_all_that_might_be_hidden():
    texts = [[5, 6, 3, 7], [6, 6, 8, 9]]  # 3 is <unk>, which is never hidden
    counts = Counter({5: 2 / 3, 6: 2 / 3 + 1, 7: 2 / 3, 8: 0.5, 9: 0.5})
    naive = -sum(n / 4 * math.log(n / 4) for n in counts.values())
    for name in ("mlm", "imlm"):
        found = OBJECTIVES[name].constant([hide_all(texts[:1], 2), hide_all(texts[1:], 2)])
        assert found == (pytest.approx(naive), "unigram")
    assert OBJECTIVES["mlm"].constant([hide_all([[3], [3, 3]], most=0)]) is None
    patches, hidden = torch.randn(6, 9, 5) + 3, torch.rand(6, 9) < 0.4
    whole = constant_loss(MimTarget(patches, patches.mean(1)), hidden)
    naive = patches[hidden].var(0, correction=0).mean() + patches.mean(1).var(0, correction=0).mean()
    assert whole.item() == pytest.approx(naive.item(), rel=1e-5)


def test_no_box_of_a_grid_is_better_than_the_constant_box():
    rng = np.random.default_rng(0)
    size = rng.uniform(0.2, 0.6, (60, 2))
    boxes = torch.tensor(np.concatenate([rng.uniform(size / 2, 1 - size / 2), size], 1))

    def naive(box: Tensor) -> float:
        box = box.expand_as(boxes)
        return ((box - boxes).abs().sum(-1) + 1 - overlap(box, boxes)[1]).mean().item()

    box, loss = constant_box(boxes)
    assert loss == pytest.approx(naive(box), rel=1e-9)
    places, sizes = torch.linspace(0.3, 0.7, 9).double(), torch.linspace(0.2, 0.9, 8).double()
    assert loss <= min(map(naive, torch.cartesian_prod(places, places, sizes, sizes))) + 2e-3
    batch = batches.regions(batches.config())
    _, level = constant_box(batch.box[~batch.is_image].double())
    assert OBJECTIVES["bbp"].constant([batch, batch]) == (pytest.approx(level, rel=1e-6), "best constant box")
