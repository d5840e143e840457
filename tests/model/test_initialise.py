"""Initial weights: the paper's scheme, and each a function of (seed, its name) alone."""

import math

import pytest
import torch
from reference import batches
from torch import Tensor

from xfm.model import XFM, initialise
from xfm.model.batch import PAD
from xfm.model.vision import sine_cosine
from xfm.objectives import OBJECTIVES, build

WIDE = {"model__vision__width": 192, "model__text__width": 144, "model__text__vocabulary": 400}


def weights(seed: int = 0, **changes) -> dict[str, Tensor]:
    config = batches.config(model__init_std=0.05, seed=seed, **changes)
    return {name: p.detach() for name, p in build(config).named_parameters()}


def std_is(tensor: Tensor, std: float) -> bool:
    """Within five deviations of what a normal's sample deviation has."""
    return abs(tensor.std().item() / std - 1) < 5 / math.sqrt(2 * tensor.numel())


def test_the_scheme():
    made = weights(**WIDE)
    for name, p in made.items():
        last, kind = name.rsplit(".", 1)[-1], name.split(".")
        if "norm" in kind[-2] or kind[-3:-1] == ["head", "1"]:
            assert (p == (last == "weight")).all(), name
        elif last in ("gamma1", "gamma2"):
            assert (p == torch.tensor(0.1)).all(), name
        elif last == "temperature":
            assert p == torch.tensor(0.07)
        elif "relative_bias" in name:
            assert not p.any(), name
        elif "patch_embed" in name or (kind[0] == "objectives" and kind[1] in ("itc", "itm", "bbp")):
            bound = made[name.replace("bias", "weight")].shape[1] ** -0.5  # PyTorch's Linear
            assert p.abs().max() <= bound and (len(p) < 5 or std_is(p, bound / 3**0.5)), name
        elif last == "bias":
            assert not p.any(), name
        elif kind[-2] in ("word", "position"):
            assert not p[PAD].any() and std_is(torch.cat([p[:PAD], p[PAD + 1 :]]), 0.05), name
        elif kind[:2] == ["vision", "blocks"] and (kind[-2] in ("out", "fc2")):
            assert std_is(p, 0.05 / (2 * (int(kind[2]) + 1)) ** 0.5), name
        else:
            assert std_is(p, 0.05), name


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> set[str]:
    return {n for n in a.keys() & b.keys() if torch.equal(a[n], b[n])}


def test_another_head_or_another_objective_changes_no_other_weight():
    plain, pixels = weights(), weights(flow__mim_target="pixels")
    assert pixels.keys() - plain.keys() == {"objectives.mim.head.weight", "objectives.mim.head.bias"}
    assert same(plain, pixels) == set(plain)
    config = batches.config(model__init_std=0.05)
    for gone in OBJECTIVES:
        model = XFM(config.model, {n: objective(config) for n, objective in OBJECTIVES.items() if n != gone})
        initialise(model, 0)
        fewer = dict(model.named_parameters())
        assert same(plain, fewer) == set(fewer) and not any(n.startswith(f"objectives.{gone}.") for n in fewer)


def test_another_seed_draws_everything_anew_and_the_same_seed_the_same():
    first, again, other = weights(0), weights(0), weights(1)
    assert same(first, again) == set(first)
    drawn = {n for n, p in first.items() if p.min() < p.max() and not n.endswith("positions")}
    assert not drawn & same(first, other)
    assert len({p.flatten()[:3].sum().item() for n, p in first.items() if n in drawn}) == len(drawn)  # no two alike


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_weights_do_not_depend_on_the_dtype_of_the_model(dtype):
    model = build(batches.config(model__init_std=0.05)).to(dtype)
    initialise(model, 0)
    for name, p in weights().items():
        torch.testing.assert_close(model.get_parameter(name).float(), p, rtol=1e-2, atol=1e-3, msg=name)
    table = weights(model__vision__absolute_positions=True)["vision.positions"]
    torch.testing.assert_close(table, sine_cosine(4, 32))
