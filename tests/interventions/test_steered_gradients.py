"""What becomes of the fusion losses' gradient into the language encoder: against every loss run alone, and a naive
version of what is done with its gradient. No forward value changes by a bit, nor any other module's gradient."""

import contextlib
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import batches
from reference.batches import ALL, NO_STOP, STILL
from torch import Tensor
from train.conftest import equal

from xfm.base import seeding
from xfm.config import ConfigError, RunConfig
from xfm.interventions.noise import matched_noise
from xfm.interventions.projection import gradvac, pcgrad
from xfm.model import ImageTokens
from xfm.model.batch import Batch
from xfm.objectives import OBJECTIVES, Pretraining, check_losses
from xfm.train.accelerator import make_accelerator
from xfm.train.gradient_interventions import Steering, TextGradient
from xfm.train.step_gradient import Shards, in_parts

KEY = (0, 3)
WEIGHTS = {o: 0.5 + 0.25 * i for i, o in enumerate(ALL)}
Named = dict[str, Tensor]


def pretraining(how: str, **changes: Any) -> Pretraining:
    return Pretraining(batches.model(c := config(how, **changes)), c).train()


def config(how: str, **changes: Any) -> RunConfig:
    return batches.config(**NO_STOP | STILL | {"flow__fusion_gradient": how} | changes)


def gradients(p: Pretraining) -> Named:
    return {n: w.grad for n, w in p.model.named_parameters() if w.grad is not None}


def whole(p: Pretraining, batch: Batch) -> tuple[Named, Named]:
    """(losses, gradients) of a step without steering"""
    losses, _ = p(batch, WEIGHTS, KEY)
    return losses, differentiated(sum(WEIGHTS[n.split("/")[1]] * loss for n, loss in losses.items()), p)


def steered(p: Pretraining, batch: Batch, key: tuple = KEY, text: TextGradient | None = None) -> tuple[Named, Named]:
    """(losses, gradients) of a step"""
    steering = Steering(TextGradient(p.model, p.config) if text is None else text)
    p.zero_grad()
    compute = lambda on, shuffled=False: p(batch, on, key, shuffled=shuffled)  # noqa: E731
    losses, _, apart = steering.backward(p, compute, WEIGHTS, Tensor.backward)
    steering.combine([apart], 1.0, key)
    steering.after_step()
    return losses, gradients(p)


def alone(p: Pretraining, batch: Batch, loss: str) -> Named:
    losses, _ = p(batch, (loss,), KEY)
    return differentiated(WEIGHTS[loss] * sum(losses.values()), p)


def differentiated(total: Tensor, p: Pretraining) -> Named:
    names, weights = zip(*p.model.named_parameters(), strict=True)
    grads = torch.autograd.grad(total, weights, allow_unused=True)
    return {n: g for n, g in zip(names, grads, strict=True) if g is not None}


def summed(parts: list[Named]) -> Named:
    return {n: sum(part[n] for part in parts if n in part) for n in {n for part in parts for n in part}}


def text_of(grads: Named) -> Named:
    return {n: g for n, g in grads.items() if n.startswith("text.")}


def vector(grads: Named, p: Pretraining) -> Tensor:
    return torch.cat([grads.get(f"text.{n}", 0 * w).flatten() for n, w in p.model.text.named_parameters()]).detach()


def close(found: Named, wanted: Named) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)


HOWS = ("lower_stop", "upper_stop", "noise", "global_noise", "shuffled", "pcgrad", "gradvac", "masked")
FUSION = ("itm", "imlm", "bbp")


@pytest.fixture(scope="module")
def batch():
    return batches.batch(config("plain"))


@pytest.fixture(scope="module")
def parts(batch):
    """By loss, its gradient where nothing is stopped."""
    return {o: alone(pretraining("plain"), batch, o) for o in ALL}


@pytest.fixture(scope="module")
def plain(batch):
    return whole(pretraining("plain"), batch)


