"""The public face: what `xfm.<TAB>` offers, that each name is explained, and that help needs no torch."""

import inspect
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from jupyter_client.manager import start_new_kernel

import xfm
from xfm.data.source import CaptionedImage
from xfm.lab import CHECKPOINTS
from xfm.study import Study
from xfm.tasks import Evaluation, from_json

ROOT = Path(__file__).resolve().parents[1]

ROOMS = ("xfm", "xfm.explain", "xfm.plots", "xfm.recipes", "xfm.report", "xfm.study", "xfm.tasks", "xfm_widgets")
OFFERED = {"plots", "explain", "study", "evaluate", "report", "recipes", "load", "pretrain"}


def test_a_kernel_completes_public_names_alone() -> None:
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute("import xfm", reply=True, timeout=60)
        reply = client.complete("xfm.", 4, reply=True, timeout=60)["content"]["matches"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    names = {match.removeprefix("xfm.") for match in reply}
    assert names >= OFFERED
    assert names <= OFFERED | {"Lab", "Run", "Study"}, "a name that nobody calls"


def test_public_names_are_few_and_each_is_explained() -> None:
    rooms = {room: import_module(room) for room in ROOMS}
    values = {f"{room}.{name}": getattr(module, name) for room, module in rooms.items() for name in module.__all__}
    asked = {name: value for name, value in values.items() if inspect.isroutine(value) or inspect.isclass(value)}
    assert [name for name, value in asked.items() if not inspect.getdoc(value)] == []
    assert 80 < len(values) <= 160, "\n".join(values)
    with pytest.raises(AttributeError, match=r"no attribute 'plot'; it has Lab, .*plots"):
        _ = xfm.plot  # type: ignore[attr-defined]


class Texts(HTMLParser):
    """Tags and texts of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def test_what_ends_a_cell_is_one_screen_and_one_line() -> None:
    lab = xfm.load("demo")
    study = Study.load(ROOT / "studies" / "insulation")
    evaluation = Evaluation(
        from_json((CHECKPOINTS / "demo" / "evaluation.json").read_text("utf-8")), {"x": "<b>no</b>"}
    )
    scene = lab.scene(9)
    hostile = CaptionedImage(np.zeros((8, 8, 3), np.uint8), "<script>alert(1)</script>", credit="<b>me</b>")
    shown = {each: Texts(each._repr_html_()) for each in (lab, lab.run, scene, hostile, study)}
    table = Texts(evaluation._repr_html_())
    for each, html in [*shown.items(), (evaluation, table)]:
        assert {*html.tags} <= {"div", "img", "svg", "polyline", "table", "tr", "th", "td"}, "text has become HTML"
        assert html.tags.count("tr") * 28 + 168 < 900, f"{type(each).__name__}: more than a screen"
        line = repr(each)
        assert "\n" not in line and len(line) < 220 and line.startswith(type(each).__name__)
    assert "vqa" in shown[lab].text
    assert scene.text in shown[scene].text and scene.phrases[0].text in shown[scene].text
    assert shown[lab.run].tags.count("svg") == 1 and "99.0 %" in shown[lab.run].text
    assert "no stop" in shown[study].text and "Why does the stop-gradient" in shown[study].text
    assert table.text.count("chance") == 4 and "a coin" not in table.text and "<b>no</b>" in table.text
