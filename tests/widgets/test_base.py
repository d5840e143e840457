"""What every view writes into a file, and what it says when a callable fails."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import javascript
import offline_pages
import pytest

import xfm_widgets as xw
from xfm_widgets.base import View, script_json

VIEWS = sorted(
    (v for v in vars(xw).values() if isinstance(v, type) and issubclass(v, View) and v is not View),
    key=lambda v: v.__name__,
)
HOSTILE = '</script><img src=x onerror="alert(1)">\u2028&'


RECORD = {"step": 0, "norm": {"itm": {"vision": 1.0, "language layer 0": None}}, "held_back": {"itm": 3.0}}


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: v.__name__)
def test_a_views_code_stays_small(view: type[View]) -> None:
    assert len((str(view._esm) + str(view._css)).encode()) < 75_000
    assert str(view._esm).count("\nexport ") == 1


def test_text_in_an_export_cannot_leave_its_script(tmp_path: Path) -> None:
    view = xw.GradientFlow([RECORD], credit="Pictures: mine </script>")
    view.tell(payload=view.payload | {"objectives": [view.payload["objectives"][0] | {"title": HOSTILE}]})
    page = view.to_html(tmp_path / "a.html").read_text("utf-8")
    assert "Pictures: mine \\u003c/script>" in page and "</script><img" not in page and "\u2028" not in page
    state = offline_pages.state(page)
    assert state["payload"]["objectives"][0]["title"] == HOSTILE
    assert "default-src 'none'" in page and "OpenMoji" not in page
    assert state["share"] == 0 and not any(name.startswith("_") for name in state)


def test_every_key_of_an_export_stays_a_key() -> None:
    value = {"__proto__": {"__proto__": 1}, 'a"__proto__': 2, "b": ["__proto__", ': "__proto__":', {"__proto__": 3}]}
    told = javascript.run(f"const value = {script_json(value)}; answer(JSON.stringify(value));")
    assert json.loads(told) == value


def test_bytes_are_written_as_text() -> None:
    written = json.loads(script_json({"array": b"\x00\xff"}))
    assert base64.b64decode(written["array"]["$bytes"]) == b"\x00\xff"


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json({"a": float("nan")})
    with pytest.raises(TypeError, match="object in a view's state"):
        script_json({"a": object()})


def test_what_a_callable_raises_stands_in_the_view() -> None:
    view = xw.GradientFlow([RECORD])
    with view.reporting():
        raise KeyError("no such thing")
    assert view.message == "KeyError: 'no such thing'"
    with view.reporting():
        pass
    assert view.message == ""


def test_a_display_is_the_view_and_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("xfm_widgets.base.display", lambda thing, **_: shown.append(thing))
    xw.GradientFlow([RECORD])._ipython_display_()
    live, still = shown
    assert "application/vnd.jupyter.widget-view+json" in live
    assert still._repr_png_()[0].startswith(b"\x89PNG")