@pytest.mark.parametrize("how", HOWS)
def test_no_forward_value_and_no_other_modules_gradient_changes(how, batch, plain):
    losses, grads = steered(pretraining(how), batch)
    assert equal(losses, plain[0])
    close(*({n: g for n, g in each.items() if not n.startswith("text.")} for each in (grads, plain[1])))
    differs = max(float((grads[n] - g).abs().max()) for n, g in text_of(plain[1]).items() if n in grads)
    assert differs > 1e-6, "it does something"


EMBEDDINGS = ("text.word", "text.position", "text.token_type", "text.norm")


@pytest.mark.parametrize(("how", "share", "kept"), [
    ("lower_stop", 0.5, ("text.layers.1.",)), ("lower_stop", 1.0, ()), ("lower_stop", 0.0, ("text.",)),
    ("upper_stop", 0.5, (*EMBEDDINGS, "text.layers.0.")), ("upper_stop", 1.0, EMBEDDINGS),
])  # fmt: skip
def test_a_stop_by_layer_leaves_the_other_layers_their_gradient(how, share, kept, batch, parts):
    _, found = steered(pretraining(how, flow__stopped_share=share), batch)
    let_in = [{n: g for n, g in text_of(parts[o]).items() if n.startswith(kept)} for o in FUSION]
    close(text_of(found), summed([text_of(parts["mlm"]), text_of(parts["itc"]), *let_in]))


@pytest.mark.parametrize("how", ["noise", "global_noise"])
def test_noise_has_the_norm_of_what_it_stands_for_and_is_drawn_by_step_and_name(how, batch, parts):
    p = pretraining(how)
    _, found = steered(p, batch)
    rest = summed([text_of(parts["mlm"]), text_of(parts["itc"])])
    fusion = summed([text_of(parts[o]) for o in FUSION])
    noise = {n: found[n] - rest.get(n, 0) for n in fusion}
    norm = lambda grads: math.sqrt(sum(float(g.square().sum()) for g in grads))  # noqa: E731
    assert norm(noise.values()) == pytest.approx(norm(fusion.values()))
    same = [norm([noise[n]]) == pytest.approx(norm([g]), rel=1e-6) for n, g in fusion.items()]
    assert all(same) if how == "noise" else not any(same)
    name = "text.layers.0.mlp.fc1.weight"
    drawn = torch.randn(fusion[name].shape, generator=seeding.generator(*KEY, "steering", name)).double()
    assert torch.cosine_similarity(noise[name].flatten(), drawn.flatten(), dim=0) == pytest.approx(1)
    _, other = steered(p, batch, (0, 4))
    assert not torch.equal(found[name], other[name])


@given(st.integers(0, 10**6), st.booleans())
def test_matched_noise_leaves_no_path_where_there_is_none(seed, whole):
    g = seeding.generator(seed)
    grads = [torch.randn(3, 4, generator=g), None, torch.zeros(2), 5 * torch.randn(7, generator=g)]
    noise = matched_noise(grads, ["a", "b", "c", "d"], (seed,), whole)
    assert noise[1] is None and all(n is None or n.isfinite().all() for n in noise)
    assert whole or not noise[2].any()


def test_the_gradient_of_shuffled_pairs_is_that_of_a_flow_whose_pictures_are_moved(batch, parts):
    """The fusion losses of texts with the patches of other pictures; the negatives are those of the true pairs."""
    p, total = pretraining("shuffled"), 0
    _, found = steered(p, batch)
    for stream in ("pairs", "regions"):
        flow = p.flow(batch, stream, FUSION, KEY)
        n = len(flow.patches)
        shift = 1 + int(torch.randint(n - 1, (), generator=seeding.generator(*KEY, stream, "shuffled")))
        moved = torch.stack([flow.patches[(i - shift) % n] for i in range(n)])
        assert all(not torch.equal(moved[i], flow.patches[i]) for i in range(n))
        of_regions = () if stream == "pairs" else (flow.batch.owner, flow.batch.patches)
        image = ImageTokens.of_regions(moved, *of_regions) if of_regions else ImageTokens.of_pictures(moved)
        for loss, pairing in flow.pairings.items():
            flow.__dict__["fused"] = {loss: p.model.fusion(pairing.text, pairing.mask, image, pairing.item)}
            total = total + WEIGHTS[loss] * p.model.objectives[loss](flow).loss
    shuffled = text_of(differentiated(total, p))
    close(text_of(found), summed([text_of(parts["mlm"]), text_of(parts["itc"]), shuffled]))


