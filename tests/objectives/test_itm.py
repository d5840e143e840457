"""ITC and ITM against loops, and ClipLoss; hard negatives by their weights, never the own pair."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from reference import batches, naive

from xfm.base import seeding
from xfm.model.batch import END, PAD
from xfm.objectives.itm import draw, negative_weights


def seen(p, batch, stream: str) -> tuple[list, list]:
    grids = [naive.picture(p.model, image) for image in batch.image]
    if stream == "pairs":
        items = [naive.tokens(g) for g in grids]
    else:
        items = [naive.tokens(grids[o], s) for o, s in zip(batch.owner, batch.patches, strict=True)]
    return items, [naive.text(p.model, naive.unpadded(batch.tokens, b)) for b in range(len(batch.tokens.ids))]


SIZES = [(2, 0, 4), (3, 2, 8), (5, 0, 6), (3, 9, 5)]  # texts, those that are fused (0: all), tokens
CASES = [("pairs", *size, []) for size in SIZES] + [("regions", *size, []) for size in SIZES]
CASES += [("pairs", 4, 0, 9, [0, 2]), ("pairs", 5, 3, 9, [1, 4]), ("pairs", 3, 0, 9, [0, 1, 2])]  # false captions


@pytest.mark.parametrize(("stream", "count", "fused", "tokens", "changed"), CASES)
@torch.no_grad()
def test_it_is_a_loop(stream, count, fused, tokens, changed):
    """A false caption takes the place of the negative text."""
    p = batches.pretraining(data__fusion_batch=fused)
    batch, itm = getattr(batches, stream)(p.config, count, tokens=tokens), p.model.objectives["itm"]
    batch = with_false(p, count, changed) if changed else batch
    flow = p.flow({stream: batch}, stream, ("itm",), (0, 0))
    out, (other_image, other_text) = itm(flow), itm.negatives(flow)
    n = min(fused or count, count) if stream == "pairs" else count
    assert len(other_image) == len(other_text) == n
    assert not any(b in (int(other_image[b]), int(other_text[b])) for b in range(n))
    items, texts = seen(p, batch, stream)
    negatives = [texts[int(other_text[b])] for b in range(n)]
    for b in {*changed} & {*range(n)}:
        negatives[b] = naive.text(p.model, batch.false_ids[b][batch.false_ids[b] != PAD])
    triples = [(texts[b], items[b], 1) for b in range(n)]
    triples += [(texts[b], items[int(other_image[b])], 0) for b in range(n)]
    triples += [(negatives[b], items[b], 0) for b in range(n)]
    logits = [itm.head(naive.fuse(p.model, text, item)[0]) for text, item, _ in triples]
    losses = [naive.cross_entropy(v, label) for v, (*_, label) in zip(logits, triples, strict=True)]
    torch.testing.assert_close(out.loss, sum(losses) / len(losses), rtol=1e-9, atol=1e-11)
    right = [int(v.argmax()) == label for v, (*_, label) in zip(logits, triples, strict=True)]
    assert out.report["accuracy"].item() == pytest.approx(sum(right) / len(right))


def test_negatives_are_drawn_by_weights_without_the_own_pair_keyed_and_without_a_gradient():
    similarity = torch.tensor([[5.0, 1.0, 2.0], [0.0, 0.0, 0.0], [90.0, -90.0, 90.0]], dtype=torch.float64)
    for i, weights in enumerate(negative_weights(similarity).tolist()):
        row = [v.exp().item() for v in similarity[i]]
        expected = [0.0 if i == j else v / sum(row) + 1e-5 for j, v in enumerate(row)]
        assert weights == pytest.approx(expected, rel=1e-9, abs=0)
    similarity = torch.tensor([[0.0, 1, 8, 0], [7, 0, 0, 0], [0, 0, 0, 6], [0, 5, 0, 0]])  # pictures x texts
    p = batches.pretraining()
    flow = SimpleNamespace(features=(similarity, torch.eye(4)), fusion_count=None, key=(0, 0), model=p.model)
    p.model.objectives["itc"].temperature.data.fill_(0.01)
    itm = p.model.objectives["itm"]
    pictures, texts = itm.negatives(flow)
    assert pictures.tolist() == [1, 3, 0, 2]  # of each text: the largest of its column but its own
    assert texts.tolist() == [2, 0, 3, 1]  # of each picture: the largest of its row but its own
    batch = {"pairs": batches.pairs(p.config, 30), "regions": batches.regions(p.config, 30)}

    def negatives(stream: str, step: int, of=batch) -> list[list[int]]:
        torch.manual_seed(torch.seed())  # the global generator has no part in it
        return [v.tolist() for v in itm.negatives(p.flow(of, stream, ("itm",), (0, step)))]

    assert negatives("pairs", 5) == negatives("pairs", 5) != negatives("pairs", 6)
    assert negatives("regions", 5) == negatives("regions", 5)
    assert negatives("pairs", 0, {"pairs": batches.pairs(p.config, 2)}) == [[1, 0], [1, 0]], "each is the other's"
    loss = itm(p.flow(batch, "pairs", ("itm",), (0, 5))).loss
    heads = list(p.model.objectives["itc"].parameters())
    assert torch.autograd.grad(loss, heads, allow_unused=True) == (None,) * len(heads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["spread", "nearly certain", "own pair certain"])
def test_draws_follow_the_weights(dtype, kind):
    g, draws = torch.Generator().manual_seed(3), 3000
    scale = {"spread": 1.0, "nearly certain": 30.0, "own pair certain": 0.0}[kind]
    similarity = scale * torch.randn(6, 6, generator=g) + (200 * torch.eye(6) if scale == 0 else 0)
    weights = negative_weights(similarity.to(dtype))
    drawn = torch.stack([draw(weights, seeding.generator("draw", i)) for i in range(draws)])
    counts = torch.nn.functional.one_hot(drawn, 6).sum(0).double()
    assert not counts.diagonal().any()
    expected = draws * weights.double() / weights.double().sum(1, keepdim=True)
    common = expected > 5
    freedom = int(common.sum()) - 6
    assert ((counts - expected).square() / expected)[common].sum() < freedom + 5 * (2 * max(freedom, 1)) ** 0.5
    assert counts[~common].sum() <= 10 + 3 * expected[~common].sum()
    assert scale or freedom == 24  # the floor leaves all others equally likely


@pytest.mark.parametrize("stream", ["pairs", "regions"])
def test_drawing_negatives_first_cuts_no_path_to_the_encoders(stream):
    """Without ITC they are the first to ask for both encoders' outputs, which the losses then share."""
    p = batches.pretraining(flow__text_gradient__itm=1.0)
    flow = p.flow(batches.batch(p.config), stream, ("itm",), (0, 0))
    loss = p.model.objectives["itm"](flow).loss
    for encoder in (p.model.vision, p.model.text):
        used = [q for n, q in encoder.named_parameters() if n != "mask_token"]
        assert None not in torch.autograd.grad(loss, used, retain_graph=True, allow_unused=True)
    assert flow.image.pooled.requires_grad


