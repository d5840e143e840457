"""The attribution lab and the mask playground: what is asked for, and answers of a model against its own."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import offline_pages
import pytest
import torch
from explain.conftest import CONFIG, DATA, SCENE, TOKENIZER

import xfm_widgets as xw
from xfm.config import ConfigError, MaskConfig
from xfm.explain.attribution import Attribution
from xfm.explain.faithfulness import FaithfulnessReport
from xfm.explain.inputs import AttributionInputs
from xfm.explain.mask_predictions import masked_predictor
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


def lab() -> xw.AttributionLab:
    both = [(found("a"), None), (found("b", signed=False), None)]
    return xw.AttributionLab(IMAGE, WORDS, both, objects={"a lion": MASK}, rescore=rescore)


def test_a_removal_takes_all_pieces_of_a_word_and_the_patches_an_object_covers(tmp_path: Path):
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
    state = offline_pages.state(view.to_html(tmp_path / "a.html").read_text("utf-8"))
    words = [{"itm": -198.0, "itc": -1.0}, {"itm": -98.0, "itc": 0.0}]
    assert state["singles"] == {"words": words, "objects": {"a lion": {"itm": 1.0, "itc": 1.0}}}, "each alone"


def test_what_is_missing_or_not_finite_is_said():
    empty = xw.AttributionLab(IMAGE, WORDS, [])
    assert "No attribution" in empty.message and empty.data().empty and empty.figure()
    bad = found("bad", patches=torch.tensor([1.0, float("nan"), 0, 0]))
    trust = FaithfulnessReport("a", {"mass in mask": float("nan")}, {}, None)
    view = xw.AttributionLab(IMAGE, WORDS, [(bad, None), (found("a"), trust)])
    assert view.methods == ["a"] and view.payload["found"][0]["trust"] == [["mass in mask", None, [], True]]
    view.removed_words = [0]
    assert "bad for itm" in view.message and view.scores["before"] == {"itm": 2.0} and view.scores["after"] == {}
    with pytest.raises(ConfigError, match=r"add = 'mine': must be called on what AttributionLab.of has made"):
        lab().add("mine", lambda inputs: None)


def test_of_questions_it_scores_as_they_do(model):
    asked = [scene_inputs(model, TOKENIZER, SCENE, target) for target in ("itm", "itc")]
    view = xw.AttributionLab.of(asked, ["saliency", "occlusion"])
    assert [(f["target"], f["method"]) for f in view.payload["found"]] == [*product(("itm", "itc"), view.methods)]
    assert [base for base, _ in view.payload["found"][0]["trust"][0][2]] == ["random", "centre"]
    begun = xw.AttributionLab.of(asked, [])
    assert "No attribution" in begun.message
    assert begun.add("occlusion").payload == xw.AttributionLab.of(asked, ["occlusion"]).payload and not begun.message
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


def test_methods_are_added_in_place_and_ones_own_are_checked(model):
    def bright(inputs: AttributionInputs, signed: bool = False) -> Attribution:
        return Attribution.of(inputs, torch.zeros(len(inputs.pieces)), torch.arange(len(inputs.patches)), signed=signed)

    asked = [scene_inputs(model, TOKENIZER, SCENE, target) for target in ("itm", "itc")]
    view = xw.AttributionLab.of(asked, ["saliency", "occlusion"]).add("bright patches", bright)
    assert view.methods == ["saliency", "occlusion", "bright patches"] == view.payload["methods"]
    drawn = [f for f in view.payload["found"] if f["method"] == "bright patches"]
    assert [f["target"] for f in drawn] == ["itm", "itc"] and all(len(f["trust"]) > 6 and f["beyond"] for f in drawn)
    view.add("bright patches", lambda inputs: bright(inputs, signed=True))  # the cell run again
    assert len(view.payload["found"]) == 6 and view.payload["found"][-1]["signed"]
    view._handle_custom_msg({"do": "add", "of": "rollout"}, [])
    assert view.methods[-1] == "rollout" and not {"rollout", "shapley", "saliency"} & {*view.payload["more"]}
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


def test_a_sentence_of_the_readers_takes_the_place_of_the_given_one(model):
    questions = [scene_inputs(model, TOKENIZER, SCENE, target) for target in ("itm", "itc")]
    view = xw.AttributionLab.of(questions, ["occlusion"], removed_words=[0])
    given, objects = view.drawn["words"], view.drawn["objects"]
    view.typed = "a red car"
    assert view.drawn["words"] == ["a", "red", "car"] and view.removed_words == []
    assert view.drawn["objects"] == objects and view.credit == SCENE.credit, "of the same picture"
    expected = attribute(make_inputs(model, TOKENIZER, SCENE.image, "a red car", "itc"), "occlusion")
    torch.testing.assert_close(next(a for a in view.shown() if a.target == "itc").patches, expected.patches)
    assert view.scores["before"]["itc"] == pytest.approx(expected.score, abs=1e-5)
    view.typed = " "
    assert view.drawn["words"] == given and view.message == ""


# ---- the mask playground
SENTENCE = TokenAxis(("<s>", "a", "lion", "here", "</s>"), (-1, 0, 1, 2, -1), ("a", "lion", "here"))
RAMP = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


class Predict:
    def __init__(self):
        self.asked = list[tuple[list[int], list[int]]]()

    def __call__(self, patches: np.ndarray, pieces: np.ndarray) -> dict[str, Any]:
        self.asked.append((np.flatnonzero(patches).tolist(), np.flatnonzero(pieces).tolist()))
        one = {"with": {"guesses": [("lion", 0.9), ("cat", 0.1)], "truth": 0.9}, "without": None}
        words = [{"place": int(i), "piece": SENTENCE.pieces[i]} | one for i in np.flatnonzero(pieces)]
        agreement, pixels = np.where(patches, 0.5 * np.arange(4), np.nan), np.zeros((4, 48))
        pixels[1, 16 * 1 + 4 * 2 + 3] = 9.0  # of the second patch green, row 2, column 3
        return {"words": words, "agreement": agreement, "pixels": pixels, "target": "outputs"}


def test_each_mask_is_asked_once_and_the_answer_is_of_it():
    predict = Predict()
    view = xw.MaskPlayground(RAMP, SENTENCE, 2, predict)
    view.hidden_patches = [1, 2]
    view.hidden_pieces = [2]
    assert predict.asked == [([], []), ([1, 2], []), ([1, 2], [2])]
    assert view.answer["of"] == {"patches": [1, 2], "pieces": [2]}
    sent = np.frombuffer(view.answer["agreement"], "<f4")
    assert sent[1:3].tolist() == [0.5, 1.0] and np.isnan(sent[[0, 3]]).all()
    picture = np.frombuffer(view.pixels, np.uint8).reshape(8, 8, 3)
    assert np.argwhere(picture == 255).tolist() == [[2, 7, 1]] and (picture == 127).sum() == 8 * 8 * 3 - 1
    guess = view.data().query("part == 'word piece'").iloc[0]
    assert guess[["piece", "guess", "rank", "probability", "picture"]].tolist() == ["lion", "lion", 1, 0.9, True]
    assert view.data().query("part == 'patch'")["agreement"].tolist() == [0.5, 1.0]


def test_a_random_mask_hides_as_pretraining_does_and_asks_once():
    predict, mask = Predict(), MaskConfig(image_patches=3, smallest_block=1, caption_share=0.4)
    view = xw.MaskPlayground(RAMP, SENTENCE, 2, predict, mask)
    view.hide_at_random(5)
    assert len(view.hidden_patches) == 3 and len({*view.hidden_pieces} - {0, 4}) == 2 and len(predict.asked) == 2
    drawn = [(view.hidden_patches, view.hidden_pieces)]
    for seed in (5, *[None] * 8):
        view.hide_at_random(seed)
        drawn.append((view.hidden_patches, view.hidden_pieces))
    assert drawn[0] == drawn[1] and any(one != drawn[0] for one in drawn[2:])


def test_what_fails_or_is_not_given_is_said():
    alone = xw.MaskPlayground(RAMP, TokenAxis(("x",), (0,), ("x",)), 1, None)
    alone.hide_at_random()
    assert alone.hidden_patches == [0] and alone.hidden_pieces == []
    alone.typed = "a lion"
    assert "has no model. Make it with MaskPlayground.of(...)" in alone.message
    with pytest.raises(ConfigError, match="3 patches a side"):
        xw.MaskPlayground(RAMP, SENTENCE, 3, None)


def test_of_a_model_it_shows_its_guesses_in_a_given_sentence_and_in_the_readers(model, tmp_path: Path):
    view = xw.MaskPlayground.of(model, TOKENIZER, SCENE.image, SCENE.caption.text, CONFIG.data.mask)
    given = view.drawn["pieces"]
    view.hide_at_random(0)
    assert len(view.hidden_patches) == CONFIG.data.mask.image_patches
    assert_it_guesses(view, masked_predictor(model, TOKENIZER, SCENE.image, SCENE.caption.text))
    page = view.to_html(tmp_path / "a.html").read_text("utf-8")
    assert offline_pages.state(page)["answer"]["of"] == {"patches": view.hidden_patches, "pieces": view.hidden_pieces}
    view.typed = "a red car"
    assert view.drawn["pieces"] != given and view.hidden_pieces == []
    view.hidden_pieces = [2]
    assert_it_guesses(view, masked_predictor(model, TOKENIZER, SCENE.image, "a red car"))
    view.typed = "very " * 200
    assert "must be of at most" in view.message or "tokens" in view.message
    view.typed = ""
    assert view.drawn["pieces"] == given and view.message == ""
    view.show(np.full((90, 60, 3), 77, np.uint8))
    assert view.credit == "" and view.drawn["pieces"] == given and view.drawn["crisp"], "its square, at a screen's size"


def assert_it_guesses(view: xw.MaskPlayground, predict: Any) -> None:
    expected = predict(*view.hidden())
    np.testing.assert_allclose(np.frombuffer(view.answer["agreement"], "<f4"), expected["agreement"], rtol=1e-5)
    assert [word["place"] for word in view.answer["words"]] == view.hidden_pieces
    found, asked = view.answer["words"][0], expected["words"][0]
    assert found["piece"] == asked["piece"] and found["with"]["truth"] == pytest.approx(asked["with"]["truth"])
