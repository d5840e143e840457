"""Views that hold their model: what they are told in a page, without Python, is what Python tells them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import javascript
import numpy as np
import pytest
import torch
from page import coded, few_pairs, near, small

import xfm
import xfm_widgets as xw
from xfm import explain
from xfm.config import MaskConfig
from xfm.explain.box_prediction import SeenWords
from xfm.model import XFM
from xfm_widgets.page_model import as_in_page


@pytest.fixture(scope="module")
def in_page(lab: xfm.Lab) -> XFM:
    """With the weights that the page has."""
    return as_in_page(lab.model)


KERNEL = Path(__file__).with_name("page_kernel.js").read_text("utf-8")
PICTURE = np.random.default_rng(3).integers(0, 256, (50, 90, 3)).astype(np.uint8)
SENT = "a" * 40  # its file, in base64: the canvas that decodes it is a stand-in


def told(view: Any, steps: list[dict[str, Any]], read: list[str]) -> list[dict[str, Any]]:
    """The traits `read` after each step, of the kernel that a file of the view has."""
    rgba = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    traits = {n: v for n, v in view.get_state().items() if n in view.traits() and not n.startswith("_")}
    return javascript.run(
        KERNEL,
        {"kernel": plain(view._brings()), "steps": steps,
         "traits": plain({n: traits[n] for n in {*view.choices(), *read, "payload", "message"} & {*traits}}),
         "read": read, "picture": {"size": PICTURE.shape[:2], "rgba": coded(rgba.tobytes())}},
    )  # fmt: skip


def plain(value: Any) -> Any:
    """JSON, bytes as a page has them."""
    if isinstance(value, (bytes, memoryview)):
        return {"$bytes": coded(bytes(value))}
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def test_a_query_of_ones_own_is_ranked_as_in_python(lab: xfm.Lab, in_page: XFM) -> None:
    view = xw.RetrievalExplorer.of(in_page, lab.config, lab.tokenizer, few_pairs(lab, in_page))
    view._seen = SeenWords(frozenset({"a", "big", "lion", "red"}), ("car",))
    typed, long = "a big lion below a qwertz car", "lion " * 90
    steps = [{"set": {"typed": typed}}, {"set": {"typed": long}}, {"send": ["picture", SENT]},
             {"send": ["picture", ""]}, {"set": {"typed": typed}}, {"set": {"typed": " "}}]  # fmt: skip
    found = told(view, steps, ["own_scores", "message", "direction", "own"])
    view.typed = typed
    near(found[0]["own_scores"], view.own_scores, "own")
    answer = view.own_scores["text to image"]
    assert answer["never_seen"] == ["car", "below", "qwertz"] and [word for word, _ in answer["split"]] == ["qwertz"]
    assert not found[0]["message"] and f"it may have {lab.config.data.caption_tokens}" in found[1]["message"]
    view.typed = long
    assert found[1]["own_scores"] == view.own_scores == {}, "of the query before, which is there no longer"
    view.show(PICTURE)
    own = found[2]["own_scores"]
    near(own, view.own_scores, "own")
    assert (found[2]["direction"], found[2]["own"], found[2]["message"]) == ("image to text", True, "")
    assert "no picture" in found[3]["message"] and found[3]["own_scores"] == own
    assert [*found[4]["own_scores"]] == ["image to text", "text to image"]
    view.typed = " "
    assert found[5]["own_scores"] == own and not found[5]["message"] and [*view.own_scores] == ["image to text"]


def test_phrases_in_pictures_of_ones_own_are_found_as_in_python(lab: xfm.Lab, in_page: XFM) -> None:
    scenes = [lab.scene(7, objects=2), lab.scene(8)]
    view = xw.GroundingPad.of(in_page, lab.tokenizer, scenes)
    typed, first = "a yellow thing", scenes[1].phrases[0].text
    steps = [{"set": {"phrase": typed}}, {"set": {"scene": 1}}, {"send": ["picture", SENT]}, {"set": {"phrase": typed}},
             {"set": {"phrase": "a " * 90}}, {"set": {"scene": 0}}]  # fmt: skip
    found = told(view, steps, ["newest", "phrase", "scene", "message"])
    view.phrase = typed
    near(found[0]["newest"], {**view.newest, "answer": {**view.newest["answer"], "iou": None}}, "typed")
    assert (found[1]["scene"], found[1]["phrase"]) == (1, first)
    assert (found[2]["scene"], found[2]["phrase"]) == (2, "")
    view.show(PICTURE)
    assert (view.scene, view.phrase) == (2, "")
    view.phrase = typed
    near(found[3]["newest"], view.newest, "own picture")
    assert [picture["own"] for picture in view.payload["pictures"]] == [False, False, True]
    assert "it may have" in found[4]["message"] and found[5]["phrase"] == scenes[0].phrases[0].text


PHRASES = [
    "the Ice  Cream, an ice cream", "blue-ish bluebird blue", "zyzzogeton", "the yellow thing", "the Yak, the flute",
    "Ok's c++ ΣΑΣ naïve_x 2² ½ 字", "something behind the two unbelievably large crocodiles of the left", "!",
    "don't do-it o’clock '-",
]  # fmt: skip


def test_any_phrase_is_found_and_its_words_are_told_apart_as_in_python(lab: xfm.Lab, in_page: XFM) -> None:
    scene = lab.scene(7, objects=2)
    seen = SeenWords(frozenset({"the", "red", "lion", "of", "ok's"}), ("ice cream", "blue", "c++"), ("the", "don't"))
    view = xw.GroundingPad.of(in_page, lab.tokenizer, scene)
    view._model = in_page, lab.tokenizer, seen
    found = told(view, [{"set": {"phrase": phrase}} for phrase in PHRASES], ["newest"])
    predict = explain.box_predictor(in_page, lab.tokenizer, scene.image, seen)
    expected = xw.GroundingPad(scene.image, dict.fromkeys(PHRASES, (0, 0, 9, 9)), predict).found
    near([one["newest"]["answer"] for one in found], [{**expected[p], "iou": None} for p in PHRASES], "phrases")


def test_what_is_hidden_in_a_picture_of_ones_own_is_guessed_as_in_python(lab: xfm.Lab, in_page: XFM) -> None:
    scene = lab.scene(7, objects=2)
    text, read = scene.caption.text, ["answer", "pixels", "payload", "credit", "hidden_patches"]
    mask = MaskConfig(image_patches=12)
    view = xw.MaskPlayground.of(in_page, lab.tokenizer, scene.image, text, mask, credit="someone")
    hidden = {"hidden_patches": [0, 7, 8], "hidden_pieces": [1, 3]}
    steps = [{"set": hidden}, {"send": ["picture", SENT]}, {"send": ["hide at random"]}]
    found = told(view, steps, read)
    view.hidden_patches, view.hidden_pieces = hidden.values()
    near(found[0]["answer"], view.answer, "answer")
    view.show(PICTURE)
    for name in ("answer", "payload", "pixels", "credit"):
        near(found[1][name], getattr(view, name), name)
    assert view.credit == "" and view.figure()
    assert len(found[2]["hidden_patches"]) == 12 and found[2]["answer"]["of"]["patches"] == found[2]["hidden_patches"]


LAB_STEPS = [
    {"set": {"removed_words": [1]}},
    {"set": {"removed_objects": ["__proto__"], "removed_patches": [0, 1]}},
    {"set": {"removed_words": [], "removed_objects": [], "removed_patches": []}},
    *({"send": ["add", name]} for name in ("raw attention", "rollout", "ablation", "object ablation", "shapley")),
    {"send": ["add", "no method"]},
    {"set": {"methods": ["occlusion", "rollout", "object ablation"]}},
    {"send": ["picture", SENT]},
]


@pytest.mark.full
def test_removals_and_methods_in_the_page_are_pythons(lab: xfm.Lab) -> None:
    model = as_in_page(small({"model.vision.image_size": 24, "model.fusion_depth": 2}))
    rows, columns = np.indices((24, 24))
    masks = {"a lion": (rows < 16) & (columns < 10), "__proto__": (rows >= 8) & (columns >= 14)}
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    targets = ("itm", "itc", "box x", "word lion")
    asked = [explain.make_inputs(model, lab.tokenizer, image, "a lion", target, masks) for target in targets]
    asked = [replace(i, truth=masks["a lion"], name_pieces=torch.arange(len(i.pieces)) == 2) for i in asked]
    view = xw.AttributionLab.of(asked, ["occlusion"], removed_words=[0], credit="someone")
    read = ["scores", "payload", "methods", "message", "removed_objects", "credit"]
    *found, _, own = told(view, LAB_STEPS, read)
    for step, removed in enumerate(LAB_STEPS[:3]):
        for name, value in removed["set"].items():
            setattr(view, name, value)
        near(found[step]["scores"], view.scores, "scores")
    for name in found[-1]["methods"][1:]:
        view.add(name)
    assert found[-1]["methods"] == view.methods and len(view.methods) == 6 and found[-1]["message"] == ""
    for one in (found[2], found[-1]):
        assert one["payload"]["more"] == [name for name in explain.METHODS if name not in one["methods"]]
    assert found[-1]["payload"]["methods"] == view.payload["methods"]
    near(found[-1]["payload"]["found"][4:], view.payload["found"][4:], "found")
    for one in found[-1]["payload"]["found"]:  # where the name is masked one word is left, which has no order
        assert len(one["trust"]) == (7 if one["target"] == "word lion" else 9)
    view.methods = ["occlusion", "rollout", "object ablation"]
    view.show(PICTURE)
    for name in ("image", "objects", "methods", "match"):
        near(own["payload"][name], view.payload[name], f"payload.{name}")
    near(*(sorted(p["found"], key=lambda a: (a["method"], a["target"])) for p in (own["payload"], view.payload)), "own")
    near(own["scores"], view.scores, "scores of the reader's own picture")
    assert own["methods"] == view.methods and "object ablation" not in own["methods"]
    assert own["message"] == "Not computed in this page: object ablation."
    assert (own["removed_objects"], own["credit"], view.credit) == ([], "", "")
    assert own["payload"]["match"] != found[0]["payload"]["match"]


def test_a_method_of_a_state_is_computed_when_it_is_opened(lab: xfm.Lab) -> None:
    view = xw.AttributionLab.of(lab.inputs(lab.scene(7).image, "a lion"), ["occlusion"])
    message = "Not restored: something else."
    steps = [{"set": {"methods": ["occlusion", "rollout"], "message": message}}]
    (found,) = told(view, steps, ["payload", "methods", "message", "allowed"])
    assert found["payload"]["methods"] == found["methods"] == ["occlusion", "rollout"] and found["message"] == message
    assert "rollout" in found["allowed"], "the page's own state can be opened in it"
    view._open('{"view": "AttributionLab", "choices": {"methods": ["rollout", "none"]}}')
    assert view.methods == ["rollout"] and view.payload["methods"] == ["occlusion", "rollout"]
    assert "methods = 'none'" in view.message


def test_a_sentence_of_ones_own_is_traced_as_in_python(lab: xfm.Lab, in_page: XFM) -> None:
    scene = lab.scene(7, objects=2)
    text, typed = scene.caption.text, "two unbelievably big lions"
    view = xw.TraceExplorer.of(in_page, lab.tokenizer, scene.image, text)
    steps = [{"set": {"typed": typed}}, {"set": {"typed": "a " * 90}}, {"set": {"typed": ""}},
             {"send": ["picture", SENT]}]  # fmt: skip
    found = told(view, steps, ["sent", "a", "message"])
    for step, value in ((0, typed), (2, "")):
        view.typed = value
        near(found[step]["sent"], view.sent, "sent")
    assert "it may have" in found[1]["message"] and found[1]["sent"] == found[0]["sent"]
    view.show(PICTURE)
    near(found[3]["sent"], view.sent, "own picture")
    assert (found[3]["a"], found[3]["message"], view.a) == ("your own", "", "your own")
