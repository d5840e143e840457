"""What is dropped: how many, which, and what the others are divided by."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xfm.model.kernels import LEVELS, Dropout, dropout, noise

MANY = 400_000


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_a_share_of_p_is_dropped_and_the_others_keep_the_mean(p):
    factor = noise(torch.empty(MANY), p)
    dropped = factor == 0
    assert abs(dropped.float().mean() - p) < 4 * math.sqrt(p * (1 - p) / MANY)
    (kept,) = factor[~dropped].unique()
    assert kept.item() == pytest.approx(1 / (1 - p), rel=1e-3)
    assert abs(factor.mean() - 1) < 4 * math.sqrt(p / (1 - p) / MANY)


def test_values_of_one_draw_are_dropped_independently():
    """Four of them share sixty-four bits. Of pairs at any distance up to eight, a share of p² is dropped together."""
    dropped, p = noise(torch.empty(MANY), 0.3) == 0, 0.3
    for apart in range(1, 9):
        both = (dropped[apart:] & dropped[:-apart]).float().mean()
        assert abs(both - p * p) < 5 * math.sqrt(p * p * (1 - p * p) / MANY), apart
    for place in range(4):  # and no part of a draw is another's: each has its share
        assert abs(dropped[place::4].float().mean() - p) < 5 * math.sqrt(p * (1 - p) / (MANY / 4)), place


@given(p=st.floats(0, 1, exclude_max=True), shape=st.lists(st.integers(0, 7), max_size=3))
def test_any_rate_and_shape_is_a_factor_that_is_zero_or_what_keeps_the_mean(p, shape):
    factor = noise(torch.empty(shape), p)
    assert factor.shape == torch.Size(shape) and factor.isfinite().all()
    rounded = min(round(p * LEVELS), LEVELS - 1) / LEVELS
    assert {*factor.flatten().tolist()} <= {0.0, torch.tensor(1 / (1 - rounded)).item()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_generator_alone_decides_and_in_every_precision_alike(dtype):
    made = []
    for seed, of in ((1, torch.float32), (1, dtype), (2, dtype)):
        torch.manual_seed(seed)
        made.append(noise(torch.empty(50, 30, dtype=of), 0.2))
    assert made[1].dtype == dtype and torch.equal(made[0] == 0, made[1] == 0)
    assert not torch.equal(made[1], made[2])


def test_the_gradient_is_dropped_where_the_value_is_and_the_module_drops_in_training_alone():
    x, layer = torch.randn(100, 30, requires_grad=True), Dropout(0.5)
    out = dropout(x, 0.4)
    out.sum().backward()
    assert torch.equal(out == 0, x.grad == 0)
    torch.testing.assert_close(out, x * x.grad)
    assert (layer(x) == 0).any() and layer.eval()(x) is x and Dropout(0.0)(x) is x
