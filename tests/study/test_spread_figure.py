"""The figure of what runs vary by says what the table says."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from study.conftest import PRIMARY

from xfm.plots.effect_intervals import spread
from xfm.study import Study

CALM = "no_guidance"  # the variant that hardly varies


@pytest.fixture
def study(invented) -> Study:
    return invented({"no_stop_gradient": 0.0, CALM: 0.0}, noise=0.5)


def calmed(study: Study) -> Any:
    table = study.spread(PRIMARY)
    calm = table["variant"] == CALM
    table.loc[calm, ["sd", "sd_low", "sd_high"]] *= 0.1
    table.loc[calm, ["share", "share_low", "share_high"]] *= 0.01
    return table


def drawn(table: Any) -> Figure:
    return spread(table, ["xfm", "no_stop_gradient", CALM], "xfm", "what varies")


def test_marks_intervals_and_shares_are_the_tables(study: Study) -> None:
    table = calmed(study)
    figure = drawn(table)
    assert [axes.get_title("left") for axes in figure.axes] == [*PRIMARY]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["xfm", "no_stop_gradient", CALM]
    for axes, metric in zip(figure.axes, PRIMARY, strict=True):
        rows: list[Any] = [*table[table["metric"] == metric].itertuples()]
        scale = 100 if rows[0].unit == "%" else 1
        marks = [line for line in axes.lines if line.get_marker() == "o"]
        bars = [line for line in axes.lines if line.get_marker() == "None" and line.get_linestyle() == "-"]
        assert [mark.get_xdata()[0] for mark in marks] == pytest.approx([row.sd * scale for row in rows])
        ends = [(row.sd_low * scale, row.sd_high * scale) for row in rows]
        assert [tuple(bar.get_xdata()) for bar in bars] == [pytest.approx(pair) for pair in ends]
        (whole,) = (line for line in axes.lines if line.get_linestyle() == "--")
        assert whole.get_xdata()[0] == pytest.approx(rows[0].sd * scale)
        assert [text.get_text() for text in axes.texts] == [f"{100 * row.share:.0f}\u00a0%" for row in rows[1:]]
        hollow = [same_color(mark.get_markerfacecolor(), "white") for mark in marks]
        assert hollow == [False, bool(rows[1].share_high >= 1), False], "full: less than where everything varies"
        assert ("percentage points" in axes.get_xlabel()) == (scale == 100) and axes.get_xlim()[0] == 0


def test_a_study_draws_it_and_without_rows_it_is_refused(study: Study) -> None:
    figure = study.figure("spread", PRIMARY[:2])
    assert len(figure.axes) == 2 and figure.bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="rows"):
        drawn(study.spread(PRIMARY)[:0])
