"""Probes of training against closed forms, naive versions, and the gradients that training itself uses."""

import numpy as np
import pytest
import torch

from xfm import recipes
from xfm.base import seeding
from xfm.data import dataset
from xfm.diagnostics.gradient_table import gradient_table, objective_gradients
from xfm.diagnostics.training_probe import TrainingProbe, cka, effective_rank, layer_states, unstopped
from xfm.objectives import Pretraining, build

CONFIG = recipes.get("smoke").replace({"data.fusion_batch": 0})
TOKENIZER = dataset(CONFIG).tokenizer()


def randn(*shape: int, key: str = "x") -> torch.Tensor:
    return torch.randn(*shape, generator=seeding.generator(key), dtype=torch.float64)


@pytest.fixture
def pretraining():
    model = build(CONFIG)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_(0.01 * torch.randn(p.shape, generator=seeding.generator("moved", name)))
    return Pretraining(model, CONFIG)


@pytest.fixture
def probe(pretraining):
    return TrainingProbe(pretraining, build(CONFIG), TOKENIZER)


def test_a_batch_of_many_parts_is_probed_as_one():
    many = {f"data.{n}": 40 for n in ("pairs", "regions", "region_images", "images", "texts")}
    config = CONFIG.replace(many | {"train.shards": 1, "train.accumulate": 20})
    probe = TrainingProbe(Pretraining(build(config), config), build(config), TOKENIZER)
    assert len(probe.batch["texts"].tokens.ids) < 40


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_what_is_held_back_is_what_the_dose_leaves(share, probe, pretraining):
    config = CONFIG.replace({"flow.text_gradient.itm": share, "flow.text_gradient.itc": 0.5})
    record = TrainingProbe(Pretraining(pretraining.model, config), build(CONFIG), TOKENIZER)(0)
    open_ = Pretraining(pretraining.model, unstopped(CONFIG))
    whole = gradient_table(open_, probe.batch, ("probe", 0)).norms

    def language(row: dict) -> float:
        return float(np.linalg.norm([norm or 0 for module, norm in row.items() if module.startswith("language")]))

    assert record["held_back"]["itm"] == pytest.approx((1 - share) * language(whole["itm"]))
    assert language(record["norm"]["itm"]) == pytest.approx(share * language(whole["itm"]))
    assert record["held_back"]["itc"] == pytest.approx(0.5 * language(whole["itc"]))
    assert (record["norm"]["itm"]["language layer 0"] is None) == (share == 0)


def test_cosines_are_of_whole_gradients_as_if_nothing_were_stopped(probe, pretraining):
    cosines = probe(0)["cosine"]
    pairs = cosines["language"]
    assert len(pairs) == 15 and all(c is None or -1 <= c <= 1 for c in pairs.values())
    assert pairs["mim mlm"] is None  # the stop is no matter; MIM has no path at all
    assert cosines["vision"]["itm mim"] is not None and cosines["vision"]["itm mlm"] is None
    grads = dict(objective_gradients(Pretraining(pretraining.model, unstopped(CONFIG)), probe.batch, ("probe", 0)))
    shapes = {n: p.shape for n, p in pretraining.model.named_parameters() if n.startswith("text.")}
    a, b = (  # a parameter without a path counts as zero
        torch.cat([(torch.zeros(s) if grads[o][n] is None else grads[o][n]).flatten() for n, s in shapes.items()])
        for o in ("itm", "mlm")
    )
    assert pairs["itm mlm"] == pytest.approx(torch.cosine_similarity(a, b, dim=0).item(), abs=1e-5)


def test_drift_is_relative():
    probe = TrainingProbe(Pretraining(model := build(CONFIG), CONFIG), build(CONFIG), TOKENIZER)
    record = probe(0)
    assert record["drift"] == {"language": 0, "vision": 0}
    assert record["cka"] == {encoder: [pytest.approx(1)] * 2 for encoder in ("language", "vision")}
    for p in model.text.parameters():
        p.data.mul_(1.5)
    assert probe(0)["drift"] == {"language": pytest.approx(0.5), "vision": 0}


def test_cka_knows_rotations_scales_and_shifts_and_the_effective_rank_counts_directions():
    a, other = randn(60, 5), randn(60, 7, key="y")
    rotation = torch.linalg.qr(randn(5, 5, key="q"))[0]
    assert cka(a, 3 * a @ rotation + 2) == pytest.approx(1)
    assert cka(a, other) == pytest.approx(cka(other, a)) and 0 <= cka(a, other) < 0.5
    x, y = (m - m.mean(0) for m in (a.numpy(), other.numpy()))
    kernels = x @ x.T, y @ y.T  # as Kornblith et al. define it, by the examples' similarities
    hsic = [np.sum(k * m) for k, m in ((kernels[0], kernels[1]), (kernels[0], kernels[0]), (kernels[1], kernels[1]))]
    assert cka(a, other) == pytest.approx(hsic[0] / np.sqrt(hsic[1] * hsic[2]))
    assert cka(a, torch.ones(60, 4, dtype=torch.float64)) == 0
    q = torch.linalg.qr(randn(50, 6) - randn(50, 6).mean(0))[0]
    assert effective_rank(q[:, :4]) == pytest.approx(4)
    assert effective_rank(q[:, :1] @ randn(1, 8)) == pytest.approx(1)
    assert effective_rank(torch.ones(5, 3)) == 0


def test_layer_states_are_the_encoders_own_without_padding(probe, pretraining):
    states = layer_states(pretraining.model, probe.batch)
    words = [s.tokens for s in probe.batch.values() if hasattr(s, "tokens")]
    pictures = sum(len(s.image) for s in probe.batch.values() if hasattr(s, "image"))
    assert len(states["language"][0]) == sum(int(w.mask.sum()) for w in words)
    assert len(states["vision"][0]) == pictures * CONFIG.model.vision.patches
    with torch.no_grad():
        last = torch.cat([pretraining.model.eval().text(w.ids, w.mask)[w.mask] for w in words])
    torch.testing.assert_close(states["language"][-1], last)
    assert not any(layer._forward_hooks for layer in pretraining.model.text.layers)


def test_a_collapse_is_seen(probe):
    before = probe.guidance()
    assert before and before["target_rank"] > 1 and before["target_std"] > 0 and -1 <= before["agreement"] <= 1
    flow = probe.open.flow(probe.batch, "images", ("mim",), ("probe", 0))
    hidden = torch.nn.functional.normalize(flow.mim_target.patches[flow.batch.image_mask], dim=-1)
    mean = torch.nn.functional.normalize(flow.mim_target.patches[flow.batch.image_mask].mean(0), dim=-1)
    assert before["agreement_of_mean"] == pytest.approx((hidden @ mean).mean().item(), abs=1e-5)
    with torch.no_grad():
        probe.open.model.vision.norm.weight.zero_()
    after = probe.guidance()
    assert after and after["target_std"] == 0 and after["target_rank"] == 0
    without = Pretraining(build(CONFIG), recipes.get("smoke+no_mim"))
    assert TrainingProbe(without, build(CONFIG), TOKENIZER)(0)["guidance"] is None
