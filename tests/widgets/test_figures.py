"""The static figures of the views: what they draw, and that no texts overlap."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.offsetbox import AnnotationBbox
from matplotlib.patches import Circle
from matplotlib.text import Text
from test_plots import said, tidy
from test_plots_hostile import pairs

import xfm_widgets as xw
from xfm import recipes
from xfm.explain.token_axes import PatchAxis, TokenAxis
from xfm.explain.tracing import Trace
from xfm.objectives import OBJECTIVES
from xfm_widgets import figures

IMAGE = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)
WORDS = TokenAxis(("<s>", "li", "on", "</s>"), (-1, 0, 0, -1), ("lion",))
CREDIT = "Pictures: mine"


def test_attention_has_a_panel_a_side():
    trace = Trace("lion", IMAGE, WORDS, PatchAxis(4, 12), {}, {}, {})
    sides = [
        figures.AttentionSide("“li” looks at", "patches", torch.linspace(0, 1, 17)),
        figures.AttentionSide("looks at patch 3", "words", torch.tensor([0.1, -0.4, 0.2, 0.3])),
    ]
    figure = figures.plot_attention(sides, trace, signed=True, title="A − B", credit=CREDIT)
    assert [bar.get_width() for bar in figure.axes[1].patches] == pytest.approx([0.1, -0.4, 0.2, 0.3])
    assert {"“li” looks at", "li", "the token of the whole picture: 0.000", CREDIT} <= {*tidy(figure)}


def test_grounding_draws_what_is_known():
    boxes = {"true": (2, 8, 20, 10), "predicted": (4, 8, 20, 10)}
    figure = figures.grounding(IMAGE, "“a lion”", boxes, np.linspace(0, 1, 16).reshape(4, 4), "layer 1", (), CREDIT)
    assert {tuple(p.get_bbox().bounds) for p in figure.axes[0].patches} == {(3.5, 7.5, 20, 10), (1.5, 7.5, 20, 10)}
    assert {"true box", "predicted box", "layer 1; largest: 1.000", CREDIT} <= {*tidy(figure)}
    assert "box" not in said(figures.grounding(IMAGE, "“a lion”"))


def test_masked_prediction_shows_guesses_and_cosines():
    hidden = np.arange(16) == 5
    guesses = {"guesses": [("lion", 0.9), ("cat", 0.004)], "truth": 0.9}
    other = {"guesses": [("cat", 0.5)], "truth": None}
    words = [{"piece": "lion", "with": guesses, "without": other}, {"piece": "here", "with": None, "without": guesses}]
    agreement = np.where(hidden, 0.25, np.nan)
    figure = figures.masked_prediction(IMAGE, hidden, agreement, IMAGE, words, "1 hidden", CREDIT)
    texts = {line.replace("\u00a0", " ") for line in tidy(figure)}
    assert {"lion 0.90 ✓, cat 0.004", "cat 0.50 (lion –)", "not given", "0.25", CREDIT} <= texts
    assert (figure.axes[2].images[0].get_array()[12:24, 12:24] == IMAGE[12:24, 12:24]).all()


@pytest.mark.parametrize("direction", ["text to image", "image to text"])
def test_retrieval_ranks_and_maps(direction: str):
    given, itm = replace(pairs("a"), texts=("one", "two", "of many words " * 12)), np.array([np.nan, np.nan, 7.5])
    words = "\n".join(tidy(figures.plot_retrieval(given, direction, 2, itm, selected=[1, 5], credit=CREDIT)))
    assert all(part in words for part in ("ITM 7.50", CREDIT, "lines join pairs", "selected"))
    assert f"Retrieval, {direction}: the first true answer has rank" in words and words.count("✓") == 1


def test_runs_are_compared_panel_by_panel():
    steps = np.arange(1.0, 41)
    both, held_out = {"a": (steps, steps), "b": (steps, steps * 2)}, {"a": (steps[-1:], np.array([9.0]))}
    panel, other = figures.CurvePanel(both, held_out, "nats"), figures.CurvePanel({"a": (steps, -steps)})
    figure = figures.compare_runs({"MLM, texts": panel, "ITC": other}, 0.1, True, "Losses")
    first, second = figure.axes
    assert len(first.lines) == 5 and first.get_yscale() == "log" and second.get_yscale() == "linear"
    assert {"a", "b", "held-out data", "nats", "MLM, texts"} <= {*tidy(figure)}


@pytest.mark.parametrize(("changes", "expected", "valves"), [
    ({}, "stop-gradient\nITM × 0, IMLM × 0, BBP × 0", 1),
    (recipes.ablations()["no_stop_gradient"], "no stop-gradient\nITM × 1, IMLM × 1, BBP × 1", 1),
    ({"flow.text_gradient.itm": 0.5}, "gradient scale\nITM × 0.5, IMLM × 0, BBP × 0", 1),
    ({"flow.text_gradient.itc": 0.0}, "stop-gradient\nITC × 0", 2),
])  # fmt: skip
def test_the_flow_shows_a_valve_at_the_stop_and_gradient_scales(changes: dict, expected: str, valves: int):
    figure = figures.flow_diagram(recipes.smoke().replace(changes).flow, "Flow")
    assert expected in "\n".join(tidy(figure))
    assert sum(isinstance(patch, Circle) for patch in figure.axes[0].patches) == valves == len(figure.axes[0].lines)


def test_the_flow_marks_its_losses_as_the_view_does():
    layout = (Path(xw.__file__).parent / "static" / "flow_layout.js").read_text("utf-8")
    marks = re.findall('"(.)"', re.search(r"MARKS = \[(.*?)\]", layout)[1])  # type: ignore[index]
    figure = figures.flow_diagram(recipes.smoke().flow, held_back={"itm": 1.5, "itc": 0.0})
    assert "held back: ITM 1.5" in said(figure) and said(figure).count("held back") == 1
    texts = [box.findobj(Text) for box in figure.axes[0].findobj(AnnotationBbox)]
    shown = {one[-1].get_text(): one[0].get_text() for one in texts if len(one) > 1}
    assert shown == {name.upper(): mark for name, mark in zip(OBJECTIVES, marks, strict=True)}


def test_answers_stand_with_their_truth_and_their_confidence():
    truth = figures.Said("truth", "red", True, None, (0.25, 0.5, 0.5, 0.5))
    said_by = [figures.Said("mine", "red", True, 0.83, (0.5, 0.5, 0.5, 0.25)), figures.Said("control", "blue", False)]
    rows = [{"low": 0.0, "high": 0.5, "n": 0, "right": None}, {"low": 0.5, "high": 1.0, "n": 12, "right": 0.75}]
    trust = {"mine": rows, "control": []}
    figure = figures.plot_answers("t", ["which?"], truth, said_by, [IMAGE, IMAGE], trust, CREDIT)
    assert {"which?", "truth: red", "✓ mine: red, 83 %", "✗ control: blue", CREDIT} <= {*tidy(figure)}
    bounds = {tuple(p.get_bbox().bounds) for p in figure.axes[0].patches}
    assert bounds == {(-0.5, 11.5, 24, 24), (11.5, 17.5, 24, 12)}
    assert figure.axes[-1].lines[1].get_xydata().tolist() == [[75, 75]]
    (interval,) = figure.axes[-1].collections[0].get_segments()
    assert interval[:, 1] == pytest.approx([46.8, 91.1], abs=0.1), "Wilson’s of 9 in 12"
    assert "These answers have no confidence." in said(figures.plot_answers("t", [], truth, said_by[1:]))
