"""Sanity checks: parts of the model, and attributions when these are randomised."""

from __future__ import annotations

import pytest
import torch

from xfm import recipes
from xfm.data import dataset
from xfm.explain.ground_truth_inputs import scene_inputs
from xfm.explain.randomisation import model_parts, randomise_weights
from xfm.objectives import build

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
TOKENIZER = DATA.tokenizer()
SCENE = next(s for s in (DATA.world.scene("test", i) for i in range(60)) if len(s.objects) > 1)


@pytest.fixture(scope="module")
def model():
    return build(CONFIG)


def test_parts_are_all_of_the_model_from_the_target_down(model):
    parts = model_parts(model)
    assert [*parts] == ["heads", "fusion layer 0", "encoders' layer 1", "encoders' layer 0", "embeddings"]
    names = [name for own in parts.values() for name in own]
    assert len(names) == len(set(names)) and set(names) == set(model.state_dict())


def test_attributions_change_with_the_weights_that_they_are_of(model):
    def make(other):
        return scene_inputs(other, TOKENIZER, SCENE, about=0)

    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows = randomise_weights(make, model, "rollout")
    assert rows[0].image == pytest.approx(1) and rows[0].text == pytest.approx(1)  # attention does not know the heads
    assert rows[-1].image < 0.9
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for row in randomise_weights(make, model, "edges"):
        assert row.image == pytest.approx(1)  # it does not know the model at all
