"""Views that hold their model: what they are told in a page, without Python, is what Python tells them."""

from __future__ import annotations

import base64
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import javascript
import numpy as np
import pytest
import torch
from page import DECODE, alive, coded, few_pairs, near, sent, small
from PIL import Image

import xfm
import xfm_widgets as xw
from xfm import explain
from xfm.config import ConfigError, MaskConfig
from xfm.explain.box_prediction import SeenWords
from xfm.explain.token_axes import TokenAxis
from xfm.model import XFM
from xfm.study import Study
from xfm_widgets import attributions
from xfm_widgets.live_page import PART
from xfm_widgets.page_model import as_in_page, page_model
from xfm_widgets.pages import MARIMO_MOST, Embedded


@pytest.fixture(scope="module")
def in_page(lab: xfm.Lab) -> XFM:
    """With the weights that the page has."""
    return as_in_page(lab.model)


@pytest.fixture
def model() -> XFM:  # after the seeds, so the same in every order of tests
    return small({"model.vision.image_size": 24, "model.fusion_depth": 2})


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
    for ours, pythons in zip(found[-1]["payload"]["found"][4:], view.payload["found"][4:], strict=True):
        if np.frombuffer(pythons["words"], np.float32).max() < 1e-5:  # rounding alone is positive: a share of nothing
            (share,) = (row for row in pythons["trust"] if row[0] == "mass on name")
            ours["trust"] = [share if row[0] == share[0] else row for row in ours["trust"]]
        near(ours, pythons, f"{pythons['method']}, {pythons['target']}")
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


METHODS = DECODE + Path(__file__).with_name("page_methods.js").read_text("utf-8")
GRADIENTS = 1e-3  # of the largest number of an attribution


def asked_of(ask: str, model: XFM, lab: xfm.Lab, cases: list[dict[str, Any]]) -> Any:
    return javascript.run(METHODS, {"ask": ask, "payload": sent(page_model(model, lab.tokenizer)), "cases": cases})


@pytest.mark.full
def test_every_attribution_in_the_page_is_pythons(model: XFM, lab: xfm.Lab) -> None:
    rounded, rng = as_in_page(model), np.random.default_rng(0)
    masks = {"one": np.zeros((24, 24), bool), "two": np.zeros((24, 24), bool)}
    masks["one"][:16, :8], masks["two"][8:, 4:] = True, True
    cases, asked = [], []
    texts = {"a big crocodile on the left": "crocodile", "two lions , unbelievably many !": "unbelievably"}
    for text, word in texts.items():
        image = rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)
        inputs = [explain.make_inputs(rounded, lab.tokenizer, image, text, target, masks)
                  for target in ("itm", "itc", "box x", f"word {word}")]  # fmt: skip
        targets = [attributions.page_target(one) for one in inputs]
        patches = [np.flatnonzero(mask).tolist() for mask in inputs[0].object_patches().values()]
        seed = xw.AttributionLab.of(inputs, [])._given()["random"]
        asked.append(inputs)
        cases.append({"rgb": coded(image.tobytes()), "text": text, "objects": patches, "random": seed,
                      "targets": targets})  # fmt: skip
    assert [len(case["targets"][-1]["places"]) for case in cases] == [1, 6], "pieces of a word"
    for inputs, by_target in zip(asked, asked_of("attributions", model, lab, cases)["told"], strict=True):
        for one, by_method in zip(inputs, by_target, strict=True):
            assert by_method.keys() == explain.METHODS.keys() == attributions.IN_PAGE.keys()
            for method, rows in by_method.items():
                expected = explain.attribute(one, method)
                said = attributions.IN_PAGE[method]
                assert said == {name: getattr(expected, name) for name in said}, method
                for numbers, wanted in zip(rows, (expected.text, expected.patches), strict=True):
                    most = GRADIENTS * max(expected.text.abs().max().item(), expected.patches.abs().max().item())
                    where = f"{one.target.name}, {method}"
                    np.testing.assert_allclose(numbers, wanted, atol=max(most, 1e-6), rtol=0, err_msg=where)


