"""Numbers of marks that crowd in a Pareto figure can be read, and are plainly those of their marks."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text

from xfm.plots.pareto import pareto

METRICS = [("language", "higher"), ("vision", "lower"), ("both", "higher")]


def front(places: list[tuple[float, ...]], metrics: int):
    """A figure of variants whose differences on `metrics` axes are `places`."""
    rows = [
        {
            "variant": f"v{i}", "metric": name, "better": better, "unit": "", "lacking": False, "front": not i % 2,
            "effect": at, "effect_low": at - 0.3, "effect_high": at + 0.3, "mean": at, "baseline": np.nan,
            "probability": 0.5, "dominated_by": "",
        }
        for i, place in enumerate(places)
        for (name, better), at in zip(METRICS[:metrics], place, strict=False)
    ]  # fmt: skip
    return pareto(pd.DataFrame(rows), "v0", "crowded")


def numbers(axes: Axes) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation) and re.fullmatch(r"\d+", text.get_text())]


def check(figure, variants: int) -> None:
    figure.draw_without_rendering()
    scale = 72 / figure.dpi
    for axes in figure.axes:
        texts = numbers(axes)
        assert [text.get_text() for text in texts] == [str(i + 1) for i in range(variants)]
        marks = np.array([axes.transData.transform(text.xy) for text in texts]) * scale
        middles = np.array([Text.get_window_extent(text).get_points().mean(0) for text in texts]) * scale
        inside = axes.get_window_extent()
        for i, (text, mark, middle) in enumerate(zip(texts, marks, middles, strict=True)):
            assert inside.contains(*middle / scale), "a number is in its panel"
            others = np.delete(middles, i, axis=0)
            assert np.hypot(*(others - middle).T).min(initial=99) > 7, "no number covers another"
            reach = np.hypot(*(np.delete(marks, i, axis=0) - middle).T).min(initial=99)
            assert reach > 5, "no number covers a mark"
            if text.arrow_patch is None:
                assert np.hypot(*(mark - middle)) < reach, "without a line it is the nearest mark's"


CROWD = [(0.0, 0.0), (-0.67, 0.93), (0.48, -0.4), (-0.43, 0.93), (-1.26, 0.3), (-0.5, 0.05), (-0.85, 0.05),
         (-0.75, 0.62), (-0.47, 0.62), (-5.1, -6.9)]  # fmt: skip


def test_nine_marks_that_a_tenth_presses_together_keep_their_numbers() -> None:
    check(front(CROWD, 2), len(CROWD))


@pytest.mark.parametrize("metrics", [2, 3])
@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1, 1)] * 3), min_size=1, max_size=6, unique_by=lambda p: (round(p[0]), p[1])))
def test_numbers_are_apart_wherever_marks_are(metrics, places) -> None:
    places = [(0.0, 0.0, 0.0), *places]
    check(front(places, metrics), len(places))


@pytest.mark.parametrize("metrics", [2, 3])
def test_a_mark_at_the_edge_has_its_number_inside(metrics) -> None:
    """One variant is far beyond the panel on every metric: a triangle stands for it."""
    places = [tuple(0.3 * np.cos([i, i + 1, i + 2])) for i in range(6)]
    figure = front([*places, (60.0, 60.0, 60.0)], metrics)
    assert all(any(line.get_marker() in ("<", ">", "v", "^") for line in axes.lines) for axes in figure.axes)
    check(figure, 7)
