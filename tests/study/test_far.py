"""A variant that is far from all others does not press them into a line: figures say in words where it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from study.conftest import PRIMARY

from xfm.plots.effect_labels import far

CASES = json.loads((Path(__file__).parents[2] / "widgets/tests/far.json").read_text("utf-8"))
SHIFT = {"no_stop_gradient": 0.7, "no_guidance": 0.0, "neither": -0.3, "pixels": 60.0}
NAMING = PRIMARY[2]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["what"])
def test_what_is_far_is_the_same_here_and_in_a_page(case) -> None:
    assert far({str(i): tuple(span) for i, span in enumerate(case["spans"])}) == {str(i) for i in case["far"]}


def markers(axes) -> list[str]:
    return [line.get_marker() for line in axes.lines if line.get_marker() in ("<", ">", "v", "^")]


def test_effects_have_an_arrow_and_the_numbers(invented) -> None:
    study = invented(SHIFT)
    row = study.effects().set_index(["variant", "metric"]).loc[("pixels", NAMING)]
    near = study.pairs().query("metric == @NAMING and variant != 'pixels'")["difference"].abs().max()
    axes = study.figure("effects", NAMING).axes[0]
    assert max(map(abs, axes.get_xlim())) < 100 * 2 * near < 100 * row["effect"]
    assert markers(axes) == [">"] and axes.get_xlim()[1] in axes.lines[-1].get_xdata()
    told = "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * row[end] for end in ("effect", "low", "high")))
    assert [text.get_text() for text in axes.texts] == [told]
    assert not markers(invented(SHIFT | {"pixels": 0.9}, root=study.folder).figure("effects", NAMING).axes[0])


def test_so_have_the_seeds_and_the_front(invented) -> None:
    study = invented(SHIFT)
    values = study.results().query("metric == @NAMING and variant != 'pixels'")["value"] * 100
    axes = study.figure("seeds", NAMING).axes[0]
    reach = values.max() - values.min()
    assert (
        markers(axes) == [">"] and values.min() - reach < axes.get_xlim()[0] < axes.get_xlim()[1] < values.max() + reach
    )
    mean = 100 * study.effects().set_index(["variant", "metric"]).loc[("pixels", NAMING), "mean"]
    assert [text.get_text() for text in axes.texts] == [f"{mean:.3g}"]
    front = study.figure("pareto", [PRIMARY[0], NAMING]).axes[0]
    assert front.xaxis_inverted() and markers(front) == ["<"], "a loss that is far higher: worse, so to the left"
    assert "5" in [text.get_text() for text in front.texts], "it has its number"