@pytest.mark.full
def test_trust_in_the_page_is_pythons(model: XFM, lab: xfm.Lab) -> None:
    text, truth = "a big crocodile left of two lions", np.zeros((24, 24), bool)
    image = np.random.default_rng(2).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    truth[3:20, 6:13] = True
    rounded, cases, expected = as_in_page(model), [], []
    for target in ("itm", "itc", "box x", "word lions"):
        plain = explain.make_inputs(rounded, lab.tokenizer, image, text, target)
        names = torch.tensor([word == 2 for word in plain.words.owner])
        for inputs in (plain, replace(plain, truth=truth, name_pieces=names)):
            base = explain.attribute(inputs, "occlusion")
            for numbers in (lambda x: x, torch.round, lambda x: -x.abs(), torch.zeros_like):
                a = replace(base, patches=numbers(10 * base.patches), text=numbers(10 * base.text))
                report = explain.faithfulness_report(inputs, a, sensitive=False)
                drawn = attributions.packed(a, report)
                expected.append({"trust": drawn["trust"], "beyond": drawn["beyond"]})
                pieces, patches = (coded(v.numpy().astype("<f4").tobytes()) for v in (a.text, a.patches))
                cases.append({"rgb": coded(image.tobytes()), "text": text, "pieces": pieces, "patches": patches,
                              "target": attributions.page_target(inputs, report)})  # fmt: skip
    found = asked_of("trust", model, lab, cases)
    assert found["steps"] == [torch.linspace(0, n, min(12, n) + 1).round().int().tolist() for n in range(300)]
    near(found["told"], expected, "trust")
    assert len({np.sign(one["beyond"]).sum() for one in expected}) > 1


