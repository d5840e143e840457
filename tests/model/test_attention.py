"""One attention, two kernels, four functions: each is a naive loop, hides what must be hidden, drops what it should."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import batches, naive
from torch import Tensor

from xfm.explain import capture
from xfm.model import ImageTokens, attention
from xfm.model.attention import FUNCTIONS, Attention, additive
from xfm.objectives import build
from xfm.train.optimizer import parameter_groups


@pytest.mark.parametrize("explicit", [True, False], ids=["explicit", "SDPA"])
@pytest.mark.parametrize("training", [True, False])
def test_probabilities_are_dropped_in_training_alone(explicit, training, monkeypatch):
    """One key: its weight is 1, so an output is either 0 or 1 / .9 of the undropped one."""
    monkeypatch.setattr(attention, "prefers_explicit", lambda q: explicit)
    a = Attention(8, 1, memory_width=8, dropout=0.1).train(training)
    a.out = torch.nn.Identity()
    x = torch.randn(1, 4000, 8)
    value = a.value(x[:, :1])
    ratio = (a(x, None, a.project(x[:, :1])) / value).mean(-1).flatten()
    dropped = ratio.abs() < 1e-6
    torch.testing.assert_close(ratio[~dropped], torch.full_like(ratio[~dropped], 1 / 0.9 if training else 1.0))
    low, high = (0.08, 0.12) if training else (0, 0)  # four deviations
    assert low <= dropped.float().mean() <= high


def test_language_and_fusion_drop_embeddings_probabilities_and_branches_but_no_head_does_and_eval_mode_nothing(
    monkeypatch,
):
    dropped = list[tuple[float, tuple[int, ...]]]()  # (rate, shape) of every dropout that draws
    noise = lambda x, p: dropped.append((p, tuple(x.shape))) or torch.ones_like(x)  # noqa: E731
    monkeypatch.setattr("xfm.model.kernels.noise", noise)
    p, config = batches.pretraining(), batches.config()
    p(batches.batch(p.config), batches.ALL, (0, 0))
    assert not dropped
    model, batch = batches.model(config).train(), {"texts": batches.texts(config), "pairs": batches.pairs(config)}
    words, heads, width = batch["texts"].tokens, config.model.text.heads, config.model.text.width
    b, length = words.ids.shape
    layer = [(0.1, (b, heads, length, length))] + [(0.1, (b, length, width))] * 2
    hidden = model.text(words.ids, words.mask)
    assert dropped == [(0.1, (b, length, width))] + layer * 2
    dropped.clear()
    model.objectives["mlm"].head(hidden, model.text.word.weight)
    for head in (model.objectives["imlm"].logits, model.objectives["itm"].head, model.objectives["bbp"].head):
        head(hidden)
    patches = model.vision(batch["pairs"].image.double())
    assert dropped == []
    model.fusion(hidden, words.mask, ImageTokens.of_pictures(patches), torch.arange(b))
    tokens = config.model.vision.patches + 1
    cross = [(0.1, (b, heads, length, tokens)), (0.1, (b, length, width))]
    assert dropped == (layer[:2] + cross + layer[2:]) * 2


@torch.no_grad()
def test_what_is_dropped_are_the_normalised_embeddings_and_the_branches(monkeypatch):
    """With all of it dropped, a layer is its norms alone, and the embeddings are zero."""
    monkeypatch.setattr("xfm.model.kernels.noise", lambda x, p: torch.zeros_like(x))
    model, words = batches.model(batches.config()).train(), batches.words(3, 7, 1)
    assert not model.text.embed(words.ids).any()
    x, memory, bias = torch.randn(3, 7, 24).double(), torch.randn(3, 5, 32).double(), additive(words.mask)
    layer, fused = model.text.layers[1], model.fusion.layers[1]
    torch.testing.assert_close(layer(x, bias), layer.norm2(layer.norm1(x)))
    expected = fused.norm2(fused.cross_norm(fused.norm1(x)))
    torch.testing.assert_close(fused(x, bias, lambda cross: cross.project(memory)), expected)


EACH = pytest.mark.parametrize("function", FUNCTIONS)
CROSS = [f"fusion.layers.{i}.cross" for i in range(2)]


def away_from_its_start(function: str, width: int, heads: int, memory: int = 0, seed: int = 0) -> Attention:
    a = Attention(width, heads, memory, key_bias=memory > 0, function=function).double().eval()
    g = torch.Generator().manual_seed(seed)
    for name, p in a.named_parameters():
        scale = 1 if name.startswith("score") else p.shape[-1] ** -0.5
        p.data = scale * torch.randn(p.shape, generator=g, dtype=p.dtype)
    return a


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([*FUNCTIONS, "scaled_dot", "scaled_dot", "scaled_dot"]),
    st.tuples(*(st.integers(1, n) for n in (3, 4, 5, 5))),
    *[st.booleans()] * 3,
    st.integers(0, 99),
)
def test_it_is_a_loop_over_heads_queries_and_keys(function, sizes, of_memory, relative, explicit, seed):
    heads, size, queries, keys = sizes
    a = away_from_its_start(function, heads * size, heads, memory := 7 * of_memory, seed)
    a.tap = (lambda weights: weights) if explicit else None  # by one of its kernels; both draw nothing here
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(2, queries, heads * size, generator=g).double()
    m = torch.randn(2, keys, memory, generator=g).double() if memory else x
    seen = torch.rand(2, m.shape[1], generator=g) < 0.7
    seen[:, 0] = True
    bias = torch.randn(heads, queries, m.shape[1], generator=g).double() if relative else None
    added = additive(seen) if bias is None else additive(seen) + bias
    ours = a(x, added, a.project(m) if memory else None)
    a.tap = None
    for b in range(2):
        kept = None if bias is None else bias[..., seen[b]]
        torch.testing.assert_close(ours[b], naive.attend(a, x[b], m[b][seen[b]], kept), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("function", [*FUNCTIONS, "explicit", "SDPA"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_a_hidden_key_has_no_weight_and_no_gradient(function, dtype, training):
    a = Attention(8, 2, function=function if function in FUNCTIONS else "scaled_dot").to(dtype).train(training)
    weights: list[Tensor] = []
    a.tap = (lambda w: weights.append(w) or w) if function != "SDPA" else None
    x = torch.randn(3, 4, 8).to(dtype).requires_grad_()
    seen = torch.tensor([[True, True, False, False], [True] * 4, [False] * 4])
    out = a(x, additive(seen))
    assert all(not w[0, :, :, 2:].any() and w.dtype == dtype for w in weights)
    other = x.detach().clone()
    other[0, 2:] = 1e5  # however large its logit
    assert torch.equal(a(other, additive(seen))[0, :2], out[0, :2])  # exactly
    out[0, :2].sum().backward(retain_graph=True)
    assert not x.grad[0, 2:].any() and x.grad[0, :2].any()
    out.sum().backward()
    assert out.isfinite().all() and all(p.grad.isfinite().all() for p in [x, *a.parameters()])


@EACH
def test_its_gradients_are_those_of_finite_differences_and_finite_for_long_rows_of_any_size(function):
    a = away_from_its_start(function, 6, 2)
    a.score.double()
    if function == "cosine":
        a.score.log_temperature.data.copy_(torch.tensor([-2.0, -1.0]))  # within its range
    x, names = torch.randn(2, 3, 6).double().requires_grad_(), [n for n, _ in a.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(a, dict(zip(names, parameters, strict=True)), (x,))

    torch.autograd.gradcheck(run, (x, *a.parameters()))
    for scale in (0.0, 1e-20, 1.0, 1e4):
        a = Attention(16, 2, memory_width=8, function=function).train()
        x, m = ((scale * torch.randn(1, n, w)).requires_grad_() for n, w in ((3, 16), (4096, 8)))
        out = a(x, additive(torch.arange(4096)[None] < 4000), a.project(m))
        out.square().sum().backward()
        assert out.isfinite().all() and all(p.grad.isfinite().all() for p in [x, m, *a.parameters()])


@EACH
def test_parameters_start_as_documented_and_never_decay(function):
    config = batches.config(model__cross_attention=function)
    heads, size = config.model.text.heads, config.model.text.width // config.model.text.heads
    model, plain = build(config), dict(build(batches.config()).named_parameters())
    added = {name: p for name, p in model.named_parameters() if name not in plain}
    starts = {
        "general": lambda p: torch.equal(p, torch.eye(size).expand(heads, -1, -1)),
        "additive": lambda p: p.abs().max() <= size**-0.5 and p.std() > 0.3 * size**-0.5,
        "cosine": lambda p: torch.allclose(p.exp(), torch.full((heads,), 0.1)),
    }
    assert all(starts[function](p) for p in added.values())
    own = {*map(id, added.values())}
    groups = [g for g in parameter_groups(model, config.train) if own & {id(p) for p in g["params"]}]
    assert {(g["weight_decay"], g["scale"]) for g in groups} <= {(0.0, 1.0)}


@EACH
def test_its_weights_and_their_gradients_are_captured(function):
    model, image = batches.model(batches.config(model__cross_attention=function)), torch.randn(2, 16, 32).double()
    with capture(model, "fusion.layers.*.cross", gradients=True) as captured:
        out = model.fusion(torch.randn(2, 5, 24).double(), torch.ones(2, 5).bool(), ImageTokens.of_pictures(image),
                           torch.arange(2))  # fmt: skip
        captured.differentiate(out[:, 0].square().sum())
    assert list(captured.weights) == CROSS and all(captured.gradients[name].any() for name in CROSS)
    assert all(torch.allclose(w.sum(-1), torch.ones(2, 2, 5).double()) for w in captured.weights.values())
