"""Figures of attributions, attention and leaderboards: what is drawn, that no texts overlap, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from test_plots import assert_tidy, said

from xfm import plots, recipes
from xfm.base.fields import ConfigError
from xfm.data import dataset
from xfm.explain import faithfulness, interventions
from xfm.explain.ground_truth_inputs import scene_inputs
from xfm.explain.leaderboards import COLUMNS, leaderboard, leaderboard_scenes
from xfm.explain.method_table import METHODS, SLOW, attribute
from xfm.explain.tracing import trace
from xfm.objectives import build

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
WORDS = DATA.tokenizer()
SCENE = next(s for s in (DATA.world.scene("test", i) for i in range(99)) if len(s.objects) == 3)


@pytest.fixture(scope="module")
def question():
    return scene_inputs(build(CONFIG), WORDS, SCENE, about=1)


def test_attributions_show_every_method_and_every_word(question):
    found = [attribute(question, method) for method in METHODS if method not in SLOW]
    figure = plots.attributions(SCENE.image, found, question.truth, "ITM")
    text = said(figure)
    assert all(method in text for method in METHODS if method not in SLOW)
    assert all(text.count(word) >= len(found) for word in found[0].by_word() if len(word) < 12)
    assert_tidy(figure)
    assert_tidy(plots.attributions(SCENE.image, found[:1]))
    one = next(a for a in found if a.signed)
    tenth = replace(one, text=one.text / 10, patches=one.patches / 10)
    scales = [said(plots.attributions(SCENE.image, [a])) for a in (one, tenth)]
    for told, a in zip(scales, (one, tenth), strict=True):  # each panel has a scale of its own, and says which
        most = max(a.patches.tolist(), key=abs)
        assert f"most {most:+.2g} (patches)".replace("-", "−") in told.replace("\n  ", " ")
    with pytest.raises(ValueError, match="no attributions"):
        plots.attributions(SCENE.image, [])


def test_each_panel_has_the_truth_that_is_its_own(question):
    one, left = attribute(question, "random"), np.zeros((48, 48), bool)
    left[:, :9] = True
    figure = plots.attributions(SCENE.image, [one] * 3, [left, None, ~left])
    edges = [[c.get_paths()[0].get_extents().x1 for c in axes.collections] for axes in figure.axes[:3]]
    assert edges[0] and not edges[1] and edges[0] == edges[2], "one edge, seen from both sides"
    assert edges[0] == pytest.approx([8.5] * 2, abs=0.3)
    with pytest.raises(ValueError, match="zip"):
        plots.attributions(SCENE.image, [one], [left, left])


def test_numbers_are_drawn_where_they_are(question):
    one = attribute(question, "random")
    figure = plots.attributions(np.full_like(SCENE.image, 128), [one])
    shown = figure.axes[0].images[0].get_array()
    most, least = (one.grid.rectangle(int(patch)) for patch in (one.patches.argmax(), one.patches.argmin()))
    bright, dark = (shown[y : y + h, x : x + w].mean((0, 1)) for x, y, w, h in (most, least))
    assert bright[0] > dark[0] + 0.1 and bright[2] < dark[2] - 0.1  # viridis: yellow for the most
    widths = [bar.get_width() for bar in figure.axes[1].patches]
    values = list(one.by_word().values())
    np.testing.assert_allclose(widths, np.array(values) / max(values), rtol=1e-5)


@pytest.mark.parametrize("name", ["language", "vision", "fusion", "cross"])
def test_attention_is_a_picture_or_a_matrix_a_head(question, name):
    traced = trace(question.model, WORDS, SCENE.image, question.text, "itm")
    layers, heads = traced.maps[name].weights.shape[:2]
    by_words = name in ("language", "fusion")
    with pytest.raises(ConfigError, match=f"map = '{name}'"):
        (plots.attention if by_words else plots.attention_matrices)(traced, name)
    if by_words:
        figure = plots.attention_matrices(traced, name)
        np.testing.assert_allclose(figure.axes[1].images[0].get_array(), traced.maps[name].weights[-1, 1])
        assert len(figure.axes) == heads
    else:
        figure = plots.attention(traced, name, 2, credit=SCENE.credit)
        assert said(figure).count("head ") == layers * heads and SCENE.credit in said(figure)
    assert_tidy(figure)


def test_maps_over_a_picture_have_a_panel_each(question):
    values = np.zeros(SCENE.image.shape[:2])
    values[:4] = 1.0
    figure = plots.patch_maps(SCENE.image, {"first": values, "second": -values}, "Maps", columns=3, signed=True)
    shown = [axes.images[0].get_array() for axes in figure.axes[:2]]
    assert (
        "first" in said(figure)
        and np.abs(shown[0][:4] - shown[1][:4]).min() > 0
        and (shown[0][4:] == shown[1][4:]).all()
    )
    assert_tidy(figure)


def test_titles_of_panels_side_by_side_are_apart(question):
    one = attribute(question, "ablation")
    names = ["box height: generic attention", "box height: occlusion", "word elephantine: integrated gradients", "x"]
    figure = plots.attributions(SCENE.image, [replace(one, method=name) for name in names])
    FigureCanvasAgg(figure).draw()
    titles = [axes.title if axes.get_title() else axes._left_title for axes in figure.axes[:4]]
    boxes = [title.get_window_extent() for title in titles]
    assert [" ".join(title.get_text().split()) for title in titles] == names
    assert all(left.x1 + 3 < right.x0 for left, right in itertools.pairwise(boxes))
    assert_tidy(figure)


def test_curves_and_the_leaderboard(question):
    methods = ["saliency", "ablation", "edges"]
    found = {m: faithfulness.perturbation_curves(question, attribute(question, m)) for m in methods}
    figure = plots.insertion_deletion(found, "log-odds")
    assert_tidy(figure)
    for axes, name in zip(
        figure.axes, ["insertion, image", "deletion, image", "insertion, text", "deletion, text"], strict=True
    ):
        assert axes.get_title(loc="left").startswith(name)
        np.testing.assert_allclose(axes.lines[0].get_ydata(), found["saliency"][name].scores)
    board = leaderboard(question.model, WORDS, leaderboard_scenes(DATA.world, 3), methods)
    figure = plots.leaderboard(board.table(), COLUMNS[:6])
    assert_tidy(figure)
    assert all(method in said(figure) for method in methods)
    assert "left is better" in said(figure)
    others = ["weights drawn anew, image", "milliseconds", "pointing game"]
    asides = [axes.get_xlabel() for axes in plots.leaderboard(board.table(), others).axes]
    assert asides == ["0: changes with the model's weights", "left is better", "right is better"]


def test_heads_and_bars(question):
    frame = interventions.head_importance([question]).frame
    figure = plots.heads(frame)
    assert_tidy(figure)
    assert said(figure).count("attention x gradient") == 1
    values = {"vision.blocks.0": 0.2, "vision.blocks.1": -0.1}
    figure = plots.bars(values, "share restored", "Patching", reference=(0, 1))
    assert_tidy(figure)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.2, -0.1]


def test_charts_draw_their_numbers():
    table = pd.DataFrame({"a": [0.5, -1.0], "b": [np.nan, 0.25]}, ["x", "y"])
    figure = plots.heatmap(table, "Map", digits=1)
    assert [t.get_text() for t in figure.axes[0].texts] == ["0.5", "–", "−1.0", "0.2"]
    assert_tidy(figure)
    figure = plots.lines(table, "heads", "right (%)", "Lines", reference=0.5)
    assert [line.get_ydata()[-1] for line in figure.axes[0].lines] == [-1.0, 0.25, 0.5]
    assert_tidy(figure)
    figure = plots.scatter(
        {"one": np.ones((2, 3)), "two": np.zeros((2, 3))}, "layer", "distance", reference={"two": 0.3}
    )
    one, two = figure.axes
    assert len(one.lines) == 3 and len(two.lines) == 4 and two.lines[-1].get_ydata()[0] == 0.3
    assert_tidy(figure)
    figure = plots.images({"left": SCENE.image, "right": SCENE.image[:, ::-1]}, credit="Pictures: mine")
    assert (figure.axes[1].images[0].get_array() == SCENE.image[:, ::-1]).all() and "Pictures: mine" in said(figure)
    assert_tidy(figure)
