"""What ties the language encoder to its warm start, against naive versions: L2-SP, EWC, distillation of MLM."""

import copy

import pytest
import torch
from reference import batches
from reference.batches import ALL, STILL

from xfm.base import seeding
from xfm.config import ConfigError
from xfm.interventions.anchor import Anchor, fisher
from xfm.interventions.distillation import mlm_of
from xfm.model.batch import IGNORE
from xfm.objectives import Pretraining
from xfm.train.gradient_interventions import Steering

KEY = (0, 3)
CONFIG = batches.config(**STILL)


def moved(model, by: float = 0.1):
    other, g = copy.deepcopy(model), torch.Generator().manual_seed(9)
    for p in other.parameters():
        p.data += by * torch.randn(p.shape, generator=g, dtype=p.dtype)
    return other


@pytest.mark.parametrize("by_fisher", [False, True])
def test_the_pull_is_the_gradient_of_the_penalty_and_of_the_language_encoder_alone(by_fisher):
    start = batches.model(CONFIG)
    model, own = moved(start), [*start.text.parameters()]
    information = [torch.rand_like(p) for p in own] if by_fisher else None
    anchor = Anchor([*model.text.parameters()], own, 0.7, information)
    losses, _ = Pretraining(model, CONFIG)(batches.batch(CONFIG), ("mlm", "bbp"), KEY)
    total = torch.stack([*losses.values()]).sum()
    pairs = zip(information or [1.0] * len(own), model.text.parameters(), own, strict=True)
    penalty = 0.35 * sum((f * (w - w0.detach()) ** 2).sum() for f, w, w0 in pairs)
    weights = [*model.parameters()]
    wanted = torch.autograd.grad(total + penalty, weights, retain_graph=True, allow_unused=True)
    total.backward()
    anchor.pull()
    torch.testing.assert_close([p.grad for p in weights], [*wanted], rtol=1e-9, atol=1e-12)


def test_an_anchor_stays_where_the_weights_began_and_no_teacher_is_trained():
    config = batches.config(**STILL, init_from="stage1", flow__mlm_distillation=0.6, flow__l2sp=0.1)
    model = batches.model(config)
    steering = Steering.of(model, config, lambda: copy.deepcopy(model), None)  # type: ignore[arg-type]
    tokens = batches.texts(config).tokens
    assert steering.mlm_teacher is not None and len(steering.anchors) == 1
    before = steering.mlm_teacher(tokens, lambda states: states[:, 0])
    for p in model.parameters():
        p.data += 1
        p.grad = torch.zeros_like(p)
    steering.anchors[0].pull()
    assert all(torch.allclose(p.grad, torch.full_like(p, 0.1)) for p in model.text.parameters())
    assert torch.equal(steering.mlm_teacher(tokens, lambda states: states[:, 0]), before)
    taught = Pretraining(model, config, None, steering.mlm_teacher)
    assert {n for n, _ in taught.named_parameters()} == {f"model.{n}" for n, _ in model.named_parameters()}


def test_fishers_information_is_the_mean_square_of_the_gradient_of_what_the_model_would_draw():
    """Text by text; and its mean over draws is the Fisher information, by the sum over all answers."""
    model, tokens = batches.model(CONFIG), batches.texts(CONFIG).tokens
    found = fisher(model, [tokens], KEY)
    g, weights = seeding.generator(*KEY, "fisher"), [*model.text.parameters()]
    sums, count = [torch.zeros_like(w) for w in weights], 0
    for i in range(len(tokens.ids)):
        kept = tokens.labels[i] != IGNORE
        states = model.text(tokens.masked_ids, tokens.mask)[i, tokens.masked_at[i][kept]]
        logits = model.objectives["mlm"].head(states, model.text.word.weight)
        drawn = torch.multinomial(logits.detach().float().softmax(-1), 1, generator=g)[:, 0]
        loss = torch.nn.functional.cross_entropy(logits, drawn, reduction="sum")
        grads = torch.autograd.grad(loss, weights, allow_unused=True)
        sums = [s + (0 if grad is None else grad**2) for s, grad in zip(sums, grads, strict=True)]
        count += int(kept.sum())
    torch.testing.assert_close([*found], [total / count for total in sums], rtol=1e-4, atol=1e-10)
    assert model.training is False and all(w.grad is None for w in weights)


def test_distillation_trains_mlm_towards_the_start_and_leaves_its_loss_as_it_is():
    config = batches.config(**STILL, init_from="stage1", flow__mlm_distillation=0.6)
    start = batches.model(config)
    model, batch = moved(start), batches.batch(config)
    taught, plain = Pretraining(model, config, None, mlm_of(start)), Pretraining(model, config)
    (losses, report), (alone, said) = (p(batch, ALL, KEY) for p in (taught, plain))
    assert all(torch.equal(losses[n], loss) for n, loss in alone.items()) and losses.keys() == alone.keys()
    assert report.keys() - said.keys() == {"texts/mlm/distillation"}
    tokens, total, count = batch["texts"].tokens, 0, 0
    for i in range(len(tokens.ids)):
        places = tokens.masked_at[i][tokens.labels[i] != IGNORE]
        predicted = []
        for m in (start, model):
            states = m.text(tokens.masked_ids[i : i + 1], tokens.mask[i : i + 1])[0, places]
            predicted.append(m.objectives["mlm"].head(states, m.text.word.weight).softmax(-1))
        then, now = predicted[0].detach(), predicted[1]
        total, count = total + (then * (then / now).log()).sum(), count + len(places)
    assert report["texts/mlm/distillation"].item() == pytest.approx((total / count).item(), rel=1e-5)
    weights = [p for n, p in model.named_parameters() if n.startswith(("text.", "objectives.mlm."))]
    wanted = torch.autograd.grad(alone["texts/mlm"] + 0.6 * total / count, weights, allow_unused=True)
    found = torch.autograd.grad(losses["texts/mlm"], weights, allow_unused=True)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("field", ["l2sp", "ewc", "mlm_distillation"])
def test_without_a_warm_start_there_is_nothing_to_be_tied_to(field):
    refused = [{"init_from": ""}, {"init_from": "beit:encoder.pth"}, {"train__strategy": "fsdp"}]
    refused += [{"objectives__mlm__weight": 0.0}, {"data__texts": 0}] if field != "l2sp" else []
    said = "must be 0 without a warm start", "must be 0 without a warm start of the language", "fsdp"
    tied = {f"flow__{field}": 0.5, "init_from": "stage1"}
    for changes, why in zip(refused, (*said, *["must be 0 where MLM is off"] * 2), strict=False):
        with pytest.raises(ConfigError, match=rf"flow.{field} = 0.5: .*{why}"):
            batches.config(**tied | changes)
    for init_from in ("stage1", "stage1:text", "runs/a/seed0", "bert:folder", "beit:encoder.pth,roberta:folder"):
        assert batches.config(**tied | {"init_from": init_from}).flow.anchored == [field]
