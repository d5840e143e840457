"""What every view writes into a file, says when a callable fails, and is joined of; gradient flow's numbers."""

import base64
import json
import math
import re
from pathlib import Path
from typing import Any, cast

import conforming
import javascript
import offline_pages
import pytest
import traitlets

import xfm_widgets as xw
from xfm.config import ConfigError
from xfm_widgets import esm
from xfm_widgets.pages import STATIC, script_json
from xfm_widgets.view import View

VIEWS = [getattr(xw, name) for name in xw.__all__ if name not in ("View", "figures")]
HOSTILE = '</script><img src=x onerror="alert(1)">\u2028&'
RECORD = {"step": 0, "norm": {"itm": {"vision": 1.0, "language layer 0": None}}, "held_back": {"itm": 3.0}}


def test_text_in_an_export_cannot_leave_its_script(tmp_path: Path) -> None:
    view = xw.GradientFlow([RECORD], credit="Pictures: mine </script>")
    view.tell(payload=view.payload | {"objectives": [view.payload["objectives"][0] | {"title": HOSTILE}]})
    page = view.to_html(tmp_path / "a.html").read_text("utf-8")
    assert "Pictures: mine \\u003c/script>" in page and "</script><img" not in page and "\u2028" not in page
    state = offline_pages.state(page)
    assert state["payload"]["objectives"][0]["title"] == HOSTILE
    assert "default-src 'none'" in page and "OpenMoji" not in page and state["credit"] == "Pictures: mine </script>"
    assert state["share"] == 0 and not any(name.startswith("_") for name in state)


def test_every_key_of_an_export_stays_a_key_bytes_become_text_and_what_is_no_json_is_refused() -> None:
    value = {"__proto__": {"__proto__": 1}, 'a"__proto__': 2, "b": ["__proto__", ': "__proto__":', {"__proto__": 3}]}
    told = javascript.run(f"const value = {script_json(value)}; answer(JSON.stringify(value));")
    assert json.loads(told) == value
    assert base64.b64decode(json.loads(script_json({"array": b"\x00\xff"}))["array"]["$bytes"]) == b"\x00\xff"
    for wrong, said in ((float("nan"), "not JSON compliant"), (object(), "object in a view's state")):
        with pytest.raises((ValueError, TypeError), match=said):
            script_json({"a": wrong})


def test_what_a_callable_raises_stands_in_the_view_and_is_heard_again() -> None:
    view, heard = xw.GradientFlow([RECORD]), list[str]()
    view.observe(lambda change: heard.append(change["new"]), "message")
    for _ in range(2):
        with view.reporting():
            raise KeyError("no such thing")
    with view.reporting():
        pass
    assert heard == ["KeyError: 'no such thing'", ""] * 2


def test_a_display_is_the_view_and_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("xfm_widgets.view.display", lambda thing, **_: shown.append(thing))
    (view := xw.GradientFlow([RECORD]))._ipython_display_()
    live, still = shown
    assert "application/vnd.jupyter.widget-view+json" in live
    assert base64.b64decode(still["image/png"]).startswith(b"\x89PNG") and still["image/png"] in still["text/html"]
    assert f'class="{view.tools["figure"]}"' in still["text/html"]


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: v.__name__)
def test_every_view_is_small_explains_words_and_names_its_choices(view: type[View]) -> None:
    assert len((str(view._esm) + str(view._css)).encode()) < 162_000  # TraceExplorer has the most: 159 kB
    tools = view._tools()
    assert len(tools["terms"]) >= 5 and all(len(meaning) > 20 for _, meaning in tools["terms"])
    kept = set(view.choices()) - {"paused"}  # what is undone does not train
    assert set(tools["choices"]) == kept and not {"credit", "message", "tools"} & kept


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
    view._hear(view, {"do": "open", "of": FLOW % '{"step": 1, "share": 7, "objectives": ["itm", "none"]}'}, [])
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


# ---- gradient flow: a probe's record, by encoder, under any share
LANGUAGE = {"language embeddings": 3.0, "language layer 0": 4.0}
MEASURED = {"step": 5, "held_back": {"itc": 0.0, "itm": 2.0}, "norm": {
    "mlm": LANGUAGE | {"vision": None, "fusion": None},
    "itc": LANGUAGE | {"vision": 2.0, "fusion": None},
    "itm": {"language embeddings": None, "vision": 1.0, "vision mask token": 0.0, "fusion": 6.0},
    "mim": {"vision": 7.0, "vision mask token": 0.0, "language embeddings": None, "fusion": None},
}}  # fmt: skip


def test_norms_are_those_of_whole_encoders_and_what_was_held_back_is_what_would_flow():
    view = xw.GradientFlow([MEASURED])
    assert view.flowing()["mlm"] == {"language": 5.0, "vision": None, "fusion": None}
    assert view.flowing()["itm"] == {"language": None, "vision": 1.0, "fusion": 6.0}
    view.share = 0.25
    assert view.flowing()["itm"]["language"] == pytest.approx(0.5)
    table = view.data().set_index(["objective", "encoder"])["gradient norm, whole"]
    assert table["itm", "language"] == 2.0 and math.isnan(table["mlm", "vision"])


