"""Every attention function is its formula, hides what must be hidden, and is chosen by one field of the config."""

import math
import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import batches, naive
from torch import Tensor

from xfm import recipes
from xfm.base import seeding
from xfm.config import AttentionFunction, ConfigError
from xfm.explain import capture
from xfm.explain.attention_capture import attentions
from xfm.model import ImageTokens, initialise
from xfm.model.attention import FUNCTIONS, Attention, Cosine, additive
from xfm.objectives import build
from xfm.recipes import prior_runs
from xfm.recipes.specialists import parameters
from xfm.train.optimizer import parameter_groups

EACH = pytest.mark.parametrize("function", FUNCTIONS)
CROSS = [f"fusion.layers.{i}.cross" for i in range(2)]


def away_from_its_start(function: str, width: int, heads: int, memory: int = 0, seed: int = 0) -> Attention:
    """In float64 and eval mode."""
    a, g = Attention(width, heads, memory, function=function).double().eval(), torch.Generator().manual_seed(seed)
    for name, p in a.named_parameters():
        scale = 1 if name.startswith("score") else p.shape[-1] ** -0.5
        p.data = scale * torch.randn(p.shape, generator=g, dtype=p.dtype)
    return a


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([*FUNCTIONS, "scaled_dot"]),
    st.tuples(*(st.integers(1, n) for n in (3, 4, 5, 5))),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_a_function_is_a_loop_over_heads_queries_and_keys(function, sizes, of_memory, relative, seed):
    heads, size, queries, keys = sizes
    a = away_from_its_start(function, heads * size, heads, memory := 7 * of_memory, seed)
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(2, queries, heads * size, generator=g).double()
    m = torch.randn(2, keys, memory, generator=g).double() if memory else x
    seen = torch.rand(2, m.shape[1], generator=g) < 0.7
    seen[:, 0] = True
    bias = torch.randn(heads, queries, m.shape[1], generator=g).double() if relative else None
    added = additive(seen) if bias is None else additive(seen) + bias
    ours = a(x, added, a.project(m) if memory else None)
    for b in range(2):
        kept = None if bias is None else bias[..., seen[b]]
        torch.testing.assert_close(ours[b], naive.attend(a, x[b], m[b][seen[b]], kept), rtol=1e-9, atol=1e-11)


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_a_hidden_key_has_no_weight_and_no_gradient(function, dtype, training):
    """And a row of hidden keys stays finite."""
    a, weights = Attention(8, 2, function=function).to(dtype).train(training), []
    a.tap = lambda w: weights.append(w) or w
    x = torch.randn(3, 4, 8).to(dtype).requires_grad_()
    seen = torch.tensor([[True, True, False, False], [True] * 4, [False] * 4])
    out = a(x, additive(seen))
    assert not weights[0][0, :, :, 2:].any() and weights[0].dtype == dtype
    other = x.detach().clone()
    other[0, 2:] = 1e5  # however large its logit
    assert torch.equal(a(other, additive(seen))[0, :2], out[0, :2])  # exactly
    out[0, :2].sum().backward(retain_graph=True)
    assert not x.grad[0, 2:].any() and x.grad[0, :2].any()
    out.sum().backward()
    assert out.isfinite().all() and all(p.grad.isfinite().all() for p in [x, *a.parameters()])


@EACH
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e4])
def test_gradients_are_finite_for_long_rows_of_any_size(function, scale):
    a = Attention(16, 2, memory_width=8, function=function).train()
    x, m = (scale * torch.randn(1, n, w) for n, w in ((3, 16), (4096, 8)))
    for t in (x, m):
        t.requires_grad_()
    out = a(x, additive(torch.arange(4096)[None] < 4000), a.project(m))
    out.square().sum().backward()
    assert out.isfinite().all() and all(p.grad.isfinite().all() for p in [x, m, *a.parameters()])


