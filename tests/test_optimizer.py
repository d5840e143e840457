"""Decay groups and rates as the published code's, on torch's AdamW."""

import copy
import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import batches

from xfm import recipes
from xfm.config import ConfigError, TrainConfig
from xfm.config.training import Precision
from xfm.model import XFM
from xfm.objectives import OBJECTIVES, build
from xfm.train.optimizer import make_optimizer, orthogonalised, parameter_groups, rate, set_rate

V, D, BLOCKS = 50265, 768, 12
NO_DECAY, DECAY = 0.0, 0.01


def by_name(model: XFM, groups: list[dict]) -> dict[str, dict]:
    names = {id(p): n for n, p in model.named_parameters()}
    return {names[id(p)]: g for g in groups for p in g["params"]}


def test_groups_at_base_are_the_published_ones_without_what_pretraining_never_uses() -> None:
    """Published, without a checkpoint: 279, 455, 9 and 8 tensors. We lack two captioning heads of 2 and 4 such tensors,
    the fusion encoder's two tables and embedding LayerNorm; query, key and value of a vision block are apart."""
    config = recipes.base()
    with torch.device("meta"):
        model = XFM(config.model, {name: objective(config) for name, objective in OBJECTIVES.items()})
    heads = {"decay": D * D + V * D, "no decay": D + 2 * D + V}  # dense, decoder | biases, LayerNorm
    groups = [(g["weight_decay"], g["scale"], g["params"]) for g in parameter_groups(model, config.train)]
    assert {(decay, scale): (len(of), sum(p.numel() for p in of)) for decay, scale, of in groups} == {
        (DECAY, 1.0): (279 - 2 * 2 - 2 + 2 * BLOCKS, 441_289_728 - 2 * heads["decay"] - (514 + 1) * D),
        (NO_DECAY, 1.0): (455 - 2 * 4 - 2, 726_564 - 2 * heads["no decay"] - 2 * D),
        (DECAY, 2.0): (9, 2_764_801),
        (NO_DECAY, 2.0): (8, 6_662),
    }


def test_each_parameter_is_in_one_group_with_its_rate_and_the_exceptions_are_where_they_are_documented() -> None:
    model = batches.model(batches.config(flow__mim_target="pixels", model__vision__absolute_positions=True))
    train = TrainConfig(steps=10, warmup=4, lr=1e-2)
    adamw = make_optimizer(model, train)
    assert set_rate(adamw, train, 1) == pytest.approx(4e-3)
    grouped = by_name(model, adamw.param_groups)
    assert grouped.keys() == dict(model.named_parameters()).keys()
    assert sum(len(g["params"]) for g in adamw.param_groups) == len(grouped), "each once"
    for name, g in grouped.items():
        new = name.startswith("objectives.") and name.split(".")[1] in ("itc", "itm", "bbp", "mim")
        kept = name.endswith("bias") or ".relative_bias." in name or (".norm" in name or "_norm." in name)
        assert (g["scale"], g["weight_decay"]) == (2.0 if new else 1.0, NO_DECAY if kept else DECAY), name
        assert g["lr"] == pytest.approx(4e-3 * g["scale"]) and (g["betas"], g["eps"]) == ((0.9, 0.98), train.eps)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (10, 0), (7, 6), (5, 50), (1, 0)])
def test_the_rate_warms_up_linearly_then_falls_to_nothing(schedule, steps: int, warmup: int) -> None:
    train = TrainConfig(steps=steps, warmup=warmup, lr=2.0, schedule=schedule)
    for s in range(steps):
        left = 1 - (s - warmup) / (steps - warmup) if steps > warmup else 0.0
        falling = 2.0 * (left if schedule == "linear" else (1 - math.cos(math.pi * left)) / 2)
        assert rate(train, s) == pytest.approx(2.0 * (s + 1) / (warmup + 1) if s < warmup else falling) and falling >= 0
    assert steps < warmup or (rate(train, warmup) == 2.0 and rate(train, steps) == pytest.approx(0, abs=1e-12))


