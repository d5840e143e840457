"""The face of explain, and its objects in a notebook: one screen of escaped HTML, and a one-line repr."""

import pkgutil
import re
from dataclasses import replace

import numpy as np
import pytest
from explain.conftest import SCENE, TOKENIZER
from html_page import Page

from xfm import explain
from xfm.base.html_card import ROWS, SIDE, card, clipped, picture, table
from xfm.explain.method_table import attribute
from xfm.explain.prepare_inputs import make_inputs, scene_inputs
from xfm.explain.tracing import trace

EVIL = "a <script>alert('x')</script> & \"b\" \u202e\n\x1b[2J lion"
LINE, SCREEN = 28, 900  # pixels of a row of a table, and of a screen


@pytest.fixture(scope="module")
def objects(model):
    scene, evil = SCENE, np.zeros((9, 9, 3), np.uint8)
    asked = [scene_inputs(model, TOKENIZER, scene), make_inputs(model, TOKENIZER, evil, EVIL)]
    credited = replace(asked[1], credit="<b>me</b>", objects={"<i>it</i>": np.ones((48, 48), bool)})
    traces = [trace(model, TOKENIZER, scene.image, scene.text, "itm"), trace(model, TOKENIZER, evil, EVIL)]
    return [*asked, credited, *traces, *(attribute(i, "input x gradient") for i in (asked[0], credited))]


def test_each_is_one_screen_of_escaped_html_and_one_line(objects):
    allowed = {"div", "img", "table", "tr", "th", "td"}
    for each in objects:
        tags, line = Page(each._repr_html_()), repr(each)
        assert {*tags.tags} <= allowed and tags.tags.count("img") == 1
        assert tags.tags.count("tr") * LINE + SIDE < SCREEN, type(each).__name__
        assert all(text.isprintable() for text in (*tags.texts, line)) and len(line) < 220
        assert line.startswith(type(each).__name__)


def test_each_says_what_it_is_of(objects):
    inputs, hostile, credited, traced, _, attribution, other = objects
    said = [Page(each._repr_html_()).texts for each in (inputs, hostile, credited, traced, attribution, other)]
    assert all(part in " ".join(said[0]) for part in (clipped(inputs.text), "itm", "score", *list(inputs.objects)[:1]))
    assert "alert('x')" in " ".join(said[1]) and "<i>it</i>" in said[2] and "<b>me</b>" in said[5]
    assert {*traced.maps, *traced.states, " × ".join(map(str, traced.maps["cross"].weights.shape))} <= {*said[3]}
    strongest, patch = max(attribution.by_word().items(), key=lambda pair: abs(pair[1]))[0], attribution.patches.abs()
    row, column = divmod(int(patch.argmax()), 6)
    assert said[4][0].startswith("input x gradient of itm, score ")
    assert strongest in said[4] and f"row {row}, column {column}" in said[4]
    both = attribution, replace(attribution, patches=-attribution.patches)
    images = [re.findall(r"base64,([\w+/=]+)", each._repr_html_())[0] for each in both]
    assert images[0] != images[1], "the sign has a colour"


def test_cards_cut_what_is_long():
    rows = table(("a",), [("x" * 500,)] * 1000)
    assert rows.count("<tr>") == ROWS + 2 and f"{1000 - ROWS} more" in rows and len(rows) < 2000
    assert len(picture(np.zeros((2000, 3000, 3), np.uint8))) < 4000
    assert len(card("y" * 9999)) < 500 and clipped(" a\n b ") == "a b" and clipped("abc", 2) == "a…"


def test_every_name_of_the_face_is_there_and_of_its_module() -> None:
    assert {"trace", "attribute", "METHODS", "faithfulness_report", "head_stats"} <= {*dir(explain)}
    assert all(getattr(explain, name) is not None for name in explain.__all__)
    modules = {module.name for module in pkgutil.iter_modules(explain.__path__)}
    assert modules & {*explain.__all__} == {"head_stats"}, "a module of a function's name would hide the function"
    with pytest.raises(AttributeError, match="no attribute 'atribute'"):
        explain.atribute  # noqa: B018