def test_a_dose_that_was_trained_with_is_undone():
    dosed = {"step": 0, "held_back": {"itm": 1.5}, "norm": {"itm": {"language layer 0": 0.5, "fusion": 1.0}}}
    view = xw.GradientFlow([dosed], share=0.25)
    assert view.flowing()["itm"]["language"] == pytest.approx(0.5)
    view.share = 1.0
    assert view.flowing()["itm"]["language"] == pytest.approx(2.0)


def test_only_measured_targets_have_numbers():
    view = xw.GradientFlow({"self": [MEASURED], "pixels": [MEASURED | {"norm": {"mim": {"vision": 9.0}}}]})
    for view.mim_target, norm in (("self", 7.0), ("pixels", 9.0), ("frozen", None)):
        assert view.flowing()["mim"]["vision"] == norm
    with pytest.raises(ConfigError, match="there are self, frozen"):
        xw.GradientFlow({"pixel": [MEASURED]})


def test_a_seventh_loss_is_shown_as_what_its_gradients_say():
    for reached, kind in (("language layer 0", "text"), ("vision", "image"), ("fusion", "fusion")):
        norms = dict.fromkeys(("language layer 0", "vision", "fusion")) | {reached: 1.0}
        view = xw.GradientFlow([MEASURED, {"step": 6, "norm": {"new": norms}, "held_back": {}}], step=1)
        assert view.objectives == ["mlm", "mim", "itc", "itm", "new"] and list(view.flowing()) == ["new"]
        assert (view.payload["objectives"][-1]["name"], view.payload["objectives"][-1]["kind"]) == ("new", kind)


# ---- modules are joined into one that does the same, or not at all
def test_every_module_joins_once_the_same_each_time_and_exports_under_node_what_it_did() -> None:
    entries = sorted(STATIC.rglob("*.js"))
    script = esm.join(*entries)
    once = re.findall(r"^const (\$\w+) = \(\(\) => \{$", script, re.MULTILINE)
    assert script == esm.join(*entries) and len(once) == len({*once}) >= len(entries) > 60
    paths = ", ".join(f'import("./{entry.relative_to(STATIC).as_posix()}")' for entry in entries)
    names = javascript.run(f"answer((await Promise.all([{paths}])).map((own) => Object.keys(own).sort()));")
    constants = ", ".join(map(esm.constant, entries))
    joined = javascript.run(f"{script}\nanswer([{constants}].map((own) => Object.keys(own).sort()));")
    assert joined == names


REFUSED = {
    "a cycle: view.js → view.js": ['import { a } from "./view.js";'],
    "a cycle: view.js → c.js → view.js": ['import { f } from "./c.js";'],
    "missing.js, which view.js imports, is not there": ['import { a } from "./missing.js";'],
    "view.js imports hidden, which b.js does not export": ['import { hidden } from "./b.js";'],
    "must be a file of the views": ['import { a } from "https://example.org/a.js";', 'import { a } from "lodash";'],
    "more than join": [
        'import * as b from "./b.js";', 'import b from "./b.js";', 'const b = await import("./b.js");',
        "console.log(import.meta.url);", "export let n = 0;", 'export * from "./b.js";',
        'export { shown } from "./b.js";', "export default function f() {}",
    ],
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_joined_is_refused(tmp_path: Path, why: str) -> None:
    (tmp_path / "b.js").write_text("export const shown = 1;\nconst hidden = 2;\nvoid hidden;\n", encoding="utf-8")
    (tmp_path / "c.js").write_text('import { a } from "./view.js";\nexport const f = a;\n', encoding="utf-8")
    for source in REFUSED[why]:
        (tmp_path / "view.js").write_text(source, encoding="utf-8")
        with pytest.raises(esm.JoinError, match=re.escape(why)):
            esm.join(tmp_path / "view.js")


# ---- the payloads' types: complete, and those of the views; what views send, conftest.py checks in every test
STANDARD = {"layout", "tooltip", "tabbable"}  # of every widget
PLAIN = {traitlets.Unicode: "string", traitlets.Bool: "boolean", traitlets.Int: "Int", traitlets.Float: "number",
         traitlets.Bytes: "DataView"}  # fmt: skip


def declared(trait: traitlets.TraitType[Any, Any], written: str) -> str:
    if isinstance(trait, traitlets.Dict):
        kinds = conforming.declared()
        return written if written.startswith("Record<") or isinstance(kinds.get(written), dict) else "an interface"
    if isinstance(trait, traitlets.Enum):
        return " | ".join(f'"{value}"' for value in trait.values or ())
    if isinstance(trait, traitlets.List):
        return f"{declared(cast(Any, trait._trait), written)}[]"
    return next(kind for trait_type, kind in PLAIN.items() if isinstance(trait, trait_type))


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_every_synced_trait_of_a_view_has_its_type(view: type[xw.View]) -> None:
    written = conforming.declared()[f"{view.__name__}Traits"]
    traits = {n: t for n, t in view.class_traits(sync=True).items() if n[0] != "_" and n not in STANDARD}
    assert {name: declared(trait, written.get(name, "")) for name, trait in traits.items()} == written