SERVER = 1_000_000  # bytes a second that Jupyter's server lets through
Parts = list[tuple[dict[str, Any], list[bytes]]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Parts:
    said: Parts = []
    monkeypatch.setattr(xw.View, "send", lambda _, content, buffers=None: said.append((content, buffers or [])))
    return said


def test_the_model_goes_to_a_page_that_asks_part_by_part(said: Parts, lab: xfm.Lab) -> None:
    view = xw.MaskPlayground.of(lab.model, lab.tokenizer, lab.scene(7).image, "a lion")
    assert not said
    hear(view, "model")
    described = said.pop()[0]["model"]
    digest, size = described["digest"], described["size"]
    assert described["given"]["text"] == "a lion" and described["given"]["mask"]["patches"] > 0
    content, heads = b"", []
    for at in range(0, size, PART):
        hear(view, "weights", f"{digest} {at}")
        ((message, (part,)),) = said
        assert message["part"]["at"] == at and len(str(message)) + len(part) < SERVER
        content, heads = content + part, [*heads, message["part"]]
        said.clear()
    expected = page_model(lab.model, lab.tokenizer)
    assert heads[0]["payload"] | {"weights": content} == expected and "payload" not in heads[1]
    assert view._parcel is None, "megabytes for nobody"
    for wrong in ("", digest, f"{digest} -1", f"{digest} ²", "another 0"):
        hear(view, "weights", wrong)
    assert not said


def test_the_code_that_comes_with_the_weights_answers_every_such_view(said: Parts, lab: xfm.Lab) -> None:
    views, digests = list[Any](alive(lab).values()), set()
    for view in views:
        hear(view, "model")
        digests.add(said[-1][0]["model"]["digest"])
    assert len(digests) == 1, "one model is sent once, whatever the view"
    hear(views[0], "weights", f"{digests.pop()} 0")
    url = "data:text/javascript;base64," + base64.b64encode(said[-1][0]["part"]["code"].encode()).decode()
    script = "const { default: alive } = await import(data.url); answer(data.names.map((name) => typeof alive[name]));"
    assert javascript.run(script, {"url": url, "names": [v._answers() for v in views]}) == ["function"] * 5
    for view in views:
        assert f"'{view._answers()}'" in str(view._esm)


def test_python_says_what_it_is_done_with_behind_what_it_tells(said: Parts, lab: xfm.Lab) -> None:
    view = xw.MaskPlayground.of(lab.model, lab.tokenizer, lab.scene(7).image, "a lion")
    told: list[Any] = []
    view.observe(lambda change: told.append(("answer", len(said))), "answer")
    view.set_state({"hidden_patches": [1, 2], "turn": 4})
    assert told == [("answer", 0)] and said == [({"answered": 4}, [])]
    view.set_state({"hidden_patches": ["no"], "turn": 5})
    assert said[1:] == [({"answered": 5}, [])] and view.hidden_patches == [1, 2], "what is refused is answered, too"
    view._hear(view, {"do": "picture", "of": coded(b"no picture"), "act": "a"}, [])
    assert said[2:] == [({"done": "a"}, [])] and "picture" in view.message
    for content in ({"do": "nothing", "act": 3}, {"do": "nothing"}, None):
        view._hear(view, content, [])
    view.set_state({"hidden_patches": [], "turn": "no"})
    assert len(said) == 3


def test_a_view_without_a_model_sends_and_writes_none_and_says_so(said: Parts, tmp_path: Path, lab: xfm.Lab) -> None:
    image, axis = lab.scene(7).image, TokenAxis(("<s>", "a", "</s>"), (-1, 0, -1), ("a",))
    own = explain.Target("twice itm", lambda out: 2 * out.itm, "itm")
    study = Study("own", "smoke", ["xfm", "no_stop_gradient"], seeds=[0], root=tmp_path)
    for view, why in (
        (xw.GroundingPad(image, {}, lambda phrase: {}), "GroundingPad.of"),
        (xw.MaskPlayground(image, axis, 2, None), "MaskPlayground.of"),
        (xw.TraceExplorer(explain.trace(lab.model, lab.tokenizer, image, "a lion")), "TraceExplorer.of"),
        (xw.RetrievalExplorer(few_pairs(lab)), "RetrievalExplorer.of"),
        (xw.AttributionLab(image, axis, []), "AttributionLab.of"),
        (xw.AttributionLab.of(lab.inputs(image, "a lion", own), ["rollout"]), "targets need names"),
        (xw.GradientFlow([]), "GradientFlow has no model"),
        (xw.TrainingMonitor(tmp_path), "TrainingMonitor has no model"),
        (xw.AblationExplorer(study), "AblationExplorer has no model"),
    ):
        hear(view, "model")
        hear(view, "weights", "a 0")
        assert not said
        for write in (view.to_html, view.to_js, lambda _, model, view=view: view.embed(model=model)):
            with pytest.raises(ConfigError, match=why):
                write(tmp_path / "view.html", model=True)
        assert not (tmp_path / "view.html").exists()


@pytest.mark.full
def test_a_file_has_the_model_only_where_it_is_asked_for(tmp_path: Path, lab: xfm.Lab) -> None:
    for view in alive(lab).values():
        path = tmp_path / "view.html"
        without, living = (view.to_html(path, model=model).read_text("utf-8") for model in (False, True))
        assert "createModel" not in without and len(without) < 1_300_000
        assert 6_000_000 < len(living.encode()) < MARIMO_MOST and "$page_kernel." in living
        assert len(str(Embedded(living, "a view", 600))) < MARIMO_MOST


def test_a_page_sends_a_picture_of_ones_own_to_python(lab: xfm.Lab) -> None:
    file = BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG")
    good, views = coded(file.getvalue()), alive(lab)
    for view in views.values():
        for content, said in (("!", "no base64"), ("aaaa", "picture"), ("a" * 4_000_001, "of at most"), (good, "")):
            view._hear(view, {"do": "picture", "of": content}, [])
            assert said in view.message
        assert view.message == "" and view.figure()
    explained, view = cast(Any, views["AttributionLab"]), cast(Any, views["GroundingPad"])
    assert explained.methods == ["rollout"] and explained.payload["objects"] == []
    assert explained._given()["targets"][0]["truth"] is None and "object ablation" not in explained.payload["more"]
    view.phrase = "a thing"
    assert view.scene == 1 and len(view.payload["pictures"]) == 2 and view.found["a thing"]["box"]


def hear(view: Any, act: str, of: str = "") -> None:
    view._hear(view, {"do": act, "of": of}, [])
