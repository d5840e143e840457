"""Targets are the model's own outputs, each the one that it is called after."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xfm import recipes
from xfm.data import dataset
from xfm.explain.prepare_inputs import make_inputs
from xfm.explain.targets import TARGETS
from xfm.model import XFM
from xfm.model.modes import eval_mode

TOKENIZER = dataset(recipes.smoke()).tokenizer()
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)


@pytest.mark.parametrize(("side", "column"), [("x", 0), ("y", 1), ("width", 2), ("height", 3)])
def test_a_side_of_a_box_is_that_of_the_heads_box(sharpened: XFM, side: str, column: int) -> None:
    inputs = make_inputs(sharpened, TOKENIZER, IMAGE, "a lion above a cat", f"box {side}")
    with eval_mode(sharpened), torch.no_grad():
        outputs = inputs.outputs(inputs.patches[None], inputs.pieces[None])
        box = outputs.head("bbp").boxes(outputs.fused)[0]
    assert inputs.score() == pytest.approx(box[column].item(), abs=1e-6)
    assert len({round(value, 4) for value in box.tolist()}) == 4, "sides that are told apart"


def test_every_target_has_its_own_name() -> None:
    assert [*TARGETS] == ["itm", "itc", "box x", "box y", "box width", "box height"]