def with_false(p, count: int, changed: list[int]):
    """Pairs of which some have a false caption: a token of theirs is another, and the last but one may be gone."""
    pairs = batches.pairs(p.config, count, tokens=9)
    false = pairs.tokens.ids.clone()
    for b in changed:
        false[b, 1] = 4 + false[b, 1] % 40  # another token; 4 occurs nowhere else
        end = int(pairs.tokens.mask[b].sum())
        if b % 2 and end > 4:  # a text of another length
            false[b, end - 2], false[b, end - 1] = END, PAD
    return replace(pairs, false_ids=false)


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_false_captions_cross_through_the_stop(scale):
    """Of a batch in which nothing but false captions holds a token, its embedding has `scale` times the gradient."""

    def gradient(scale: float):
        p = batches.pretraining(flow__text_gradient__itm=scale)
        pairs = with_false(p, 4, [0, 1, 2, 3])
        pairs.false_ids[:, 1] = 49  # in no other text
        loss = p.model.objectives["itm"](p.flow({"pairs": pairs}, "pairs", ("itm",), (0, 0))).loss
        return torch.autograd.grad(loss, [p.model.text.word.weight], allow_unused=True)[0]

    found, whole = gradient(scale), gradient(1.0)
    assert whole[49].any() and (found is None) == (scale == 0)
    if found is not None:
        torch.testing.assert_close(found, scale * whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("count", "tokens"), [(2, 4), (3, 7), (7, 10)])
@pytest.mark.parametrize("stream", ["pairs", "regions"])
def test_it_is_two_loops(count, tokens, stream):
    p = batches.pretraining(data__fusion_batch=2)  # ITC sees all pairs, however many are fused
    batch, itc = getattr(batches, stream)(p.config, count, tokens=tokens), p.model.objectives["itc"]
    out = itc(p.flow({stream: batch}, stream, ("itc",), (0, 0)))
    with torch.no_grad():
        items, texts = seen(p, batch, stream)
    pooled, first = [item[0] for item in items], [text[0] for text in texts]
    image, text = ([f(v) / f(v).norm() for v in vs] for f, vs in ((itc.image, pooled), (itc.text, first)))
    logits = torch.stack([torch.stack([i @ t / itc.temperature for t in text]) for i in image])
    wanted = sum(naive.cross_entropy(m[b], b) for m in (logits, logits.T) for b in range(count)) / (2 * count)
    torch.testing.assert_close(out.loss, wanted, rtol=1e-9, atol=1e-11)
    right = (logits.argmax(1) == torch.arange(count)).double().mean().item()
    assert out.report["accuracy"].item() == pytest.approx(right)
    own = [itc.get_parameter(name) for name in ("temperature", "image.weight", "text.weight")]
    ours, theirs = (torch.autograd.grad(value, own) for value in (out.loss, wanted))
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-10)


def test_the_temperature_is_clamped_before_every_step():
    p = batches.pretraining()
    temperature = p.model.objectives["itc"].temperature
    for before, after in ((0.0, 0.001), (-1.0, 0.001), (0.07, 0.07), (0.5, 0.5), (3.0, 0.5)):
        temperature.data.fill_(before)
        p(batches.batch(p.config), (), (0, 0))
        assert temperature.item() == pytest.approx(after, abs=0)
