"""The model that explanations are tested on."""

import pytest
import torch

from xfm import recipes
from xfm.model import XFM
from xfm.objectives import build


@pytest.fixture(scope="module")
def sharpened() -> XFM:
    """Weights large enough for attention and gradients to be far from even."""
    built = build(recipes.smoke())
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if "attention" in name or "cross" in name:
                parameter.mul_(3)
    return built
