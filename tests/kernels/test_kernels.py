"""Each kernel is what plain operations of torch's make, forward and backward; what dropout drops."""

import math

import pytest
import torch
from torch import Tensor

from xfm.model.attention import Shared, explicit
from xfm.model.kernels import Dropout, Mix, dropout, noise, take

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)


def gradients(out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(out.dtype)
    return torch.autograd.grad((out * weight).sum(), inputs)


@DTYPES
@pytest.mark.parametrize("contiguous", [True, False], ids=["", "strided"])
def test_rows_are_taken_as_by_indexing(dtype, contiguous):
    x, index = torch.randn(9, 4, 6).to(dtype).requires_grad_(), torch.tensor([3, 3, 0, 8, 3, 1])
    part = (lambda y: y) if contiguous else lambda y: torch.cat([y, y], 1)[:, 2:5]  # its gradient then is a strided one
    ours, theirs = part(take(x, index)), part(x[index])
    assert torch.equal(ours, theirs)
    exact = {"rtol": 0, "atol": 0} if dtype != torch.bfloat16 else {"rtol": 0.02, "atol": 0.02}  # torch rounds each sum
    torch.testing.assert_close(gradients(ours, x), gradients(theirs, x), **exact)


def shared(dtype: torch.dtype, pictures: int = 5, items: int = 7, queries: int = 11) -> Shared:
    """Of 6 heads' numbers: some items are looked at by several, some by none; two may be of one picture."""
    owner = torch.randint(pictures, (items,))
    item = torch.randint(items, (queries,))
    pooled, patches = torch.randn(items, 48), torch.randn(pictures, 9, 48)
    return Shared(pooled.to(dtype).requires_grad_(), patches.to(dtype).requires_grad_(), item, owner[item])


def reference(bias: Tensor | None, heads: int, kept: Tensor | None, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, N, D) each -> (B, Q, D), by `explicit`, whose tap drops what `kept` drops."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    tap = None if kept is None else lambda weights: weights * kept
    return explicit(q * q.shape[-1] ** -0.5 @ k.mT, v, bias, 0.0, tap).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("of", ["itself", "a memory", "a shared memory"])
@pytest.mark.parametrize("biased", [True, False], ids=["bias", ""])
def test_attention_by_hand_is_the_plain_form(of, biased, dropout, monkeypatch):
    heads, batch, queries, keys = 3, 11, 4, 4 if of == "itself" else 10
    bias = torch.randn(heads, queries, keys).double().requires_grad_() if biased else None
    kept = (torch.rand(batch, heads, queries, keys) > dropout).double() / (1 - dropout) if dropout else None
    monkeypatch.setattr("xfm.model.kernels.noise", lambda weights, p: kept)
    x, memory = torch.randn(batch, queries, 72).double().requires_grad_(), shared(torch.float64)
    if of == "itself":
        inputs: tuple[Tensor, ...] = (x,)
        projected, plain = [x], x.split(24, -1)
    else:
        inputs = (x, memory.pooled, memory.patches)
        mine = x[..., :24]
        projected = [mine, memory.heads(heads) if of == "a shared memory" else memory.spread()]
        plain = (mine, *memory.spread().split(24, -1))
    ours, theirs = Mix.apply(bias, heads, dropout, *projected), reference(bias, heads, kept, *plain)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    inputs += () if bias is None else (bias,)
    torch.testing.assert_close(gradients(ours, *inputs), gradients(theirs, *inputs), rtol=1e-11, atol=1e-11)


def test_the_gradient_is_dropped_where_the_value_is():
    x = torch.randn(2, 3, 18).double().requires_grad_()

    def mixed(x: Tensor) -> Tensor:
        torch.manual_seed(5)
        return Mix.apply(None, 2, 0.5, x)

    assert torch.autograd.gradcheck(mixed, (x,))
    assert not torch.equal(mixed(x), Mix.apply(None, 2, 0.5, x)), "and without the seed another"
    x, layer = torch.randn(100, 30, requires_grad=True), Dropout(0.5)
    out = dropout(x, 0.4)
    out.sum().backward()
    assert torch.equal(out == 0, x.grad == 0)
    torch.testing.assert_close(out, x * x.grad)
    assert (layer(x) == 0).any() and layer.eval()(x) is x and Dropout(0.0)(x) is x


MANY = 400_000


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_a_share_of_p_is_dropped_and_the_others_keep_the_mean(p):
    state = torch.get_rng_state()
    factor = noise(torch.empty(MANY), p)
    dropped = factor == 0
    assert abs(dropped.float().mean() - p) < 4 * math.sqrt(p * (1 - p) / MANY)
    (kept,) = factor[~dropped].unique()
    assert kept.item() == pytest.approx(1 / (1 - p), rel=1e-3)
    assert abs(factor.mean() - 1) < 4 * math.sqrt(p / (1 - p) / MANY)
    torch.set_rng_state(state)
    assert torch.equal(noise(torch.empty(MANY, dtype=torch.bfloat16), p) == 0, dropped), "in every precision alike"
    assert noise(torch.empty(3, 0, 2), p).shape == (3, 0, 2)


def test_values_of_one_draw_are_dropped_independently():
    """Four of them share sixty-four bits. Of pairs at any distance up to eight, a share of p² is dropped together; and
    no part of a draw is another's."""
    dropped, p = noise(torch.empty(MANY), 0.3) == 0, 0.3
    both = [(dropped[apart:] & dropped[:-apart]).float().mean().item() for apart in range(1, 9)]
    assert both == pytest.approx([p * p] * 8, abs=5 * math.sqrt(p * p * (1 - p * p) / MANY))
    each = [dropped[place::4].float().mean().item() for place in range(4)]
    assert each == pytest.approx([p] * 4, abs=5 * math.sqrt(p * (1 - p) / (MANY / 4)))
