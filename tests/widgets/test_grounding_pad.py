"""The grounding pad's boxes, IoU and attention are what the callable gave; what it cannot show it says."""

import dataclasses
import json

import numpy as np
import offline_pages
import pytest
import torch
from explain.conftest import CONFIG, DATA, SCENE, TOKENIZER
from test_plots import said

import xfm_widgets as xw
from xfm.base.images import prepare
from xfm.config import ConfigError
from xfm.data.source import CaptionedImage, Region
from xfm.data.world import styles
from xfm.explain.box_prediction import box_predictor, region_box
from xfm.model.modes import eval_mode
from xfm.tasks import EvalContext
from xfm.tasks.world import grounding

IMAGE = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
TRUE = {"a lion": (0, 0, 20, 20), "a car": (20, 10, 10, 10)}
ATTENTION = np.random.default_rng(1).dirichlet(np.ones(17), (2, 3, 4)).astype(np.float32)  # a pooled token, 16 patches
PIECES = ("<s>", "a", "lion", "</s>")
SIDE = CONFIG.model.vision.image_size


def ground(phrase):
    return {"box": (10, 0, 20, 20), "attention": ATTENTION, "pieces": PIECES}


def test_known_phrases_are_asked_at_once_and_others_when_they_are_typed():
    asked = []
    view = xw.GroundingPad(IMAGE, TRUE, lambda phrase: asked.append(phrase) or ground(phrase))
    assert asked == ["a lion", "a car"] and view.phrase == "a lion"
    view.phrase = "a car"
    view.phrase = "a dog"
    view.phrase = "a lion"
    assert asked == ["a lion", "a car", "a dog"]
    table = view.data().set_index("phrase")
    assert table["IoU"].round(6).tolist()[:2] == [pytest.approx(1 / 3, abs=1e-6), 1 / 4]
    assert table.loc["a dog"].isna().tolist() == [True] * 4 + [False] * 4 + [True] * 2
    assert table.loc["a lion", "predicted x"] == 10


def test_iou_and_boxes_are_the_evaluations(model):
    named = {region.text: region_box(region, SIDE) for region in SCENE.regions}
    view = xw.GroundingPad(SCENE.image, named, box_predictor(model, TOKENIZER, SCENE.image))
    with eval_mode(model), torch.inference_mode():
        _, _, true, predicted = grounding.predict(EvalContext(model, CONFIG, TOKENIZER), [SCENE])
    assert view.data()["phrase"].tolist() == [p.text for p in SCENE.phrases]
    assert view.data()["IoU"].to_numpy() == pytest.approx(grounding.box_iou(predicted, true).numpy(), abs=1e-4)
    view.phrase = "very " * 100
    assert "must be of at most" in view.message and view.phrase not in view.found
    assert view.attention() is None and len(view.figure().bytes()) > 1000


def test_attention_is_that_of_the_choice():
    view = xw.GroundingPad(IMAGE, TRUE, ground)
    assert np.allclose(view.attention(), ATTENTION.mean((0, 1))[0, 1:].reshape(4, 4))
    for places in ((1, 2, 3), (99, 99, 99)):  # of another model: the last
        view.layer, view.head, view.token = places
        assert np.allclose(view.attention(), ATTENTION[1, 2, 3, 1:].reshape(4, 4))
    sent = view.found["a lion"]
    small = np.frombuffer(sent["weights"], np.uint8).reshape(ATTENTION.shape) / 255
    back = small * np.frombuffer(sent["most"], np.float32).reshape(2, 3, 4, 1)
    assert sent["shape"] == [2, 3, 4, 17, 4] and np.abs(back - ATTENTION).max() < ATTENTION.max() / 400