@EACH
def test_its_gradients_are_those_of_finite_differences(function):
    a = away_from_its_start(function, 6, 2)
    a.score.double()
    if function == "cosine":
        a.score.log_temperature.data.copy_(torch.tensor([-2.0, -1.0]))  # within its range
    x, names = torch.randn(2, 3, 6).double().requires_grad_(), [n for n, _ in a.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(a, dict(zip(names, parameters, strict=True)), (x,))

    torch.autograd.gradcheck(run, (x, *a.parameters()))


def test_a_temperature_is_clamped_and_can_leave_its_bounds_again():
    score = Cosine(2, 4)
    q, k = torch.randn(2, 1, 2, 3, 4).unbind()
    for low in (True, False):
        bound = Cosine.RANGE[0 if low else 1]
        score.log_temperature.data.fill_(math.log(bound) + (-3 if low else 3))
        score.zero_grad()
        logits = score(q, k)
        torch.testing.assert_close(logits, torch.cosine_similarity(q[..., None, :], k[..., None, :, :], -1) / bound)
        logits.sum().backward()
        assert score.log_temperature.grad.all()


def test_the_field_is_of_the_cross_attention_alone_and_by_default_nothing_is_added():
    plain = batches.model(batches.config())
    assert not any("score" in name for name, _ in plain.named_parameters())
    for function in FUNCTIONS:
        model = build(batches.config(model__cross_attention=function))
        own = {name for name, a in attentions(model).items() if type(a.score) is FUNCTIONS[function]}
        assert own == set(CROSS)
        assert sum(a.score is None for a in attentions(model).values()) == len(attentions(model)) - 2


@EACH
def test_parameters_are_as_many_as_documented_start_as_documented_and_never_decay(function):
    config = batches.config(model__cross_attention=function)
    heads, size = config.model.text.heads, config.model.text.width // config.model.text.heads
    model, plain = build(config), dict(build(batches.config()).named_parameters())
    added = {name: p for name, p in model.named_parameters() if name not in plain}
    counts = {"dot": 0, "general": heads * size**2, "additive": heads * size, "cosine": heads}
    assert sum(p.numel() for p in added.values()) == 2 * counts[function]
    assert all(torch.equal(p, plain[name]) for name, p in model.named_parameters() if name in plain)
    for p in added.values():
        if function == "general":
            assert torch.equal(p, torch.eye(size).expand(heads, -1, -1))
        if function == "additive":
            assert p.abs().max() <= size**-0.5 and p.std() > 0.3 * size**-0.5
        if function == "cosine":
            torch.testing.assert_close(p.exp(), torch.full((heads,), 0.1))
    groups = [
        g for g in parameter_groups(model, config.train) if {id(p) for p in g["params"]} & {*map(id, added.values())}
    ]
    assert {(g["weight_decay"], g["scale"]) for g in groups} <= {(0.0, 1.0)}
    drawn = {name: p.detach().clone() for name, p in added.items()}
    for p in added.values():
        p.data.zero_()
    initialise(model, config.seed)
    assert all(torch.equal(p, drawn[name]) for name, p in added.items())


def test_the_counts_of_parameters_are_those_of_the_page():
    page = (Path(__file__).parents[2] / "docs" / "ablations.md").read_text("utf-8")
    for function in FUNCTIONS:
        (row,) = re.findall(rf"^\| `{function}` \|.* ([\d,]+) \| ([\d,]+) \|$", page, re.M)
        added = [parameters(recipes.get(f"{r}+{function}")) - parameters(recipes.get(r)) for r in ("demo", "base")]
        assert tuple(f"{count:,}" for count in added) == row
    q, k = torch.randn(2, 3, 2, 5, 4, generator=seeding.generator("starts")).unbind()
    assert torch.equal(FUNCTIONS["general"](2, 4)(q, k), FUNCTIONS["dot"](2, 4)(q, k)), "the bilinear form starts as it"


@EACH
@torch.no_grad()
def test_the_fusion_encoder_is_what_each_text_makes_of_its_own_item(function):
    model = batches.model(batches.config(model__cross_attention=function))
    grids, words = torch.randn(3, 16, 32).double(), batches.words(4, 5, 1)
    text, item = torch.randn(4, 5, 24).double(), torch.tensor([2, 0, 0, 1])
    for training in (False, True):
        out = model.train(training).fusion(text, words.mask, ImageTokens.of_pictures(grids), item)
        if training:
            continue  # drops at random; that it runs packed is enough
        for n, mask in enumerate(words.mask):
            expected = naive.fuse(model, text[n][mask], naive.tokens(grids[item[n]]))
            torch.testing.assert_close(out[n][mask], expected, rtol=1e-9, atol=1e-11)


@EACH
def test_its_weights_and_their_gradients_are_captured_and_a_step_in_bf16_learns_it(function):
    model = batches.model(batches.config(model__cross_attention=function))
    text, grids = torch.randn(2, 5, 24).double(), torch.randn(2, 16, 32).double()
    mask, run = torch.ones(2, 5).bool(), ImageTokens.of_pictures(grids)
    plain = model.fusion(text, mask, run, torch.arange(2))
    with capture(model, "fusion.layers.*.cross", gradients=True) as captured:
        out = model.fusion(text, mask, run, torch.arange(2))
        captured.differentiate(out[:, 0].square().sum())
    assert list(captured.weights) == CROSS
    torch.testing.assert_close(out, plain)
    p = batches.pretraining(model__cross_attention=function, model__text__dropout=0.0).float().train()
    with torch.autocast("cpu", torch.bfloat16):
        losses, _ = p(batches.batch(p.config), batches.ALL, (0, 0))
    sum(losses.values()).backward()
    for name in CROSS:
        assert captured.weights[name].shape == (2, 2, 5, 17) and captured.gradients[name].any()
        torch.testing.assert_close(captured.weights[name].sum(-1), torch.ones(2, 2, 5).double())
        for parameter in p.model.get_submodule(name).parameters():
            assert parameter.grad.isfinite().all() and parameter.grad.any()


def test_a_name_that_is_none_is_refused_and_an_ablation_has_its_name_and_shares_the_warm_start():
    assert get_args(AttentionFunction) == ("scaled_dot", *FUNCTIONS)
    with pytest.raises(ConfigError, match=r"model\.cross_attention = 'cosin': .*did you mean 'cosine'"):
        batches.config(model__cross_attention="cosin")
    plain = recipes.get("demo+stage1")
    for function in FUNCTIONS:
        config = recipes.get(f"demo+stage1+{function}")
        assert config.model.cross_attention == function and config.fingerprint != plain.fingerprint
        assert prior_runs.stage1(config).fingerprint == prior_runs.stage1(plain).fingerprint
