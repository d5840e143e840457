"""Probes of training against closed forms, naive versions, and the gradients that training itself uses."""

import math

import numpy as np
import pytest
import torch
from reference import batches
from reference.batches import NO_STOP

from xfm import recipes
from xfm.base import seeding
from xfm.data import dataset
from xfm.diagnostics.gradient_table import GradientTable, gradient_table, module_names, objective_gradients
from xfm.diagnostics.training_probe import TrainingProbe, cka, effective_rank, layer_states, unstopped
from xfm.objectives import OBJECTIVES, Pretraining, build, weighted_sum

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


TEXT = {"language embeddings", "language layer 0", "language layer 1"}
PUBLISHED = {  # xfm-numerics.md, section 6, in this table's modules
    "mlm": TEXT | {"MLM head"},
    "mim": {"vision", "vision mask token"},
    "itc": TEXT | {"vision", "ITC head"},
    "itm": {"vision", "fusion", "ITM head"},
    "imlm": {"vision", "fusion", "IMLM head"},
    "bbp": {"vision", "fusion", "BBP head"},
}


def paths(t: GradientTable) -> dict[str, set[str]]:
    return {o: {m for m, norm in row.items() if norm is not None} for o, row in t.norms.items()}


@pytest.mark.parametrize("stop", [True, False])
def test_it_is_the_published_routing(stop):
    p = batches.pretraining(**({} if stop else NO_STOP))
    t = gradient_table(p, batches.batch(p.config))
    crossing = set() if stop else TEXT
    expected = {o: reached | (crossing if "fusion" in reached else set()) for o, reached in PUBLISHED.items()}
    assert paths(t) == expected
    assert all(norm is None or norm > 0 for row in t.norms.values() for norm in row.values())
    with torch.no_grad():  # then the gradient is zero, and there still is a path
        p.model.objectives["itm"].head[3].weight.zero_()
    frame = gradient_table(p, batches.batch(p.config)).frame()
    assert frame.loc["itm", "fusion"] == 0 and (frame.loc["itm", "language embeddings"] is None) == stop


@pytest.mark.parametrize("changes", [{}, {"flow.text_gradient.imlm": 0.3, "data.fusion_batch": 2}, NO_STOP])
def test_the_objectives_add_up_to_the_training_step(changes):
    weights = {"mlm": 1.0, "itc": 0.5, "itm": 2.0, "imlm": 1.5, "mim": 0.25, "bbp": 4.0}
    p = batches.pretraining(**changes, **{f"objectives__{o}__weight": w for o, w in weights.items()})
    batch, key = batches.batch(p.config), (3, 7)
    added = {n: torch.zeros_like(q) for n, q in p.model.named_parameters()}
    for objective, grads in objective_gradients(p, batch, key):
        for name, grad in grads.items():
            added[name] += 0 if grad is None else weights[objective] * grad
    losses, _ = p(batch, weights, key)
    weighted_sum(losses, weights).backward()
    torch.testing.assert_close(added, {n: q.grad for n, q in p.model.named_parameters()}, rtol=1e-9, atol=1e-12)


def test_a_module_is_all_its_parameters_and_every_parameter_has_one():
    p = batches.pretraining(flow__mim_target="pixels", model__vision__absolute_positions=True)
    batch = batches.batch(p.config)
    t, module_of = gradient_table(p, batch), module_names(p.model)
    modules = set(module_of.values())
    assert set(t.modules) == modules and len(t.modules) == len(modules)
    for objective, grads in objective_gradients(p, batch):
        for module in modules:
            squares = [g.square().sum().item() for n, g in grads.items() if module_of[n] == module and g is not None]
            norm = t.norms[objective][module]
            assert norm is None if not squares else norm == pytest.approx(math.sqrt(sum(squares)))
    p.model.audio = torch.nn.Linear(1, 1)
    with pytest.raises(KeyError, match=r"audio\.weight"):
        module_names(p.model)


def test_the_model_is_left_as_it_was():
    p = batches.pretraining().train()
    p.model.vision.eval()
    p.model.objectives["itc"].temperature.data.fill_(0.7)  # a step would clamp it; a look does not
    for q in p.model.text.parameters():
        q.grad = torch.ones_like(q)
    modes, state = [m.training for m in p.modules()], {n: v.clone() for n, v in p.state_dict().items()}
    with torch.no_grad():
        t = gradient_table(p, batches.batch(p.config))
    assert [m.training for m in p.modules()] == modes
    assert all(torch.equal(v, p.state_dict()[n]) for n, v in state.items())
    for name, q in p.model.named_parameters():
        assert (q.grad == 1).all() if name.startswith("text.") else q.grad is None
    assert t.norms == gradient_table(p.eval(), batches.batch(p.config)).norms  # in eval mode whatever the model was in


def test_only_what_is_on_and_served_has_a_row_and_a_frozen_part_has_no_path():
    p = batches.pretraining(objectives__itm__weight=0.0)
    batch = batches.batch(p.config)
    images = {"images": batch["images"]}
    for of, rows in ((batch, [o for o in OBJECTIVES if o != "itm"]), (images, ["mim"]),
                     (images | {"texts": batch["texts"]}, ["mlm", "mim"])):  # fmt: skip
        assert list(gradient_table(p, of).norms) == rows
    p.model.vision.requires_grad_(False)
    t = gradient_table(p, batch)
    assert paths(t)["mim"] == set() and "vision" not in paths(t)["itc"] and "ITC head" in paths(t)["itc"]
