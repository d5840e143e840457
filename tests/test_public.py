"""The public face: what `xfm.<TAB>` offers, that each name is explained, and that help needs no torch."""

import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from html_page import Page

import xfm
from xfm.base.numbers import amount
from xfm.data.source import CaptionedImage
from xfm.lab import CHECKPOINTS
from xfm.study import Study
from xfm.tasks import Evaluation, find_result, from_json

ROOT = Path(__file__).resolve().parents[1]

ROOMS = ("xfm", "xfm.explain", "xfm.plots", "xfm.recipes", "xfm.report", "xfm.study", "xfm.tasks", "xfm_widgets")
OFFERED = {"plots", "explain", "study", "evaluate", "report", "recipes", "load", "pretrain"}


def test_public_names_are_few_and_each_is_explained() -> None:
    offered = {name for name in dir(xfm) if name[0] != "_"}
    assert OFFERED <= offered <= OFFERED | {"Lab", "Run", "Study"}, "a name that nobody calls"
    rooms = {room: import_module(room) for room in ROOMS}
    values = {f"{room}.{name}": getattr(module, name) for room, module in rooms.items() for name in module.__all__}
    asked = {name: value for name, value in values.items() if inspect.isroutine(value) or inspect.isclass(value)}
    assert [name for name, value in asked.items() if not inspect.getdoc(value)] == []
    assert 80 < len(values) <= 160, "\n".join(values)
    with pytest.raises(AttributeError, match=r"no attribute 'plot'; it has Lab, .*plots"):
        _ = xfm.plot  # type: ignore[attr-defined]


def test_what_ends_a_cell_is_one_screen_and_one_line() -> None:
    lab = xfm.load("demo")
    study = Study.load(ROOT / "studies" / "insulation")
    results = from_json((CHECKPOINTS / "demo" / "evaluation.json").read_text("utf-8"))
    evaluation, scene = Evaluation(results, {"x": "<b>no</b>"}), lab.scene(9)
    hostile = CaptionedImage(np.zeros((8, 8, 3), np.uint8), "<script>alert(1)</script>", credit="<b>me</b>")
    shown = {each: Page(each._repr_html_()) for each in (lab, lab.run, scene, hostile, study)}
    table = Page(evaluation._repr_html_())
    for each, html in [*shown.items(), (evaluation, table)]:
        assert {*html.tags} <= {"div", "img", "svg", "polyline", "table", "tr", "th", "td"}, "text has become HTML"
        assert html.tags.count("tr") * 28 + 168 < 900, f"{type(each).__name__}: more than a screen"
        line = repr(each)
        assert "\n" not in line and len(line) < 220 and line.startswith(type(each).__name__)
    assert "vqa" in shown[lab].text()
    assert scene.text in shown[scene].text() and scene.phrases[0].text in shown[scene].text()
    named = amount(find_result(list(evaluation), "naming", "accuracy").value, "%", digits=1)
    assert shown[lab.run].tags.count("svg") == 1 and named in shown[lab.run].text()
    assert "no stop" in shown[study].text() and "Why does the stop-gradient" in shown[study].text()
    assert table.text().count("chance") == 4 and "a coin" not in table.text() and "<b>no</b>" in table.text()