def others_of(own: dict[str, Tensor], loss: str) -> list[str]:
    """In the order that is drawn for the loss."""
    others = [o for o in OBJECTIVES if o in own and o != loss]
    chosen = torch.randperm(len(others), generator=seeding.generator(*KEY, "steering", loss))
    return [others[i] for i in chosen.tolist()]


REACHING = ("mlm", "itc", "itm", "imlm", "bbp")


def test_pcgrad_projects_every_loss_onto_the_normal_planes_of_those_it_conflicts_with(batch, parts):
    p = pretraining("pcgrad")
    _, found = steered(p, batch)
    own = {o: vector(parts[o], p) for o in REACHING}
    wanted, conflicts = torch.zeros_like(own["mlm"]), 0
    for loss in REACHING:
        g = own[loss].clone()
        for other in others_of(own, loss):
            if (inner := (g * own[other]).sum()) < 0:
                conflicts += 1
                g = g - inner / own[other].norm() ** 2 * own[other]
        wanted += g
    assert conflicts, "losses that agree prove nothing"
    torch.testing.assert_close(vector(found, p), wanted, rtol=1e-8, atol=1e-11)


def test_gradvac_turns_gradients_to_the_cosine_that_others_have_had(batch, parts):
    p = pretraining("gradvac", flow__gradvac_decay=0.3)
    text = TextGradient(p.model, p.config)
    own = {o: vector(parts[o], p) for o in REACHING}
    wanted: dict[str, float] = {}
    for _ in range(2):
        _, found = steered(p, batch, text=text)
        total = torch.zeros_like(own["mlm"])
        for loss in REACHING:
            g = own[loss].clone()
            for other in others_of(own, loss):
                h = own[other]
                cosine, aim = float(g @ h / g.norm() / h.norm()), wanted.get(f"{loss} {other}", 0.0)
                wanted[f"{loss} {other}"] = 0.7 * aim + 0.3 * cosine
                if cosine < aim:
                    angle = [math.acos(cosine), math.acos(aim)]  # sine rule, in the plane of both
                    g = g + g.norm() * math.sin(angle[0] - angle[1]) / math.sin(angle[1]) / h.norm() * h
                    assert float(g @ h / g.norm() / h.norm()) == pytest.approx(aim, abs=1e-6)
            total += g
        torch.testing.assert_close(vector(found, p), total, rtol=1e-6, atol=1e-10)
    assert {pair: float(c) for pair, c in text.memory.items()} == pytest.approx(wanted, abs=1e-9)


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_losses_that_agree_are_summed_and_one_without_gradient_is_no_matter(seed, count):
    base = torch.rand(9, generator=seeding.generator(seed), dtype=torch.float64)
    grads = {str(i): base * (i + 1) for i in range(count)} | {"none": 0 * base}
    for found in (pcgrad(grads, (seed,)), gradvac(grads, {}, 0.01, (seed,))):
        torch.testing.assert_close(found, sum(grads.values()))