def test_each_finding_is_sent_once_and_a_page_that_begins_gets_all(monkeypatch):
    view, sent, each = xw.GroundingPad(IMAGE, TRUE, ground), list[int](), list[int]()

    def count(self, msg, buffers=None):
        sent.append(len(json.dumps(msg)) + sum(map(len, buffers or ())))

    monkeypatch.setattr(xw.GroundingPad, "_send", count)
    typed = [f"phrase {i:03}" for i in range(300)]
    for view.phrase in typed:
        each.append(sum(sent))
        sent.clear()
    assert max(each) <= each[0] + 10 and each[0] < 4200  # the attention's bytes, and as many more for the 300th
    view.phrase = "phrase 007"  # which is known: nothing but its name
    assert sent[-1] < 200
    assert [*view.get_state()["payload"]["pictures"][0]["found"]] == [*TRUE, *typed]  # of a page that opens now
    sent.clear()
    view._handle_custom_msg({"do": "whole"}, [])  # of a page that missed some
    assert len(sent) == 1 and sent[0] > 100_000


def test_scenes_are_leafed_through_with_their_own_phrases(tmp_path):
    other = {"a dog": (1, 1, 4, 4), "a car": (2, 2, 4, 4)}
    view = xw.GroundingPad(IMAGE, TRUE, ground, [(IMAGE[:30], other, ground)])
    view.phrase = "a cat"
    view.scene = 1
    assert view.phrase == "a dog" and "a dog" in view.found and "a cat" not in view.found
    view.phrase = "a car"
    view.scene = 0
    assert view.phrase == "a car" and view.found["a car"]["iou"] == 1 / 4
    view.set_state({"scene": 1, "phrase": "a dog"})
    assert (view.scene, view.phrase) == (1, "a dog")
    state = offline_pages.state(view.to_html(tmp_path / "view.html").read_text("utf-8"))
    assert [p["height"] for p in state["payload"]["pictures"]] == [40, 30]
    assert list(state["payload"]["pictures"][0]["found"]) == ["a lion", "a car", "a cat"]
    view.scene, view.removed = 0, ["a lion"]
    for view.scene in (1, 0):
        pass
    assert view.data()["phrase"].tolist() == ["a car", "a cat"] and view.phrase == "a car"


def test_of_several_boxes_of_a_phrase_the_one_that_is_found_counts(model):
    image = prepare(IMAGE, SIDE)
    x, y, w, h = (pixels / SIDE for pixels in box_predictor(model, TOKENIZER, image)("a dog")["box"])
    found, other = (x + w / 2, y + h / 2, w, h), (0.01, 0.01, 0.02, 0.02)
    for boxes in ((found, other), (other, found)):
        picture = CaptionedImage(image, regions=tuple(Region("a dog", box) for box in boxes))
        table = xw.GroundingPad.of(model, TOKENIZER, picture).data()
        assert (table["phrase"].item(), table["IoU"].item()) == ("a dog", pytest.approx(1, abs=1e-3))


def test_of_scenes_it_has_their_boxes_and_credit_and_whether_training_had_their_style(model):
    small = dataclasses.replace(DATA.world, styles=tuple(styles.STYLES)[1:2]).scene("test", 3)
    large = dataclasses.replace(DATA.world, image_size=2 * SIDE).scene("test", 3, 2)
    scenes = [SCENE, small, large]
    view = xw.GroundingPad.of(model, TOKENIZER, scenes, DATA)
    pictures = view.drawn["pictures"]
    assert SCENE.credit in view.credit and [picture["unlike"] for picture in pictures] == [False, True, False]
    for scene, picture in zip(scenes, pictures, strict=True):
        assert [*picture["found"]] == [phrase.text for phrase in scene.phrases] and picture["height"] == SIDE
        assert all(found["never_seen"] == [] for found in picture["found"].values())
    assert pictures[2]["boxes"] == {r.text: [x / 2 for x in region_box(r, 2 * SIDE)] for r in large.regions}
    with pytest.raises(ConfigError, match="scenes"):
        xw.GroundingPad.of(model, TOKENIZER, [], DATA)
    view.show(IMAGE)  # the reader's
    assert "OpenMoji" not in said(view.figure())
    view.scene = 0
    assert view.credit in said(view.figure()).replace("\n", " ")
