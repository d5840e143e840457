"""What every view writes into a file, and what it says when a callable fails."""

import base64
import json
from pathlib import Path
from typing import Any

import javascript
import offline_pages
import pytest

import xfm_widgets as xw
from xfm_widgets.pages import script_json
from xfm_widgets.view import View

VIEWS = [getattr(xw, name) for name in xw.__all__ if name not in ("View", "figures")]
HOSTILE = '</script><img src=x onerror="alert(1)">\u2028&'


RECORD = {"step": 0, "norm": {"itm": {"vision": 1.0, "language layer 0": None}}, "held_back": {"itm": 3.0}}


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: v.__name__)
def test_a_views_code_stays_small(view: type[View]) -> None:
    assert len((str(view._esm) + str(view._css)).encode()) < 162_000  # TraceExplorer has the most: 159 kB
    assert str(view._esm).count("\nexport ") == 1


def test_text_in_an_export_cannot_leave_its_script(tmp_path: Path) -> None:
    view = xw.GradientFlow([RECORD], credit="Pictures: mine </script>")
    view.tell(payload=view.payload | {"objectives": [view.payload["objectives"][0] | {"title": HOSTILE}]})
    page = view.to_html(tmp_path / "a.html").read_text("utf-8")
    assert "Pictures: mine \\u003c/script>" in page and "</script><img" not in page and "\u2028" not in page
    state = offline_pages.state(page)
    assert state["payload"]["objectives"][0]["title"] == HOSTILE
    assert "default-src 'none'" in page and "OpenMoji" not in page and state["credit"] == "Pictures: mine </script>"
    assert state["share"] == 0 and not any(name.startswith("_") for name in state)


def test_every_key_of_an_export_stays_a_key() -> None:
    value = {"__proto__": {"__proto__": 1}, 'a"__proto__': 2, "b": ["__proto__", ': "__proto__":', {"__proto__": 3}]}
    told = javascript.run(f"const value = {script_json(value)}; answer(JSON.stringify(value));")
    assert json.loads(told) == value


def test_bytes_are_written_as_text_and_what_is_no_json_is_refused() -> None:
    written = json.loads(script_json({"array": b"\x00\xff"}))
    assert base64.b64decode(written["array"]["$bytes"]) == b"\x00\xff"
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json({"a": float("nan")})
    with pytest.raises(TypeError, match="object in a view's state"):
        script_json({"a": object()})


def test_what_a_callable_raises_stands_in_the_view() -> None:
    view, heard = xw.GradientFlow([RECORD]), list[str]()
    view.observe(lambda change: heard.append(change["new"]), "message")
    for _ in range(2):
        with view.reporting():
            raise KeyError("no such thing")
    with view.reporting():
        pass
    said = "KeyError: 'no such thing'"
    assert heard == [said, "", said, ""], "the same again is heard again"


def test_what_is_true_of_a_view_all_the_time_stands_again_after_what_is_asked() -> None:
    view = xw.GradientFlow([])
    said = view.message
    assert said.startswith("No record")
    sent = list[Any]()
    view.send = lambda content, *_: sent.append(content)  # type: ignore[method-assign]
    view._send_page("")
    assert view.message == said == offline_pages.state(sent[0]["page"])["message"]
    view._open("no state")
    assert "is no state" in view.message
    view._open('{"view": "GradientFlow", "choices": {"step": 0}}')
    assert view.message == said


def test_a_display_is_the_view_and_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("xfm_widgets.view.display", lambda thing, **_: shown.append(thing))
    (view := xw.GradientFlow([RECORD]))._ipython_display_()
    live, still = shown
    assert "application/vnd.jupyter.widget-view+json" in live
    assert base64.b64decode(still["image/png"]).startswith(b"\x89PNG") and still["image/png"] in still["text/html"]
    assert f'class="{view.tools["figure"]}"' in still["text/html"]
    assert view.tools["figure"] != xw.GradientFlow([RECORD]).tools["figure"], "the figure behind a view is its own"


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: v.__name__)
def test_every_view_explains_words_and_names_its_choices(view: type[View]) -> None:
    tools = view._tools()
    assert len(tools["terms"]) >= 5 and all(len(meaning) > 20 for _, meaning in tools["terms"])
    kept = set(view.choices()) - {"paused"}  # what is undone does not train
    assert set(tools["choices"]) == kept and not {"credit", "message", "tools"} & set(tools["choices"])


FLOW = '{"view": "GradientFlow", "choices": %s}'
STATES = {
    "": "is no state", "[" * 100_000: "is no state", FLOW % "[1]": "is no state",
    '{"view": "TraceExplorer", "choices": {}}': "a state of 'TraceExplorer', not of GradientFlow",
    FLOW % '{"stpe": 1}': "stpe", FLOW % '{"credit": "me"}': "credit",
    FLOW % '{"share": 7}': "Not restored: share = 7: must be a number from 0 to 1",
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), STATES.items(), ids=range(len(STATES)))
def test_a_state_that_cannot_be_opened_says_so_and_changes_nothing(text: str, said: str) -> None:
    view = xw.GradientFlow([RECORD, RECORD | {"step": 1}], share=0.5)
    before = {name: getattr(view, name) for name in view.choices()}
    view._hear(view, {"do": "open", "of": text}, [])
    assert said in str(view.message) and {name: getattr(view, name) for name in view.choices()} == before


def test_of_a_state_that_holds_what_is_not_there_the_rest_is_opened() -> None:
    view = xw.GradientFlow([RECORD, RECORD | {"step": 1}], objectives=[])
    state = FLOW % '{"step": 1, "share": 7, "objectives": ["itm", "none"]}'
    view._hear(view, {"do": "open", "of": state}, [])
    assert (view.step, view.share, view.objectives) == (1, 0, ["itm"])
    assert view.message.startswith("Not restored: share = 7: must be") and "objectives = 'none'" in view.message


def test_a_page_is_sent_to_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what the view says, an error too, which stands there after it; one in writing it takes its place."""
    view, sent = xw.GradientFlow([RECORD]), list[Any]()
    monkeypatch.setattr(view, "send", sent.append)
    view.message = "RuntimeError: diverged"
    view._hear(view, {"do": "page", "of": ""}, [])
    assert [content["page"][:15] for content in sent] == ["<!doctype html>"]
    assert view.message == offline_pages.state(sent[0]["page"])["message"] == "RuntimeError: diverged"
    monkeypatch.setattr(view, "_complete", lambda: 1 / 0)
    view._hear(view, {"do": "page", "of": ""}, [])
    assert view.message == "ZeroDivisionError: division by zero" and len(sent) == 1
