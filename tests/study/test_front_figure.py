"""Marks that crowd in a Pareto figure, or are far away, keep numbers that can be read."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Annotation, Text
from study.conftest import PRIMARY

from xfm.plots.effect_labels import far
from xfm.plots.pareto import pareto

METRICS = [("language", "higher"), ("vision", "lower"), ("both", "higher")]


def front(places: list[tuple[float, ...]], metrics: int):
    """A figure of variants whose differences on `metrics` axes are `places`."""
    same = {"unit": "", "lacking": False, "baseline": np.nan, "probability": 0.5, "dominated_by": ""}
    rows = [
        {"variant": f"v{i}", "metric": name, "better": better, "front": not i % 2, "effect": at, "mean": at,
         "effect_low": at - 0.3, "effect_high": at + 0.3} | same
        for i, place in enumerate(places)
        for (name, better), at in zip(METRICS[:metrics], place, strict=False)
    ]  # fmt: skip
    return pareto(pd.DataFrame(rows), "v0", "crowded")


def check(figure, variants: int) -> None:
    figure.draw_without_rendering()
    scale = 72 / figure.dpi
    for axes in figure.axes:
        texts = [t for t in axes.texts if isinstance(t, Annotation) and re.fullmatch(r"\d+", t.get_text())]
        assert [text.get_text() for text in texts] == [str(i + 1) for i in range(variants)]
        marks = np.array([axes.transData.transform(text.xy) for text in texts]) * scale
        middles = np.array([Text.get_window_extent(text).get_points().mean(0) for text in texts]) * scale
        assert all(axes.get_window_extent().contains(*middle / scale) for middle in middles), "a number is in its panel"
        for i, (text, mark, middle) in enumerate(zip(texts, marks, middles, strict=True)):
            near = [np.hypot(*(np.delete(of, i, axis=0) - middle).T).min(initial=99) for of in (middles, marks)]
            assert near[0] > 7 and near[1] > 5, "no number covers another, or a mark"
            if text.arrow_patch is None:
                assert np.hypot(*(mark - middle)) < near[1], "without a line it is the nearest mark's"


CROWD = [(0.0, 0.0), (-0.67, 0.93), (0.48, -0.4), (-0.43, 0.93), (-1.26, 0.3), (-0.5, 0.05), (-0.85, 0.05),
         (-0.75, 0.62), (-0.47, 0.62), (-5.1, -6.9)]  # fmt: skip


@pytest.mark.parametrize("metrics", [2, 3])
def test_marks_that_a_far_one_presses_together_keep_their_numbers(metrics):
    """It is far beyond the panel on every metric: a triangle at the edge stands for it, its number inside."""
    check(front(CROWD, 2), len(CROWD))
    places = [tuple(0.3 * np.cos([i, i + 1, i + 2])) for i in range(6)]
    figure = front([*places, (60.0, 60.0, 60.0)], metrics)
    assert all(markers(axes) for axes in figure.axes)
    check(figure, 7)


@pytest.mark.parametrize("metrics", [2, 3])
@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1, 1)] * 3), min_size=1, max_size=6, unique_by=lambda p: (round(p[0]), p[1])))
def test_numbers_are_apart_wherever_marks_are(metrics, places):
    places = [(0.0, 0.0, 0.0), *places]
    check(front(places, metrics), len(places))


CASES = json.loads((Path(__file__).parents[2] / "widgets/tests/far.json").read_text("utf-8"))
SHIFT = {"no_stop_gradient": 0.7, "no_guidance": 0.0, "neither": -0.3, "pixels": 60.0}
NAMING = PRIMARY[2]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["what"])
def test_what_is_far_is_the_same_here_and_in_a_page(case):
    assert far({str(i): tuple(span) for i, span in enumerate(case["spans"])}) == {str(i) for i in case["far"]}


def markers(axes) -> list[str]:
    return [line.get_marker() for line in axes.lines if line.get_marker() in ("<", ">", "v", "^")]


def test_effects_seeds_and_the_front_have_an_arrow_and_the_numbers(invented):
    study = invented(SHIFT)
    row = study.effects().set_index(["variant", "metric"]).loc[("pixels", NAMING)]
    near = study.pairs().query("metric == @NAMING and variant != 'pixels'")["difference"].abs().max()
    axes = study.figure("effects", NAMING).axes[0]
    assert max(map(abs, axes.get_xlim())) < 100 * 2 * near < 100 * row["effect"]
    assert markers(axes) == [">"] and axes.get_xlim()[1] in axes.lines[-1].get_xdata()
    told = "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * row[end] for end in ("effect", "low", "high")))
    assert [text.get_text() for text in axes.texts] == [told]
    assert not markers(invented(SHIFT | {"pixels": 0.9}, root=study.folder).figure("effects", NAMING).axes[0])
    values = study.results().query("metric == @NAMING and variant != 'pixels'")["value"] * 100
    axes, reach = study.figure("seeds", NAMING).axes[0], values.max() - values.min()
    low, high = axes.get_xlim()
    assert markers(axes) == [">"] and values.min() - reach < low < high < values.max() + reach
    assert [text.get_text() for text in axes.texts] == [f"{100 * row['mean']:.3g}"]
    front = study.figure("pareto", [PRIMARY[0], NAMING]).axes[0]
    assert front.xaxis_inverted() and markers(front) == ["<"], "a loss that is far higher: worse, so to the left"
    assert "5" in [text.get_text() for text in front.texts], "it has its number"
