"""The attribution lab: what a removal asks for, what an export knows, and questions of a model against `keeping`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import offline_pages
import pytest
import torch
from explain.conftest import DATA, SCENE, TOKENIZER

import xfm_widgets as xw
from xfm.config import ConfigError
from xfm.explain.attribution import Attribution
from xfm.explain.faithfulness import FaithfulnessReport
from xfm.explain.inputs import AttributionInputs
from xfm.explain.method_table import attribute
from xfm.explain.prepare_inputs import make_inputs, scene_inputs
from xfm.explain.token_axes import PatchAxis, TokenAxis

WORDS = TokenAxis(("<s>", "li", "on", "here", "</s>"), (-1, 0, 0, 1, -1), ("lion", "here"))
IMAGE = np.full((8, 8, 3), 200, np.uint8)
MASK = np.zeros((8, 8), bool)
MASK[:4, :4] = True  # the first patch of 2 x 2
MASK[4, 0] = True  # and 1/16 of the third, which does not go with it


def found(method: str, target: str = "itm", **changes) -> Attribution:
    numbers = torch.tensor([0.0, 1.0, 0.5, -0.25, 0.0]), torch.tensor([1.0, -1.0, 0.0, 0.5])
    return replace(Attribution(method, target, *numbers, WORDS, PatchAxis(2, 4), True, 0.1, 1, 2.0), **changes)


def rescore(patches: np.ndarray, pieces: np.ndarray) -> dict[str, float]:
    return {"itm": 2.0 - patches @ [1, 2, 4, 8] - 100 * pieces.sum(), "itc": 1.0 - pieces.sum()}


def lab(**traits) -> xw.AttributionLab:
    both = [found("a"), found("b", signed=False)]
    return xw.AttributionLab(IMAGE, WORDS, both, objects={"a lion": MASK}, rescore=rescore, **traits)


def test_a_removal_takes_all_pieces_of_a_word_and_the_patches_an_object_covers():
    view = lab()
    assert view.scores["before"] == view.scores["after"] == {"itm": 2.0, "itc": 1.0}
    view.removed_objects = ["a lion"]
    assert view.scores["after"] == {"itm": 1.0, "itc": 1.0}
    view.removed_words, view.removed_patches = [0], [0, 3]
    assert view.scores["after"] == {"itm": 2.0 - 9 - 200, "itc": -1.0}
    assert view.scores["of"] == {"words": [0], "objects": ["a lion"], "patches": [0, 3]}
    table = view.data().set_index(["method", "part", "place"])
    assert table.loc[("a", "word", 0), "value"] == 1.5 and table.loc[("a", "word", 0), "removed"]
    assert table.loc[("b", "patch", 3), "removed"] and not table.loc[("b", "patch", 2), "removed"]
    view.methods = ["b"]
    assert set(view.data()["method"]) == {"b"} and len(view.figure().axes) == 2
    assert "without a lion, lion, 2 patches" in view.figure().texts[0].get_text().replace("\n", " ")


def test_an_export_knows_each_single_removal(tmp_path: Path):
    state = offline_pages.state(lab(removed_words=[1]).to_html(tmp_path / "a.html").read_text("utf-8"))
    assert state["singles"] == {
        "words": [{"itm": -198.0, "itc": -1.0}, {"itm": -98.0, "itc": 0.0}],
        "objects": {"a lion": {"itm": 1.0, "itc": 1.0}},
    }
    assert state["scores"]["after"] == {"itm": -98.0, "itc": 0.0}


def test_what_is_missing_or_not_finite_is_said_and_what_does_not_fit_refused(tmp_path: Path):
    empty = xw.AttributionLab(IMAGE, WORDS, [])
    assert "No attribution" in empty.message and empty.data().empty and empty.figure()
    empty.to_html(tmp_path / "a.html")
    bad = found("bad", patches=torch.tensor([1.0, float("nan"), 0, 0]))
    trust = FaithfulnessReport("a", {"mass in mask": float("nan")}, {}, None)
    view = xw.AttributionLab(IMAGE, WORDS, [bad, found("a")], [None, trust])
    assert view.methods == ["a"] and "bad for itm" in view.message
    assert view.payload["found"][0]["trust"] == [["mass in mask", None, [], True]]
    view.removed_words = [0]
    assert "bad for itm" in view.message  # still
    assert view.scores["before"] == {"itm": 2.0} and view.scores["after"] == {}
    wide = [found("a"), found("b", patches=torch.zeros(9))]
    for given, objects, said in (
        ([wide], {}, r"attributions\[1\].patches.shape"),
        ([[found("a")], [None, None]], {}, "one an attribution"),
        ([[found("a")]], {"a lion": MASK[:4]}, r"\(8, 8\)"),
    ):
        with pytest.raises(ConfigError, match=said):
            xw.AttributionLab(IMAGE, WORDS, *given, objects=objects)
    with pytest.raises(ConfigError, match=r"add = 'mine': must be called on what AttributionLab.of has made"):
        lab().add("mine", lambda inputs: None)


def test_of_questions_it_scores_as_they_do(model):
    asked = [scene_inputs(model, TOKENIZER, SCENE, target) for target in ("itm", "itc")]
    view = xw.AttributionLab.of(asked, ["saliency", "occlusion"])
    order = [(target, method) for target in ("itm", "itc") for method in ("saliency", "occlusion")]
    assert [(f["target"], f["method"]) for f in view.payload["found"]] == order
    assert [base for base, _ in view.payload["found"][0]["trust"][0][2]] == ["random", "centre"]
    name = SCENE.phrases[0].text
    view.removed_objects, view.removed_words = [name], [2]
    for q in asked:
        pieces = torch.tensor([owner != 2 for owner in q.words.owner])
        alone = q.masked_scores(~q.object_patches()[name][None], pieces[None]).item()
        assert view.scores["after"][q.target.name] == pytest.approx(alone)
        assert view.scores["before"][q.target.name] == pytest.approx(q.score())
    other = scene_inputs(model, TOKENIZER, DATA.world.scene("test", 0), "itm")
    with pytest.raises(ConfigError, match="one picture and one text"):
        xw.AttributionLab.of([asked[0], other])


def test_begun_without_methods_it_has_all_of_those_that_are_added(inputs):
    view, whole = xw.AttributionLab.of(inputs, []), xw.AttributionLab.of(inputs, ["occlusion"])
    assert "No attribution" in view.message
    view.add("occlusion")
    assert view.payload == whole.payload and view.targets == ["itm"] and not view.message
    for each in (view, whole):
        each.removed_objects = [SCENE.phrases[0].text]
    assert view.scores == whole.scores and view.scores["after"] != view.scores["before"]


def test_methods_are_added_in_place_and_ones_own_are_checked(model):
    def bright(inputs: AttributionInputs, signed: bool = False) -> Attribution:
        return Attribution.of(inputs, torch.zeros(len(inputs.pieces)), torch.arange(len(inputs.patches)), signed=signed)

    asked = [scene_inputs(model, TOKENIZER, SCENE, target) for target in ("itm", "itc")]
    view = xw.AttributionLab.of(asked, ["saliency", "occlusion"])
    assert view.add("bright patches", bright) is view
    assert view.methods == ["saliency", "occlusion", "bright patches"] == view.payload["methods"]
    drawn = [f for f in view.payload["found"] if f["method"] == "bright patches"]
    assert [f["target"] for f in drawn] == ["itm", "itc"] and all(len(f["trust"]) > 6 and f["beyond"] for f in drawn)
    view.add("bright patches", lambda inputs: bright(inputs, signed=True))  # the cell run again
    assert len(view.payload["found"]) == 6 and view.payload["found"][-1]["signed"]
    assert "rollout" in view.payload["more"] and not {"shapley", "saliency"} & {*view.payload["more"]}
    view._handle_custom_msg({"do": "add", "of": "rollout"}, [])
    assert view.methods[-1] == "rollout" and "rollout" not in view.payload["more"]
    before = view.payload
    for method in ("no such", "object"):
        view._handle_custom_msg({"do": "add", "of": method}, [])
    for name, method, said in (
        ("wrong", lambda i: Attribution.of(i, torch.zeros(len(i.pieces)), torch.zeros(3)), "'wrong', patches.shape ="),
        ("saliency", bright, "name = 'saliency': must be another one"),
        ("roll out", None, "method = 'roll out': must be one of .*'rollout'"),
    ):
        with pytest.raises(ConfigError, match=said):
            view.add(name, method)
    assert view.payload == before
    for i in range(4):
        view.add(f"number {i}", bright)
    assert len(view.methods) == 6 and view.methods[-1] == "number 3"


def test_a_sentence_of_the_readers_takes_the_place_of_the_given_one(model):
    questions = [scene_inputs(model, TOKENIZER, SCENE, target) for target in ("itm", "itc")]
    view = xw.AttributionLab.of(questions, ["occlusion"])
    given, objects = view.drawn["words"], view.drawn["objects"]
    assert objects, "masks of a scene are known"
    view.removed_words, view.typed = [0], "a red car"
    assert view.drawn["words"] == ["a", "red", "car"] and view.removed_words == []
    assert view.drawn["objects"] == objects and view.credit == SCENE.credit, "of the same picture"
    expected = attribute(make_inputs(model, TOKENIZER, SCENE.image, "a red car", "itc"), "occlusion")
    shown = next(a for a in view.shown() if a.target == "itc")
    torch.testing.assert_close(shown.patches, expected.patches)
    assert view.scores["before"]["itc"] == pytest.approx(expected.score, abs=1e-5)
    view.removed_words = [2]
    assert view.scores["after"] != view.scores["before"]
    view.typed = " "
    assert view.drawn["words"] == given and view.message == ""
    view = xw.AttributionLab.of([make_inputs(model, TOKENIZER, SCENE.image, "a red car", "word car")], ["occlusion"])
    view.typed = "two"
    assert view.targets == ["itm"] and view.drawn["words"] == ["two"], "which has no such word"
    view.typed = ""
    assert view.targets == ["word car"]