def test_a_language_encoder_with_a_rate_of_its_own_or_layer_by_layer_and_one_that_is_frozen() -> None:
    model = batches.model(batches.config(model__text__depth=3))

    def scales(**changes: float) -> dict[str, float]:
        groups = make_optimizer(model, TrainConfig(**changes)).param_groups
        return {name: g["scale"] for name, g in by_name(model, groups).items()}

    plain, decayed = scales(), scales(text_layer_decay=0.5, text_lr_scale=0.8)
    text = {name for name in plain if name.startswith("text.")}
    for name, scale in decayed.items():  # no other parameter's rate moves
        layer = int(name.split(".")[2]) if name.startswith("text.layers.") else -1
        assert scale == pytest.approx(0.8 * 0.5 ** (2 - layer) if name in text else plain[name]), name
    frozen, still = make_optimizer(model, TrainConfig(text_lr_scale=0.0)), copy.deepcopy(model.state_dict())
    set_rate(frozen, TrainConfig(), 50)
    give_the_same_gradients([model])
    frozen.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, still[name])}
    assert moved == plain.keys() - text  # not even weight decay


def give_the_same_gradients(models: list[XFM]) -> None:
    for each in zip(*(m.parameters() for m in models), strict=True):
        grad = torch.randn_like(each[0])
        for p in each:
            p.grad = grad.clone()


def stepped(models: list[XFM], train: TrainConfig, plain: TrainConfig, other: Any, own: float) -> None:
    """Three steps of the first two models by ours, resumed in between, and of the third by torch's."""
    ours, adamw = make_optimizer(models[0], train), make_optimizer(models[1], plain)
    for step in range(3):
        give_the_same_gradients(models)
        assert set_rate(ours, train, step) == set_rate(adamw, train, step)
        other.param_groups[0]["lr"] = own * rate(train, step) / train.lr
        for optimizer in (ours, adamw, other):
            optimizer.step()
        restored = make_optimizer(models[0], train)
        restored.load_state_dict(copy.deepcopy(ours.state_dict()))
        ours = restored


def test_the_language_encoder_by_sgd_is_torchs_and_the_rest_by_adamw_as_ever() -> None:
    plain = TrainConfig(steps=9, warmup=2, lr=1e-3, weight_decay=0.0)
    models = [batches.model(batches.config()) for _ in range(3)]
    sgd = torch.optim.SGD(models[2].text.parameters(), lr=1.0, momentum=0.7)
    stepped(models, replace(plain, text_sgd_lr=0.05, text_momentum=0.7), plain, sgd, 0.05)
    ours, by_adamw, by_sgd = (dict(model.named_parameters()) for model in models)
    for name, p in ours.items():
        wanted = by_sgd if name.startswith("text.") else by_adamw
        torch.testing.assert_close(p, wanted[name], rtol=1e-9, atol=1e-12, msg=name)


def test_sgd_decays_weights_as_adamw_does() -> None:
    """A step takes as much of a weight, whatever SGD's own rate; and nothing of what AdamW leaves alone either."""
    train = TrainConfig(steps=9, warmup=0, weight_decay=0.5, lr=1e-3, text_sgd_lr=0.3, text_lr_scale=0.5)
    model = batches.model(batches.config())
    twin, before = make_optimizer(model, train), copy.deepcopy(dict(model.text.named_parameters()))
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    for step in range(2):
        set_rate(twin, train, step)
        twin.step()
    left = math.prod(1 - 0.5 * 0.5 * rate(train, step) for step in range(2))
    for name, p in model.text.named_parameters():
        kept = before[name] * (1.0 if "bias" in name or "norm" in name else left)
        torch.testing.assert_close(p, kept, rtol=1e-9, atol=0.0, msg=name)


MUON = TrainConfig(steps=9, warmup=2, lr=1e-3, weight_decay=0.1, muon_lr=5e-3)


