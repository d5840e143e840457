"""Predicted boxes are those of the evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xfm import recipes
from xfm.config_utils import ConfigError
from xfm.data import dataset
from xfm.evaluation import EvalContext
from xfm.evaluation.tasks import grounding
from xfm.explain.box_prediction import box_predictor, phrase_boxes
from xfm.explain.tracing import trace
from xfm.model.modes import eval_mode
from xfm.objectives import build

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
TOKENIZER = DATA.tokenizer()
SCENE = DATA.world.scene("test", 3, 3)
SIDE = CONFIG.model.vision.image_size


@pytest.fixture(scope="module")
def model():
    return build(CONFIG)


def test_boxes_are_the_evaluations(model):
    model.train()
    ground = box_predictor(model, TOKENIZER, SCENE.image)
    found = [ground(phrase.text)["box"] for phrase in SCENE.phrases]
    assert model.training and all(p.grad is None for p in model.parameters())
    with eval_mode(model), torch.inference_mode():
        _, _, wanted, predicted = grounding.predict(EvalContext(model, CONFIG, TOKENIZER), [SCENE])
    for own, (cx, cy, w, h) in zip(found, (SIDE * predicted).tolist(), strict=True):
        assert own == pytest.approx([cx - w / 2, cy - h / 2, w, h], abs=1e-3)
    true = np.array(list(phrase_boxes(SCENE).values()))
    assert list(phrase_boxes(SCENE)) == [p.text for p in SCENE.phrases]
    assert np.allclose(true[:, :2] + true[:, 2:] / 2, SIDE * wanted[:, :2], atol=1e-3)
    assert np.allclose(true[:, 2:], SIDE * wanted[:, 2:], atol=1e-3)


def test_attention_is_the_traces_and_its_rows_sum_to_one(model):
    phrase = SCENE.phrases[0].text
    found = box_predictor(model, TOKENIZER, SCENE.image)(phrase)
    traced = trace(model, TOKENIZER, SCENE.image, phrase)
    shape = CONFIG.model.fusion_depth, CONFIG.model.text.heads, len(found["pieces"]), 1 + CONFIG.model.vision.patches
    assert found["attention"].shape == shape and found["pieces"] == traced.words.pieces
    assert np.allclose(found["attention"].sum(-1), 1, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(found["attention"]), traced.maps["cross"].weights)


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        ("very " * 100, r"text = 'very .* \(\d+ tokens\)': must be of at most \d+ tokens"),
        (" ", "phrase = ' ': must be some words"),
    ],
)
def test_what_cannot_be_asked_is_refused(model, phrase, said):
    with pytest.raises(ConfigError, match=said):
        box_predictor(model, TOKENIZER, SCENE.image)(phrase)


def test_any_image_is_prepared_and_models_that_diverged_are_refused(model):
    large = SCENE.image.repeat(2, 0).repeat(2, 1)
    assert box_predictor(model, TOKENIZER, large)("a lion")["box"] != pytest.approx((0, 0, 0, 0))
    with pytest.raises(ConfigError, match="image: "):
        box_predictor(model, TOKENIZER, SCENE.image[0, 0])
    broken = build(CONFIG)
    with torch.no_grad():
        broken.fusion.layers[0].mlp.fc1.weight.fill_(float("nan"))
    with pytest.raises(ConfigError, match=r"box = .*nan.*: must be finite"):
        box_predictor(broken, TOKENIZER, SCENE.image)("a lion")
