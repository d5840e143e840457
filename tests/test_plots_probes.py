"""Figures of probes, from made-up records: panels, lines, intervals, and what has no path."""

from __future__ import annotations

import numpy as np
import pytest
from test_plots import assert_tidy, said

from xfm import plots
from xfm.plots.probe_figures import READINGS


def record(step: int, shift: float = 0.0, guided: bool = True) -> dict:
    language = {"itc mlm": 0.1 + shift, "itm mlm": -0.05 + shift, "imlm mlm": 0.2, "bbp mlm": None}
    guidance = {"agreement": 0.5 + shift, "agreement_of_mean": 0.4, "target_std": 1.0, "target_rank": 20.0 + shift}
    return {
        "step": step,
        "norm": {"mlm": {"language layer 0": 3.0 + shift, "language embeddings": 4.0, "fusion": None}},
        "held_back": {"itm": 3.0, "imlm": 4.0},
        "cosine": {"language": language, "vision": {"itc mim": 0.9}},
        "drift": {"language": 0.01 * step, "vision": 0.02 * step + shift},
        "cka": {"language": [1.0, 0.9], "vision": [1.0, 0.8 - shift]},
        "guidance": guidance if guided else None,
    }


def runs(seeds: int, guided: bool = True) -> dict:
    shifts = np.linspace(-0.02, 0.02, seeds)
    return {
        v: [[record(step, shift + more, guided) for step in (0, 50, 100)] for shift in shifts]
        for v, more in (("xfm", 0.0), ("no_stop_gradient", 0.03))
    }


def test_every_reading_has_its_panel_with_a_line_a_variant() -> None:
    figure = plots.probes(runs(3), title="probes")
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left").replace("\n", ": ") for axes in panels] == [*READINGS]
    norm = panels[0].lines[0]
    assert norm.get_xdata().tolist() == [0, 50, 100] and norm.get_ydata()[0] == pytest.approx(5, rel=1e-3)
    assert panels[1].lines[0].get_ydata().tolist() == [5, 5, 5], "3 and 4 at right angles"
    assert all(len(axes.lines) == 3 and len(axes.collections) == 2 for axes in panels), "two, and one at 0"
    assert_tidy(figure)
    assert "no_stop_gradient" in said(figure)


def test_many_variants_are_all_drawn_and_no_two_look_the_same() -> None:
    many = {f"variant {i}": runs(1)["xfm"] for i in range(24)}
    figure = plots.probes(many, ["language: drift from the start"])
    lines = [line for line in figure.axes[0].lines if line.get_label() in many]
    looks = [(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines]
    assert len(looks) == len({*looks}) == 24
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {*many}


def test_one_seed_has_no_interval_and_what_nobody_has_no_panel() -> None:
    figure = plots.probes(runs(1, guided=False))
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == sum(not name.startswith("guidance") for name in READINGS)
    assert not any(axes.collections for axes in panels)
    with pytest.raises(ValueError, match=r"readings: 'drift' is none of .*'language: drift from the start'"):
        plots.probes(runs(1), ["drift"])
    with pytest.raises(ValueError, match="probes"):
        plots.probes(runs(1, guided=False), ["guidance: agreement of prediction and target"])


def test_steps_that_a_seed_lacks_are_left_out() -> None:
    some = runs(2)
    del some["xfm"][1][1]
    line = plots.probes(some, ["language: drift from the start"]).axes[0].lines[0]
    assert line.get_xdata().tolist() == [0, 100]


def test_cosines_are_a_triangle_and_no_path_is_no_zero() -> None:
    figure = plots.cosines(record(50), "after 50 steps")
    texts = said(figure).splitlines()
    assert {"0.10", "−0.05", "0.20", "0.90", "language encoder", "vision encoder", "after 50 steps"} <= {*texts}
    assert texts.count("–") >= 1
    assert_tidy(figure)
    with pytest.raises(ValueError, match="cosines"):
        plots.cosines({"cosine": {"language": {}, "vision": {}}})


def test_a_specialist_has_no_line_where_it_has_no_encoder_and_all_are_in_the_legend() -> None:
    both = runs(3)
    for variant, without in (("xfm", "vision"), ("no_stop_gradient", "language")):
        for records in both[variant]:
            for one in records:
                del one["cka"][without]
    figure = plots.probes(both)
    drawn = {axes.get_title(loc="left").split("\n")[1] + axes.get_title(loc="left")[0]: len(axes.lines) - 1
             for axes in figure.axes if axes.axison}  # fmt: skip
    moved = {"drift from the start", "CKA of the last layer with the start"}
    assert {name: n for name, n in drawn.items() if name[:-1] in moved} == {m + e: 1 for m in moved for e in "lv"}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["xfm", "no_stop_gradient"]
    alone = {"xfm": both["xfm"], "no_stop_gradient": both["no_stop_gradient"]}
    one_panel_each = plots.probes(alone, ["language: drift from the start", "vision: drift from the start"])
    assert [text.get_text() for text in one_panel_each.legends[0].get_texts()] == ["xfm", "no_stop_gradient"]
