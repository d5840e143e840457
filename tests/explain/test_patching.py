"""Activation patching: which states restore the target, and what is refused."""

from __future__ import annotations

import math

import pytest

from xfm import recipes
from xfm.base.fields import ConfigError
from xfm.data import dataset
from xfm.explain.ground_truth_inputs import scene_inputs
from xfm.explain.patching import activation_patching
from xfm.explain.prepare_inputs import make_inputs

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
TOKENIZER = DATA.tokenizer()
SCENE = next(s for s in (DATA.world.scene("test", i) for i in range(99)) if len(s.objects) == 2)


@pytest.fixture(scope="module")
def model(sharpened):
    return sharpened


@pytest.fixture(scope="module")
def inputs(model):
    return scene_inputs(model, TOKENIZER, SCENE)


def test_states_of_the_clean_input_restore_its_answer(model):
    a, b = DATA.world.scene("test", 1), DATA.world.scene("test", 2)
    clean, corrupt = (make_inputs(model, TOKENIZER, image, a.caption.text) for image in (a.image, b.image))
    found = {p.module: p for p in activation_patching(clean, corrupt, "*")}
    whole = found["vision.norm"]
    assert whole.clean == pytest.approx(whole.patched, abs=1e-5) and whole.restored == pytest.approx(1, abs=1e-3)
    assert found["text.layers.1"].restored == pytest.approx(0, abs=1e-4)  # the texts do not differ
    assert found["fusion.layers.0"].restored == pytest.approx(1, abs=1e-3)
    assert found["vision.blocks.0.attention"].restored != 0
    nowhere = activation_patching(clean, corrupt, "vision.norm", tokens=[])[0]
    assert nowhere.restored == pytest.approx(0, abs=1e-6)
    (same,) = activation_patching(clean, clean, "vision.norm")
    assert math.isnan(same.restored)
    some = activation_patching(clean, corrupt, "vision.norm", tokens=[3, 4])[0]
    assert some.patched not in (pytest.approx(some.clean), pytest.approx(some.corrupt))


def test_places_that_are_not_there(model, inputs):
    with pytest.raises(ConfigError, match=r"pattern = 'fusion.layers.7': fits no module; did you mean"):
        activation_patching(inputs, inputs, "fusion.layers.7")
    with pytest.raises(
        ConfigError, match=r"pattern = 'fusion.layers.\*.cross.key': .*cross.key, is computed by the module around"
    ):
        activation_patching(inputs, inputs, "fusion.layers.*.cross.key")
    with pytest.raises(ConfigError, match=r"tokens = .99.: must be of vision.norm: 0 to 35"):
        activation_patching(inputs, inputs, "vision.norm", [99])
    longer = make_inputs(model, TOKENIZER, SCENE.image, SCENE.caption.text + " and a lion")
    with pytest.raises(ConfigError, match="of the corrupt one's shape"):
        activation_patching(inputs, longer, "text.layers.0")
