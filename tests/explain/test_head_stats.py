"""Statistics of heads against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from xfm import recipes
from xfm.base import seeding
from xfm.base.fields import ConfigError
from xfm.data import dataset
from xfm.explain import head_stats
from xfm.explain.ground_truth_inputs import scene_inputs
from xfm.explain.tracing import capture_attention
from xfm.model.modes import eval_mode


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


def test_mass_on_an_object_is_that_of_its_name(sharpened):
    data = dataset(recipes.smoke())
    inputs = scene_inputs(sharpened, data.tokenizer(), data.world.scene("test", 3, 2), about=1)
    mass, chance = head_stats.object_mass(inputs)
    with eval_mode(sharpened):
        weights = capture_attention(inputs, gradients=False)[0]["cross"].weights
    patches = inputs.object_patches()[inputs.text]
    naive = weights[:, :, inputs.name_pieces][..., 1:][..., patches].sum(-1).mean(-1)
    torch.testing.assert_close(mass, naive)
    assert chance == pytest.approx(patches.sum().item() / (1 + len(patches)))
    with pytest.raises(ConfigError, match="objects"):
        head_stats.object_mass(replace(inputs, objects={}))


def test_heads_as_rows():
    rows = head_stats.frame("entropy", {"cross": torch.tensor([[1.0, 2.0], [3.0, 4.0]])})
    assert rows.to_dict("list") == {"place": ["cross"] * 4, "layer": [0, 0, 1, 1], "head": [0, 1, 0, 1],
                                    "entropy": [1.0, 2.0, 3.0, 4.0]}  # fmt: skip
