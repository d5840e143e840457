"""The gradient table: the routing of X-FM, measured; its parts add up to the gradient of a training step."""

import math

import pytest
import torch
from reference import batches
from reference.batches import NO_STOP

from xfm.diagnostics.gradient_table import GradientTable, gradient_table, module_names, objective_gradients
from xfm.objectives import OBJECTIVES, weighted_sum

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
