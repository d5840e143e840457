"""One attention, two kernels: both are a naive loop's, hide what must be hidden, and drop what is documented."""

import math

import pytest
import torch
from reference import batches, naive
from torch import Tensor

from xfm.model import ImageTokens, attention
from xfm.model.attention import HIDDEN, Attention, additive

KERNELS = pytest.mark.parametrize("explicit", [True, False], ids=["explicit", "SDPA"])
GRID = [(1, 1, 1, 8, 0), (2, 3, 5, 12, 7), (4, 6, 6, 16, 0), (3, 1, 4, 12, 12)]  # heads, queries, keys, width, memory


def through(a: Attention, explicit: bool, *inputs) -> Tensor:
    """The attention by one of its kernels; both draw nothing here."""
    a.tap, tap = (lambda weights: weights) if explicit else None, a.tap
    try:
        return a(*inputs)
    finally:
        a.tap = tap


@pytest.mark.parametrize(("heads", "queries", "keys", "width", "memory"), GRID)
@pytest.mark.parametrize("bias", ["none", "learnt", "mask"])
@KERNELS
def test_it_is_a_loop_over_heads_and_queries(heads, queries, keys, width, memory, bias, explicit):
    a = Attention(width, heads, memory, key_bias=memory > 0).double().eval()
    x = torch.randn(2, queries, width).double()
    m = torch.randn(2, keys, memory).double() if memory else x
    added = None
    if bias == "learnt":
        added = torch.randn(heads, queries, m.shape[1]).double()
    if bias == "mask":
        seen = torch.arange(m.shape[1]) < torch.tensor([[m.shape[1]], [1]])
        added = additive(seen)
    ours = through(a, explicit, x, added, a.project(m) if memory else None)
    for b in range(2):
        one = added if bias == "learnt" else None
        kept = m[b][seen[b]] if bias == "mask" else m[b]
        torch.testing.assert_close(ours[b], naive.attend(a, x[b], kept, one), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@KERNELS
def test_a_hidden_key_has_no_weight_and_no_gradient_and_a_row_of_hidden_keys_stays_finite(dtype, explicit):
    a = Attention(8, 2).to(dtype).eval()
    x = torch.randn(3, 4, 8).to(dtype).requires_grad_()
    seen = torch.tensor([[True, True, False, False], [True] * 4, [False] * 4])
    out = through(a, explicit, x, additive(seen))
    other = x.detach().clone()
    other[0, 2:] = 1e5  # however large its logit
    assert torch.equal(through(a, explicit, other, additive(seen))[0, :2], out[0, :2])  # exactly
    out[0, :2].sum().backward(retain_graph=True)
    assert not x.grad[0, 2:].any() and x.grad[0, :2].any()
    out.sum().backward()
    assert out.isfinite().all() and x.grad.isfinite().all()


def test_the_mask_is_a_finite_number_and_only_the_vision_encoders_keys_have_no_bias():
    mask = additive(torch.tensor([[True, False]]))
    assert mask.tolist() == [[[[0.0, HIDDEN]]]] and math.isfinite(HIDDEN)
    names = {n for n, _ in batches.model(batches.config()).named_parameters() if n.endswith(("key.weight", "key.bias"))}
    weights = {n.replace("weight", "bias") for n in names if n.endswith("weight")}
    assert {n for n in weights if n not in names} == {f"vision.blocks.{i}.attention.key.bias" for i in range(2)}


def test_a_tap_sees_probabilities_and_may_replace_them():
    a, x, seen = Attention(8, 2).eval(), torch.randn(3, 5, 8), []
    a.tap = lambda weights: seen.append(weights) or weights
    tapped = a(x, additive(torch.arange(5) < torch.tensor([[5], [3], [1]])))
    (weights,) = seen
    assert weights.shape == (3, 2, 5, 5) and (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 5))
    assert not weights[2, :, :, 1:].any()
    a.tap = None
    torch.testing.assert_close(a(x, additive(torch.arange(5) < torch.tensor([[5], [3], [1]]))), tapped)
    a.tap = lambda weights: torch.full_like(weights, 1 / 5)
    mean = a.out(a.value(x).mean(1, keepdim=True).expand_as(x))
    torch.testing.assert_close(a(x), mean)


@KERNELS
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


NOISE = "xfm.model.kernels.noise"  # in a branch and in the attention, which multiplies by itself


@pytest.fixture
def dropped(monkeypatch):
    """(rate, shape) of every dropout that draws."""
    calls: list[tuple[float, tuple[int, ...]]] = []
    monkeypatch.setattr(NOISE, lambda x, p: calls.append((p, tuple(x.shape))) or torch.ones_like(x))
    return calls


def test_nothing_is_dropped_in_eval_mode(dropped):
    p = batches.pretraining()
    batch = batches.batch(p.config)
    losses, again = (p(batch, batches.ALL, (0, step))[0] for step in (0, 1))
    assert not dropped
    differ = {n for n in losses if not torch.equal(losses[n], again[n])}
    assert differ <= {"pairs/itm", "regions/itm"}  # the negatives are another step's


def test_language_and_fusion_drop_embeddings_probabilities_and_branches_but_no_head_does(dropped):
    config = batches.config()
    model, batch = batches.model(config).train(), {"texts": batches.texts(config), "pairs": batches.pairs(config)}
    words, heads, width = batch["texts"].tokens, config.model.text.heads, config.model.text.width
    b, length = words.ids.shape
    layer = [(0.1, (b, heads, length, length))] + [(0.1, (b, length, width))] * 2
    hidden = model.text(words.ids, words.mask)
    assert dropped == [(0.1, (b, length, width))] + layer * 2
    dropped.clear()
    model.objectives["mlm"].head(hidden, model.text.word.weight)
    model.objectives["imlm"].logits(hidden)
    model.objectives["itm"].head(hidden)
    model.objectives["bbp"].head(hidden)
    patches = model.vision(batch["pairs"].image.double())
    assert dropped == []
    image = ImageTokens.of_pictures(patches)
    model.fusion(hidden, words.mask, image, torch.arange(b))
    tokens = config.model.vision.patches + 1
    cross = [(0.1, (b, heads, length, tokens)), (0.1, (b, length, width))]
    assert dropped == (layer[:2] + cross + layer[2:]) * 2


@torch.no_grad()
def test_what_is_dropped_are_the_normalised_embeddings_and_the_branches(monkeypatch):
    """With all of it dropped, a layer is its norms alone, and the embeddings are zero."""
    monkeypatch.setattr(NOISE, lambda x, p: torch.zeros_like(x))
    model, words = batches.model(batches.config()).train(), batches.words(3, 7, 1)
    assert not model.text.embed(words.ids).any()
    x, bias, layer = torch.randn(3, 7, 24).double(), additive(words.mask), model.text.layers[1]
    torch.testing.assert_close(layer(x, bias), layer.norm2(layer.norm1(x)))
    layer = model.fusion.layers[1]
    memory = torch.randn(3, 5, 32).double()
    torch.testing.assert_close(
        layer(x, bias, lambda cross: cross.project(memory)), layer.norm2(layer.cross_norm(layer.norm1(x)))
    )
