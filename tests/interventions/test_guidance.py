"""The targets of masked image modelling beyond the paper's: what they are, how they move, on what scale they are."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from reference import batches
from reference.batches import ALL, STILL
from torch import Tensor

from xfm.config import AVERAGED, ConfigError
from xfm.interventions.ema import EmaTeacher
from xfm.objectives import Pretraining
from xfm.train.gradient_interventions import Steering

KEY = (0, 3)


def made(target: str, **changes) -> tuple[Pretraining, EmaTeacher | None]:
    c = batches.config(**STILL, flow__mim_target=target, flow__prototypes=7, **changes)
    model = batches.model(c)
    teacher = Steering.of(model, c, lambda: copy.deepcopy(model), None).teacher  # type: ignore[arg-type]
    return Pretraining(model, c, teacher).train(), teacher


def shift(model, by: float) -> None:
    for p in model.parameters():
        p.data += by


@pytest.mark.parametrize("target", AVERAGED)
def test_an_average_follows_the_weights_and_is_no_part_of_the_model(target):
    p, teacher = made(target, flow__ema_momentum=0.8)
    start = {n: t.clone() for n, t in teacher.state_dict().items()}
    own = {n: w for n, w in p.model.named_parameters() if n.startswith("vision.")}
    assert all(torch.equal(start[n], w) for n, w in own.items())
    wanted = {n: w.detach().clone() for n, w in own.items()}
    for _ in range(3):
        shift(p.model, 0.1)
        teacher.update()
        wanted = {n: 0.8 * w + 0.2 * own[n].detach() for n, w in wanted.items()}
    torch.testing.assert_close({n: w for n, w in teacher.state_dict().items() if n in wanted}, wanted)
    assert {n for n, _ in p.named_parameters()} == {f"model.{n}" for n, _ in p.model.named_parameters()}


def test_the_averages_outputs_are_the_target_and_without_it_a_model_can_still_be_looked_at():
    p, teacher = made("ema")
    shift(p.model, 0.05)
    batch = batches.batch(p.config)
    flow = p.flow(batch, "images", ("mim",), KEY)
    with torch.no_grad():
        wanted, own = teacher.average["vision"](flow.pictures), p.model.vision(flow.pictures)
    assert torch.equal(flow.mim_target.patches, wanted) and not torch.allclose(wanted, own)
    assert torch.equal(flow.mim_target.pooled, wanted.mean(1)) and not flow.mim_target.patches.requires_grad
    for target in AVERAGED:
        p, teacher = made(target)
        shift(teacher.average["vision"], 0.1)
        losses, plain = (q(batch, ALL, KEY)[0] for q in (p, Pretraining(p.model, p.config).train()))
        assert plain["images/mim"].isfinite() and plain["images/mim"].requires_grad
        assert {n for n in plain if not torch.equal(losses[n], plain[n])} == {"pairs/mim", "images/mim"}


@pytest.mark.parametrize("top", [1, 2])
def test_data2vecs_target_is_the_mean_of_the_top_layers_each_normalised(top):
    p, teacher = made("data2vec", flow__top_layers=top)
    flow, states = p.flow(batches.batch(p.config), "images", ("mim",), KEY), list[Tensor]()
    for block in teacher.average["vision"].blocks:
        block.register_forward_hook(lambda module, inputs, output: states.append(output[:, 1:]))
    with torch.no_grad():
        teacher.average["vision"](flow.pictures)
    normalised = [F.layer_norm(x, x.shape[-1:]) for x in states[-top:]]
    wanted = F.layer_norm(sum(normalised) / top, normalised[0].shape[-1:])
    torch.testing.assert_close(flow.mim_target.patches, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("target", ["self", "ema", "data2vec", "pixels"])
def test_on_one_scale_a_prediction_of_nothing_costs_one_and_there_is_one_term(target):
    p, _ = made(target, flow__standardise_target=True)
    mim, batch = p.eval().model.objectives["mim"], batches.batch(p.config)
    flow = p.flow(batch, "images", ("mim",), KEY)
    predicted, wanted = mim.compared(flow)
    ones = torch.ones(wanted.patches.shape[:2]).double()
    torch.testing.assert_close(wanted.patches.mean(-1), 0 * ones, rtol=0, atol=1e-6)
    torch.testing.assert_close(wanted.patches.std(-1), ones, rtol=1e-4, atol=0)
    out, hidden = mim(flow), flow.batch.image_mask
    torch.testing.assert_close(out.loss, (predicted - wanted.patches)[hidden].square().mean(), rtol=1e-9, atol=1e-11)
    assert wanted.pooled is None and out.report.keys() == {"patch", "constant"}


@pytest.mark.parametrize("one_scale", [False, True])
def test_ibots_loss_is_a_cross_entropy_with_the_sharpened_centred_average(one_scale):
    p, teacher = made("ibot", flow__standardise_target=one_scale)
    teacher.centre.copy_(torch.linspace(-0.2, 0.2, 7))
    shift(p.model.objectives["mim"], 0.3)
    batch = batches.batch(p.config)["images"]
    out = p.model.objectives["mim"](p.flow({"images": batch}, "images", ("mim",), KEY))
    own, average = p.model.objectives["mim"].head.weight, teacher.average["objectives.mim.head"].weight
    losses, targets = [], []
    for image, mask in zip(batch.image.double(), batch.image_mask, strict=True):
        student = p.model.vision(image[None], mask[None])[0]
        token = teacher.average["vision"](image[None])[0]
        for j in mask.nonzero()[:, 0].tolist():
            cosines = [F.cosine_similarity(x[j][None], w) for x, w in ((student, own), (token, average))]
            logp = (cosines[0] / 0.1).log_softmax(0)
            target = ((cosines[1] - teacher.centre) / 0.04).softmax(0).detach()
            targets.append(target)
            losses.append(-(target * logp).sum())
    unit = math.log(7) if one_scale else 1.0
    assert out.loss.item() == pytest.approx(torch.stack(losses).mean().item() / unit, rel=1e-5)
    mean = torch.stack(targets).mean(0)
    assert out.report["constant"].item() == pytest.approx(-(mean * mean.log()).sum().item() / unit, rel=1e-5)
    out.loss.backward()
    assert own.grad.any() and all(w.grad is None for part in teacher.average.values() for w in part.parameters())


def test_the_centre_is_a_moving_average_of_what_training_saw_and_of_nothing_else():
    p, teacher = made("ibot")
    batch, centre = batches.batch(p.config), torch.zeros(7)
    for step in range(2):
        shift(p.model, 0.02)
        p.train()(batch, ("mim",), (0, step))
        before, head = teacher.centre.clone(), teacher.average["objectives.mim.head"].weight
        pictures = torch.cat([batch[stream].image.double() for stream in ("pairs", "images")])
        tokens = F.normalize(teacher.average["vision"](pictures).flatten(0, 1), dim=-1)
        seen = (tokens @ F.normalize(head, dim=-1).T).mean(0).detach()
        p.eval()(batch, ("mim",), (0, "validation"))
        assert torch.equal(teacher.centre, before), "within a step it stays"
        teacher.update()
        centre = 0.9 * centre + 0.1 * seen
        torch.testing.assert_close(teacher.centre.float(), centre.float(), rtol=1e-5, atol=1e-7)
    still = teacher.centre.clone()
    teacher.update()
    assert torch.equal(teacher.centre, still), "a step without MIM moves it not"


def test_what_does_not_fit_is_refused_and_without_mim_there_is_no_average():
    with pytest.raises(ConfigError, match=r"flow.top_layers = 3: must be at most 2"):
        batches.config(flow__mim_target="data2vec", flow__top_layers=3)
    for name in AVERAGED:
        with pytest.raises(ConfigError, match=rf"flow.mim_target = '{name}': .* train.strategy fsdp"):
            batches.config(flow__mim_target=name, train__strategy="fsdp")
    assert made("ema", objectives__mim__weight=0.0)[1] is None
