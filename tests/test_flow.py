"""The flow: the stop and its doses, the four targets of masked image modelling, and objectives that leave one another
alone."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from reference import batches
from reference.batches import ALL, NO_STOP
from torch import Tensor

from xfm.model.batch import Pairs
from xfm.objectives import Pretraining

KEY = (0, 3)


def keyword(changes: dict) -> dict:
    return {name.replace(".", "__"): value for name, value in changes.items()}


def losses(p: Pretraining, on: tuple[str, ...] = ALL, training: bool = False) -> dict[str, Tensor]:
    return p.train(training)(batches.batch(p.config), on, KEY)[0]


def reached(p: Pretraining) -> dict[str, set[bool]]:
    """Loss of a stream -> whether parameters of the text encoder are on its path."""
    made, own = losses(p), list(p.model.text.parameters())
    grad = partial(torch.autograd.grad, inputs=own, retain_graph=True, allow_unused=True)
    return {name: {g is not None for g in grad(loss)} for name, loss in made.items() if loss.requires_grad}


@pytest.fixture(scope="module")
def published() -> Pretraining:
    return batches.pretraining()


@pytest.fixture(scope="module")
def plain() -> Pretraining:
    return batches.pretraining(**keyword(NO_STOP))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("dtype", "share"), [(torch.float64, 0.0), (torch.float64, 0.3), (torch.float32, 0.999)])
def test_a_dose_changes_no_forward_value_by_a_bit(training: bool, dtype: torch.dtype, share: float) -> None:
    def values(**changes) -> dict[str, Tensor]:
        p = batches.pretraining(**changes).to(dtype).train(training)
        made, report = p(batches.batch(p.config), ALL, KEY)
        return made | report

    dosed = values(**{f"flow__text_gradient__{o}": share for o in ("itc", "itm", "imlm", "bbp")})
    for other in (values(), values(**keyword(NO_STOP))):
        assert {n for n in other if not torch.equal(dosed[n], other[n])} == set()


@pytest.mark.parametrize("objective", ["itc", "itm", "imlm", "bbp"])
@pytest.mark.parametrize("share", [0.3, 1e-3])
def test_a_dose_scales_the_text_gradient_and_nothing_else(objective: str, share: float, plain) -> None:
    dosed = batches.pretraining(**keyword(NO_STOP) | {f"flow__text_gradient__{objective}": share})
    name, grads = f"{'regions' if objective == 'bbp' else 'pairs'}/{objective}", []
    for p in (plain, dosed):
        named = dict(p.model.named_parameters())
        loss = losses(p, (objective,))[name]
        grads.append(dict(zip(named, torch.autograd.grad(loss, named.values(), allow_unused=True), strict=True)))
    whole, part = grads
    for name, g in whole.items():
        assert (g is None) == (part[name] is None), name
        if g is not None:
            torch.testing.assert_close(part[name], share * g if name.startswith("text.") else g, rtol=1e-8, atol=1e-12)
    assert any(g is not None and g.any() for n, g in whole.items() if n.startswith("text."))


def test_the_stop_leaves_no_path_from_a_fusion_loss_to_the_text_encoder(published, plain) -> None:
    """And without it every text loss reaches all of it."""
    for p, stopped in ((published, ("itm", "imlm", "bbp", "mim")), (plain, ("mim",))):
        for name, found in reached(p).items():
            assert found == {name.split("/")[1] not in stopped}, name


def test_where_the_config_says_nothing_the_losses_of_the_fusion_encoder_are_stopped() -> None:
    for name, found in reached(batches.pretraining(flow__text_gradient={})).items():
        assert found == {name.split("/")[1] in ("itc", "mlm")}, name


@pytest.mark.parametrize("changes", [{}, {"data__fusion_batch": 2}, keyword(NO_STOP)])
def test_no_graph_is_recorded_of_a_text_whose_gradient_is_stopped(changes: dict) -> None:
    p, open_ = batches.pretraining(**changes), changes == keyword(NO_STOP)
    flow = p.flow(batches.batch(p.config), "pairs", ALL, KEY)
    assert flow.text.requires_grad and flow.masked_text.requires_grad == open_
    without_contrast = p.flow(batches.batch(p.config), "pairs", ("itm", "imlm"), KEY)
    assert without_contrast.text.requires_grad == open_
    for stream, on, graph in (("images", ALL, False), ("pairs", ("mim",), False), ("pairs", ALL, True)):
        flow = p.flow(batches.batch(p.config), stream, on, KEY)
        assert flow.patches.requires_grad == graph and flow.masked_patches.requires_grad


@pytest.mark.parametrize("streams", [("images",), ("pairs", "texts"), ("pairs", "regions", "images", "texts")])
def test_bf16_autocast_loses_no_path_to_a_pass_without_a_graph_before_it(streams: tuple[str, ...]) -> None:
    """Autocast keeps the weights that it has cast: a copy made without a graph must not serve a pass with one."""
    p = batches.pretraining()
    p.model.float()
    named, grads = dict(p.model.named_parameters()), []
    for bf16 in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            on = tuple(o for o in ALL if o != "itc" or len(streams) > 2)
            made, _ = p({s: batches.batch(p.config)[s] for s in streams}, on, KEY)
        total = torch.stack([*made.values()]).sum()
        assert total.dtype == torch.float32
        grads.append(torch.autograd.grad(total, named.values(), allow_unused=True))
    for name, full, half in zip(named, *grads, strict=True):
        assert (full is None) == (half is None), name
        if full is not None and not name.endswith("key.bias"):  # whose gradient is zero but for rounding
            assert torch.cosine_similarity(full.flatten(), half.flatten(), dim=0) > 0.9, name


def test_every_encoder_pass_is_made_once_and_only_if_asked_for() -> None:
    p, calls = batches.pretraining(), []
    for encoder in ("vision", "text", "fusion"):
        getattr(p.model, encoder).register_forward_hook(lambda *_, e=encoder: calls.append(e))
    for on, expected in {
        ALL: {"vision": 2 + 1 + 2, "text": 2 + 2 + 1, "fusion": 1 + 1}, ("mlm",): {"text": 1}, ("mim",): {"vision": 4},
        ("itc",): {"vision": 2, "text": 2}, ("imlm",): {"vision": 2, "text": 2, "fusion": 2},
        ("bbp",): {"vision": 1, "text": 1, "fusion": 1},
    }.items():  # fmt: skip
        calls.clear()
        losses(p, on)
        assert {e: calls.count(e) for e in set(calls)} == expected, on


# --- what masked patches must predict
def test_the_papers_target_is_the_same_networks_unmasked_output_without_a_gradient(published) -> None:
    """And a guide's is the guide's; it gets none either."""
    flow = published.eval().flow(batches.batch(published.config), "pairs", ALL, KEY)
    target = flow.mim_target
    assert torch.equal(target.patches, flow.patches) and torch.equal(target.pooled, flow.patches.mean(1))
    assert not target.patches.requires_grad and flow.patches.requires_grad
    (grad,) = torch.autograd.grad(losses(published)["pairs/mim"], flow.model.vision.mask_token)
    assert grad.any()
    seen, weight = [], torch.tensor(2.0, requires_grad=True)
    guided = Pretraining(published.model, published.config, lambda image: seen.append(image) or weight * image[:, 0])
    flow = guided.flow({"images": batches.images(guided.config, 3)}, "images", ("mim",), KEY)
    target = flow.mim_target
    assert torch.equal(seen[0], flow.pictures) and not target.patches.requires_grad
    torch.testing.assert_close(target.pooled, target.patches.mean(1))
    assert "patches" not in flow.__dict__  # the guided target costs no unmasked pass of our own encoder


def test_the_frozen_target_is_the_encoder_that_training_started_from(tmp_path) -> None:
    from xfm.runs.manifest import Manifest
    from xfm.runs.weights import packed
    from xfm.train.prepare import mim_teacher

    p = batches.pretraining(init_from="stage1", flow__mim_target="frozen")
    p.model.float()
    Manifest(tmp_path, p.config.fingerprint).replace({"init.safetensors": packed(p.model.state_dict())})
    run = SimpleNamespace(folder=tmp_path, config=p.config, has=lambda name: (tmp_path / name).exists())
    p.mim_teacher, batch = mim_teacher(run, torch.device("cpu")), batches.batch(p.config)
    start = p.model.eval().vision(batch["images"].image).detach()
    with torch.no_grad():
        for parameter in p.model.vision.parameters():
            parameter.mul_(1.5)
    target = p.train().flow(batch, "images", ("mim",), KEY).mim_target
    assert torch.equal(target.patches, start) and torch.equal(target.pooled, start.mean(1))
    assert {n for n, _ in p.named_parameters()} == {f"model.{n}" for n, _ in p.model.named_parameters()}  # untrained
    no_mim = SimpleNamespace(**vars(run) | {"config": p.config.replace({"objectives.mim.weight": 0.0})})
    assert mim_teacher(no_mim, torch.device("cpu")) is None


def test_pixels_of_a_patch_of_one_colour_are_standardised_without_a_division_by_zero() -> None:
    p = batches.pretraining(flow__mim_target="pixels")
    flat = batches.images(p.config, 2)
    flat.image[:, :, :4, :4] = 0.3
    target = p.flow({"images": flat}, "images", ("mim",), KEY).mim_target
    assert target.pooled is None and not target.patches[:, 0].any() and target.patches.isfinite().all()


# --- an ablation leaves the others alone
@pytest.mark.parametrize("gone", ALL)
@pytest.mark.parametrize("still", [True, False], ids=["fusion without dropout", "dropout everywhere"])
def test_removing_an_objective_leaves_the_others_as_they_were(gone: str, still: bool) -> None:
    """In train mode, with drop path and dropout. Only the fusion encoder's own dropout is drawn over all pairings."""
    p = batches.pretraining()
    if still:
        for module in p.model.fusion.modules():
            for rate in {"dropout", "p"} & set(vars(module)):
                setattr(module, rate, 0.0)
    torch.manual_seed(1)
    whole = losses(p, training=True)
    torch.manual_seed(2)  # the global generator has no part in it
    fewer = losses(p, tuple(o for o in ALL if o != gone), training=True)
    assert set(fewer) == {n for n in whole if not n.endswith(f"/{gone}")}
    for name, loss in fewer.items():
        fused = name.split("/")[1] in ("itm", "imlm", "bbp")
        if not fused:
            assert torch.equal(loss, whole[name]), name
        elif still:  # other pairings in the same products: equal but for rounding
            torch.testing.assert_close(loss, whole[name], rtol=1e-12, atol=1e-13, msg=name)


def test_streams_leave_one_another_alone() -> None:
    p = batches.pretraining().train()
    batch = batches.batch(p.config)
    whole = p(batch, ALL, KEY)[0]
    for stream in batch:
        alone = p({stream: batch[stream]}, ALL, KEY)[0]
        assert {n for n, loss in alone.items() if not torch.equal(loss, whole[n])} == set()


def test_dropout_is_another_at_every_step_and_pass() -> None:
    p = batches.pretraining().train()
    flows = [p.flow(batches.batch(p.config), "pairs", ALL, (0, step)) for step in (1, 1, 2)]
    assert torch.equal(flows[0].text, flows[1].text) and not torch.equal(flows[0].text, flows[2].text)
    assert torch.equal(flows[0].masked_patches, flows[1].masked_patches)
    nothing_hidden = Pairs(flows[0].batch.image, flows[0].batch.tokens, torch.zeros(4, 16).bool())
    flow = p.flow({"pairs": nothing_hidden}, "pairs", ALL, (0, 1))
    assert not torch.equal(flow.masked_patches, flow.patches)  # MIM's target has drop-path noise of its own
