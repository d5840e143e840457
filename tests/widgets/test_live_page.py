"""Python's part in views that answer in the page beside it: the model, part by part, and what it is done with."""

import base64
from typing import Any

import javascript
import pytest
from page import alive, coded, few_pairs

import xfm
import xfm_widgets as xw
from xfm import explain
from xfm_widgets.live_page import PART
from xfm_widgets.page_model import page_model

SERVER = 1_000_000  # bytes a second that Jupyter's server lets through
Sent = list[tuple[dict[str, Any], list[bytes]]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    said: Sent = []
    monkeypatch.setattr(xw.View, "send", lambda _, content, buffers=None: said.append((content, buffers or [])))
    return said


def test_the_model_goes_to_a_page_that_asks_part_by_part(sent: Sent) -> None:
    lab = xfm.load("demo")
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


def test_the_code_that_comes_with_the_weights_answers_every_such_view(sent: Sent) -> None:
    views, digests = list[Any](alive(xfm.load("demo")).values()), set()
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


def test_bytes_that_a_view_needs_beside_the_model_travel_as_bytes(sent: Sent) -> None:
    lab = xfm.load("demo")
    view = xw.RetrievalExplorer.of(lab.model, lab.config, lab.tokenizer, few_pairs(lab))
    view._given = lambda: {"longest": 3, "pictures": b"abc", "list": [b"d", None]}  # type: ignore[method-assign]
    hear(view, "model")
    message, buffers = sent[-1]
    assert message["model"]["given"] == {"longest": 3, "pictures": {"$buffer": 0}, "list": [{"$buffer": 1}, None]}
    assert buffers == [b"abc", b"d"]


def test_python_says_what_it_is_done_with_behind_what_it_tells(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = xfm.load("demo")
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


@pytest.mark.parametrize("kind", ["of arrays", "of a target of its own"])
def test_a_view_without_a_model_for_the_page_sends_none(kind: str, sent: Sent) -> None:
    lab = xfm.load("demo")
    image = lab.scene(7).image
    own = explain.Target("twice itm", lambda out: 2 * out.itm, "itm")
    view = {
        "of arrays": lambda: xw.GroundingPad(image, {}, lambda _: {"box": [0, 0, 1, 1]}),
        "of a target of its own": lambda: xw.AttributionLab.of(lab.inputs(image, "a lion", own), ["rollout"]),
    }[kind]()
    hear(view, "model")
    hear(view, "weights", "a 0")
    assert not sent


def hear(view: Any, act: str, of: str = "") -> None:
    view._hear(view, {"do": act, "of": of}, [])
