"""ITC is the mean of two naive cross-entropies, and open_clip's ClipLoss; the temperature divides, and is clamped."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from open_clip.loss import ClipLoss
from reference import batches, naive

from xfm.model.batch import Pairs, tree_map
from xfm.objectives import build


@pytest.mark.parametrize(("count", "tokens"), [(2, 4), (3, 7), (7, 10)])
@pytest.mark.parametrize("stream", ["pairs", "regions"])
def test_it_is_two_loops(count, tokens, stream):
    p = batches.pretraining(data__fusion_batch=2)  # ITC sees all pairs, however many are fused
    make = batches.pairs if stream == "pairs" else batches.regions
    batch, itc = make(p.config, count, tokens=tokens), p.model.objectives["itc"]
    out = itc(p.flow({stream: batch}, stream, ("itc",), (0, 0)))
    with torch.no_grad():
        grids = [naive.picture(p.model, image) for image in batch.image]
        first = [naive.text(p.model, naive.unpadded(batch.tokens, b))[0] for b in range(count)]
    if isinstance(batch, Pairs):
        pooled = [g.mean(0) for g in grids]
    else:
        pooled = [grids[o][s].mean(0) for o, s in zip(batch.owner, batch.patches, strict=True)]
    image, text = ([f(v) / f(v).norm() for v in vs] for f, vs in ((itc.image, pooled), (itc.text, first)))
    logits = torch.stack([torch.stack([i @ t / itc.temperature for t in text]) for i in image])
    rows = [naive.cross_entropy(m[b], b) for m in (logits, logits.T) for b in range(count)]
    torch.testing.assert_close(out.loss, sum(rows) / (2 * count), rtol=1e-9, atol=1e-11)
    right = (logits.argmax(1) == torch.arange(count)).double().mean().item()
    assert out.report["accuracy"].item() == pytest.approx(right)
    for name in ("temperature", "image.weight", "text.weight"):
        ours, theirs = (
            torch.autograd.grad(v, itc.get_parameter(name), retain_graph=True)[0]
            for v in (out.loss, sum(rows) / (2 * count))
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("count", [2, 7, 48])
def test_it_is_open_clips_bit_for_bit(count):
    itc, g = batches.pretraining().model.objectives["itc"].float(), torch.Generator().manual_seed(count)
    drawn = torch.nn.functional.normalize(torch.randn(2, count, 40, generator=g), dim=-1)

    def found(loss: Any) -> list[torch.Tensor]:
        features = drawn.clone().requires_grad_()
        value = loss(*features)
        return [value, *torch.autograd.grad(value, (features, itc.temperature))]

    ours = found(lambda image, text: itc(SimpleNamespace(features=(image, text))).loss)
    theirs = found(lambda image, text: ClipLoss()(image, text, 1 / itc.temperature))
    assert all(map(torch.equal, ours, theirs))


def test_the_temperature_is_clamped_before_every_step_without_a_gradient():
    p = batches.pretraining()
    temperature = p.model.objectives["itc"].temperature
    for before, after in ((0.0, 0.001), (-1.0, 0.001), (0.07, 0.07), (0.5, 0.5), (3.0, 0.5)):
        temperature.data.fill_(before)
        p(batches.batch(p.config), (), (0, 0))
        assert temperature.item() == pytest.approx(after, abs=0)
        assert temperature.is_leaf and temperature.requires_grad
    started = build(batches.config(model__temperature=0.2)).objectives["itc"].temperature
    assert started.item() == pytest.approx(0.2)


def test_no_size_is_kept_for_another_device():
    """One process trains on two devices, or threads of it on parts of a batch."""
    cpu, meta = batches.pretraining(), batches.pretraining().to("meta")
    for count in (3, 4):
        for p in (cpu, meta):
            batch = tree_map(lambda t, p=p: t.to(p.model.device), batches.pairs(p.config, count))
            assert p({"pairs": batch}, ("itc",), (0, 0))[0]["pairs/itc"].shape == ()
