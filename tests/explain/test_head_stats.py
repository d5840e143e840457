"""Statistics of heads against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from xfm import seeding
from xfm.explain import head_stats


def test_rollout_is_the_product_with_residuals():
    weights = torch.rand(3, 2, 5, 5, generator=seeding.generator("rollout")).softmax(-1)
    found = head_stats.rollout(weights)
    expected = torch.eye(5)
    for layer in weights:
        expected = (0.5 * layer.mean(0) + 0.5 * torch.eye(5)) @ expected
    torch.testing.assert_close(found[-1], expected)
    torch.testing.assert_close(found.sum(-1), torch.ones(3, 5))


def test_heads_of_known_kinds():
    grid, n = 3, 10
    alike, one = torch.full((n, n), 1 / n), torch.eye(n)
    weights = torch.stack([alike, one])[None]
    assert head_stats.entropy(weights)[0].tolist() == pytest.approx([math.log(n), 0])
    expected = np.mean([math.dist(divmod(a, grid), divmod(b, grid)) for a in range(9) for b in range(9)])
    assert head_stats.distance(weights, grid)[0].tolist() == pytest.approx([expected, 0])
    keys = torch.zeros(n, dtype=torch.bool)
    keys[2:5] = True
    assert head_stats.mass(weights, keys)[0].tolist() == pytest.approx([0.3, 0.3])
    assert head_stats.mass(weights, keys, queries=keys)[0].tolist() == pytest.approx([0.3, 1])
    assert head_stats.specialised(head_stats.entropy(weights), 1, largest=False) == [(0, 1, 0.0)]
