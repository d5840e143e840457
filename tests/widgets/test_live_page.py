"""Python's part in views that answer in the page beside it: the model, part by part, and what it is done with."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import javascript
import numpy as np
import pytest
from page import alive, coded, few_pairs
from PIL import Image

import xfm
import xfm_widgets as xw
from xfm import explain
from xfm.config import ConfigError
from xfm.explain.token_axes import TokenAxis
from xfm.study import Study
from xfm_widgets.live_page import PART
from xfm_widgets.page_model import page_model
from xfm_widgets.pages import MARIMO_MOST, Embedded

PICTURE = np.random.default_rng(3).integers(0, 256, (50, 90, 3)).astype(np.uint8)
SERVER = 1_000_000  # bytes a second that Jupyter's server lets through
Sent = list[tuple[dict[str, Any], list[bytes]]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    said: Sent = []
    monkeypatch.setattr(xw.View, "send", lambda _, content, buffers=None: said.append((content, buffers or [])))
    return said


def test_the_model_goes_to_a_page_that_asks_part_by_part(sent: Sent, lab: xfm.Lab) -> None:
    view = xw.MaskPlayground.of(lab.model, lab.tokenizer, lab.scene(7).image, "a lion")
    assert not sent
    hear(view, "model")
    described = sent.pop()[0]["model"]
    digest, size = described["digest"], described["size"]
    assert described["given"]["text"] == "a lion" and described["given"]["mask"]["patches"] > 0
    content, heads = b"", []
    for at in range(0, size, PART):
        hear(view, "weights", f"{digest} {at}")
        ((message, (part,)),) = sent
        assert message["part"]["at"] == at and len(str(message)) + len(part) < SERVER
        content, heads = content + part, [*heads, message["part"]]
        sent.clear()
    expected = page_model(lab.model, lab.tokenizer)
    assert heads[0]["payload"] | {"weights": content} == expected and "payload" not in heads[1]
    assert view._parcel is None, "megabytes for nobody"
    for wrong in ("", digest, f"{digest} -1", f"{digest} ²", "another 0"):
        hear(view, "weights", wrong)
    assert not sent


def test_the_code_that_comes_with_the_weights_answers_every_such_view(sent: Sent, lab: xfm.Lab) -> None:
    views, digests = list[Any](alive(lab).values()), set()
    for view in views:
        hear(view, "model")
        digests.add(sent[-1][0]["model"]["digest"])
    assert len(digests) == 1, "one model is sent once, whatever the view"
    hear(views[0], "weights", f"{digests.pop()} 0")
    url = "data:text/javascript;base64," + base64.b64encode(sent[-1][0]["part"]["code"].encode()).decode()
    kinds = javascript.run(
        "const { default: alive } = await import(data.url); answer(data.names.map((name) => typeof alive[name]));",
        {"url": url, "names": [view._answers() for view in views]},
    )
    assert kinds == ["function"] * 5
    for view in views:
        assert f"'{view._answers()}'" in str(view._esm)


def test_bytes_that_a_view_needs_beside_the_model_travel_as_bytes(sent: Sent, lab: xfm.Lab) -> None:
    view = xw.RetrievalExplorer.of(lab.model, lab.config, lab.tokenizer, few_pairs(lab))
    view._given = lambda: {"longest": 3, "pictures": b"abc", "list": [b"d", None]}  # type: ignore[method-assign]
    hear(view, "model")
    message, buffers = sent[-1]
    assert message["model"]["given"] == {"longest": 3, "pictures": {"$buffer": 0}, "list": [{"$buffer": 1}, None]}
    assert buffers == [b"abc", b"d"]


def test_python_says_what_it_is_done_with_behind_what_it_tells(sent: Sent, lab: xfm.Lab) -> None:
    view = xw.MaskPlayground.of(lab.model, lab.tokenizer, lab.scene(7).image, "a lion")
    told: list[Any] = []
    view.observe(lambda change: told.append(("answer", len(sent))), "answer")
    view.set_state({"hidden_patches": [1, 2], "turn": 4})
    assert told == [("answer", 0)] and sent == [({"answered": 4}, [])]
    view.set_state({"hidden_patches": ["no"], "turn": 5})
    assert sent[1:] == [({"answered": 5}, [])] and view.hidden_patches == [1, 2], "what is refused is answered, too"
    view.set_state({"turn": 6})
    view._hear(view, {"do": "picture", "of": coded(b"no picture"), "act": "a"}, [])
    assert sent[2:] == [({"answered": 6}, []), ({"done": "a"}, [])] and "picture" in view.message
    for content in ({"do": "nothing", "act": 3}, {"do": "nothing"}, None):
        view._hear(view, content, [])
    view.set_state({"hidden_patches": [], "turn": "no"})
    view.set_state({"opacity": 0.5})
    assert len(sent) == 4


def test_a_view_without_a_model_sends_and_writes_none_and_says_so(sent: Sent, tmp_path: Path, lab: xfm.Lab) -> None:
    image, axis = lab.scene(7).image, TokenAxis(("<s>", "a", "</s>"), (-1, 0, -1), ("a",))
    own = explain.Target("twice itm", lambda out: 2 * out.itm, "itm")
    study = Study("own", "smoke", ["xfm", "no_stop_gradient"], seeds=[0], root=tmp_path)
    for view, why in (
        (xw.GroundingPad(image, {}, explain.box_predictor(lab.model, lab.tokenizer, image)), "GroundingPad.of"),
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
        assert not sent
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
        assert view.message == ""
    explained, view = cast(Any, views["AttributionLab"]), cast(Any, views["GroundingPad"])
    assert explained.methods == ["rollout"] and explained.figure() and explained.payload["objects"] == []
    assert explained._given()["targets"][0]["truth"] is None and "object ablation" not in explained.payload["more"]
    view.phrase = "a thing"
    assert view.scene == 1 and len(view.payload["pictures"]) == 2 and view.found["a thing"]["box"]
    assert len(view.data()) == 1 and view.figure()
    image = lab.scene(7).image
    view = xw.GroundingPad(image, {}, explain.box_predictor(lab.model, lab.tokenizer, image))
    assert view.payload["takes"] is False
    view._hear(view, {"do": "picture", "of": good}, [])
    assert "asker" in view.message and view.scene == 0


def hear(view: Any, act: str, of: str = "") -> None:
    view._hear(view, {"do": act, "of": of}, [])
