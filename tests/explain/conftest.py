"""The model, the data and the scene that explanations are tested on."""

import pytest
import torch

from xfm import recipes
from xfm.data import dataset
from xfm.explain.inputs import AttributionInputs
from xfm.explain.prepare_inputs import scene_inputs
from xfm.model import XFM
from xfm.objectives import build

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
TOKENIZER = DATA.tokenizer()
SCENE = next(s for s in (DATA.world.scene("test", i) for i in range(99)) if len(s.objects) == 3)


@pytest.fixture(scope="session")
def model() -> XFM:
    """Weights large enough for attention and gradients to be far from even."""
    built = build(CONFIG)
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if "attention" in name or "cross" in name:
                parameter.mul_(3)
    return built


@pytest.fixture(scope="session")
def inputs(model: XFM) -> AttributionInputs:
    return scene_inputs(model, TOKENIZER, SCENE)