def test_masking_gives_mlm_the_numbers_that_matter_to_it_and_the_rest_to_fusion(batch, parts):
    p = pretraining("masked", flow__masked_share=0.3)
    text = TextGradient(p.model, p.config)
    for _ in range(2):  # the second time by both steps' importance, which is twice the first's
        _, found = steered(p, batch, text=text)
    mlm, fusion = text_of(parts["mlm"]), summed([text_of(parts[o]) for o in FUSION])
    weights = dict(p.model.named_parameters())
    for name, grad in fusion.items():
        own = mlm.get(name, torch.zeros_like(grad))
        importance = (weights[name].data * own).abs().flatten()
        chosen = torch.zeros(len(importance), dtype=torch.bool)
        chosen[importance.argsort(descending=True, stable=True)[: round(0.3 * len(importance))]] = True
        wanted = torch.where(chosen.view_as(grad), own, grad) + text_of(parts["itc"]).get(name, 0)
        torch.testing.assert_close(found[name], wanted, rtol=1e-9, atol=1e-11, msg=name)


@pytest.mark.parametrize("how", ["noise", "shuffled", "gradvac", "masked"])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(how, batch):
    """Threads' and those one after the other: parts are summed before anything is done that is not linear; so do layers
    that are computed again. Losses that compare within a part are left out, and of shuffled pairs the shift is a
    part's own."""
    on, seen = {"mlm": 1.0, "imlm": 0.5, "bbp": 0.7}, []
    more = batch | {"regions": batches.regions(config(how), 6, 4)}
    for count, again in ((1, False), (2, False), (2, True)):
        p = pretraining(how, data__fusion_batch=0, train__checkpoint_activations=again)
        steering = Steering(TextGradient(p.model, p.config))
        if again:
            in_parts(p, count, make_accelerator(p.config.train), more, on, KEY, steering)
        else:
            Shards(p, count, 1, contextlib.nullcontext, steering)(more, on, KEY)
        seen.append(text_of(gradients(p)))
    first, *others = seen[how == "shuffled" :]  # n pictures of a part are turned among themselves; both ways agree
    assert first
    for other in others:
        close(other, first)


@pytest.mark.parametrize("how", HOWS)
def test_a_loss_that_joins_later_is_no_part_until_then(how, batch, parts):
    p = pretraining(how)
    steering = Steering(TextGradient(p.model, p.config))
    compute = lambda on, shuffled=False: p(batch, ("mlm", "mim"), KEY)  # noqa: E731
    *_, apart = steering.backward(p, compute, WEIGHTS | {"itm": 0.0}, Tensor.backward)
    steering.combine([apart], 1, KEY)
    close({n: g for n, g in text_of(gradients(p)).items() if n in parts["mlm"]}, text_of(parts["mlm"]))


@pytest.mark.parametrize("how", HOWS)
def test_nothing_to_change_is_an_error_with_the_way_out(how):
    off = {f"objectives__{name}__weight": 0.0 for name in FUSION}
    empty = {"data__pairs": 0, "data__regions": 0}
    for idle in (batches.config(flow__fusion_gradient=how), config(how, **off), config(how, **empty)):
        with pytest.raises(ConfigError, match=rf"flow.fusion_gradient = '{how}': no fusion loss .*\+no_stop_gradient"):
            check_losses(idle)
    check_losses(config(how))
    for off in ({"objectives__mlm__weight": 0.0}, {"data__texts": 0}) if how == "masked" else ():
        with pytest.raises(ConfigError, match=r"'masked': must be another .* is off: set objectives.mlm"):
            check_losses(config(how, **off))  # without MLM no number is its own


@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_the_stop_on_the_vision_side_scales_what_fusion_teaches_the_vision_encoder(scale, batch, parts, plain):
    p = pretraining("plain", flow__image_gradient=scale)
    for loss in (*FUSION, "itc"):
        reached = any(name.startswith("vision.") for name in alone(p, batch, loss))
        assert reached == (scale > 0 or loss == "itc"), "with the stop there is no path"
    losses, found = whole(p, batch)
    assert equal(losses, plain[0])
    factor = {o: scale if o in FUSION else 1 for o in parts}
    scaled = [{n: g * (factor[o] if n.startswith("vision.") else 1) for n, g in parts[o].items()} for o in parts]
    close(found, summed(scaled))