def in_a_layer(name: str, p: torch.Tensor) -> bool:
    return p.ndim == 2 and bool(re.match(r"(vision\.blocks|(text|fusion)\.layers)\.\d", name))


@pytest.mark.parametrize("function", ["scaled_dot", "additive"])
def test_muon_has_the_matrices_of_the_layers_and_adamw_all_else(function: str) -> None:
    model = batches.model(batches.config(model__cross_attention=function))
    by = {name: g["optimizer"] for name, g in by_name(model, parameter_groups(model, MUON)).items()}
    matrices = {n for n, p in model.named_parameters() if in_a_layer(n, p) and ".score." not in n}
    assert {n for n, o in by.items() if o == "muon"} == matrices and {*by.values()} == {"adamw", "muon"}
    both = {g["optimizer"] for g in parameter_groups(model, replace(MUON, text_sgd_lr=0.1)) if g["params"]}
    assert both == {"adamw", "muon", "sgd"}
    with pytest.raises(ConfigError, match=r"train\.muon_lr = 0\.005: must be 0 with train\.strategy fsdp"):
        replace(MUON, strategy="fsdp")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_muon_is_torchs_the_rest_is_adamw_as_ever_and_a_resume_changes_nothing(precision: Precision) -> None:
    """To the bit in torch's dtype, bf16; and near it in fp32."""
    models = [batches.model(batches.config()).float() for _ in range(3)]
    matrices = {n: p for n, p in models[2].named_parameters() if in_a_layer(n, p)}
    muon = torch.optim.Muon([*matrices.values()], lr=1.0, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    stepped(models, replace(MUON, precision=precision), replace(MUON, muon_lr=0.0), muon, MUON.muon_lr)
    plain = dict(models[1].named_parameters())
    for name, p in models[0].named_parameters():
        near = 5e-4 if name in matrices and precision == "fp32" else 0
        torch.testing.assert_close(p, matrices.get(name, plain[name]), rtol=0, atol=near, msg=name)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_muon_by_several_threads_is_muon_by_one(precision: Precision) -> None:
    """To the bit, at the demo's size; also where a shape has fewer matrices than there are threads."""
    models, train = [build(recipes.demo()) for _ in range(3)], replace(recipes.demo().train, precision=precision)
    for model in models:
        model.load_state_dict(models[0].state_dict())
    optimizers = [make_optimizer(m, replace(train, shards=n)) for m, n in zip(models, (1, 2, 11), strict=True)]
    for _ in range(2):
        give_the_same_gradients(models)
        for optimizer in optimizers:
            optimizer.step()
    for one, *others in zip(*(model.parameters() for model in models), strict=True):
        assert all(torch.equal(one, p) for p in others)


SIZES = st.integers(2, 40)


@given(st.tuples(SIZES, SIZES), st.integers(0, 2**31), st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_matrix_is_made_nearly_orthogonal(shape: tuple[int, int], seed: int, dtype: torch.dtype) -> None:
    """Against its singular value decomposition, which Newton and Schulz approximate; whatever its size."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    (found,) = orthogonalised(matrix[None], dtype)
    assert found.dtype == dtype and found.shape == shape
    inside = left.mT @ found.float() @ right.mT
    raised = inside.diagonal()[values > 0.1 * values.max()]  # lesser ones take longer
    assert raised.min() > 0.6 and raised.max() < 1.2
    assert (inside - inside.diagonal().diag()).abs().max() < (0.1 if dtype == torch.bfloat16 else 1e-4)
    assert torch.equal(orthogonalised(1024 * matrix[None], dtype)[0], found)  # a power of two: no other rounding
    beside = torch.stack([100 * torch.randn(shape), matrix, torch.zeros(shape)])
    near = {"rtol": 0.0, "atol": 0.02 if dtype == torch.bfloat16 else 1e-4}
    torch.testing.assert_close(orthogonalised(beside, dtype)[1], found, **near)
