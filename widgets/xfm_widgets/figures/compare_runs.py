"""Curves of several runs over each other, as the training monitor shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from xfm.plots import Figure
from xfm.plots.curve_records import smooth
from xfm.plots.labels import clip
from xfm.plots.palette import GREY, SHADE
from xfm.plots.probe_figures import cycle
from xfm.plots.style import SIZE, WIDTH, message_figure, new_figure, styled

Looks = Mapping[str, tuple[Any, Any, Any]]  # colour, dash, marker of each run


@dataclass
class CurvePanel:
    """Of every run a line, and points of held-out data: steps done (T,), values (T,)."""

    lines: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    held_out: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    unit: str = ""
    dense: bool = True  # a value a step or nearly: there is something to smooth
    levels: list[float] = field(default_factory=list)  # of chance, and of constant predictions
    moving: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # levels that change: steps, values (T,)
    joins: list[int] = field(default_factory=list)  # after how many steps the loss joins, of each run
    marks: list[int] = field(default_factory=list)  # steps at which what is summed up here changes
    end: int = 0  # steps in all, where they are known


@styled
def compare_runs(
    panels: Mapping[str, CurvePanel], smoothing: float = 0.0, logarithmic: bool = False, title: str = ""
) -> Figure:
    """Draws one panel per curve, a colour and dash per run.

    Dotted: levels of chance and of constant predictions. Grey: steps before a loss joins. Dashed: steps at which a loss
    joins a sum. Without panels a figure says that no step is recorded.

    Args:
        panels: curves by their names.
        smoothing: width of the running mean as a fraction of the steps; the values are faint behind it.
        logarithmic: whether panels have a logarithmic axis where all values are above zero.
    """
    if not panels:
        return message_figure(f"{title}: no step is recorded" if title else "No step is recorded")
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(WIDTH * columns / 3 + 0.3, 2.0 * rows + 0.6, title)
    runs = list(dict.fromkeys(run for panel in panels.values() for run in (*panel.lines, *panel.held_out)))
    looks = dict(zip(runs, cycle(), strict=False))
    for i, (name, panel) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        _draw_panel(axes, panel, looks, smoothing, logarithmic)
        axes.set_title(clip(name, 40), fontsize=SIZE + 0.5)
        axes.set_xlabel("step" if i + columns >= len(panels) else "", fontsize=SIZE)
    if handles := _legend(panels, looks):
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


def _draw_panel(axes: Axes, panel: CurvePanel, looks: Looks, smoothing: float, logarithmic: bool) -> None:
    for run, (steps, values) in panel.lines.items():
        colour, dash, marker = looks[run]
        span = smoothing * (steps[-1] - steps[0]) if panel.dense and len(steps) else 0
        if span > 0:
            axes.plot(steps, values, color=colour, alpha=0.22, linewidth=0.7)
        axes.plot(steps, smooth(steps, values, span, sorted(set(panel.marks))), color=colour,
                  linestyle=dash, linewidth=1.6, marker=marker, markevery=0.15, markersize=4)  # fmt: skip
    for run, (steps, values) in panel.held_out.items():
        axes.plot(steps, values, "o", color=looks[run][0], mfc="white", markersize=5)
    for steps, values in panel.moving:
        span = smoothing * (steps[-1] - steps[0]) if len(steps) else 0
        axes.plot(steps, smooth(steps, values, span), color=GREY, linestyle=(0, (1, 1.5)), linewidth=1.1)
    _draw_plan(axes, panel)
    known = [values[np.isfinite(values)] for _, values in (*panel.lines.values(), *panel.held_out.values())]
    known = np.concatenate([np.zeros(0), *known])
    if logarithmic and known.min(initial=math.inf) > 0 and len(known):
        _set_logarithmic(axes, known.max() / known.min())
    axes.set_ylabel(panel.unit, fontsize=SIZE)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(labelsize=8)


def _legend(panels: Mapping[str, CurvePanel], looks: Looks) -> list[Line2D]:
    handles = [Line2D([], [], label=run, color=colour, linestyle=dash) for run, (colour, dash, _) in looks.items()]
    if any(panel.held_out for panel in panels.values()):
        handles.append(Line2D([], [], color=GREY, linestyle="", marker="o", mfc="white", label="held-out data"))
    if any(panel.levels or panel.moving for panel in panels.values()):
        handles.append(Line2D([], [], color=GREY, linestyle=":", label="chance, or a constant prediction"))
    if any(panel.marks for panel in panels.values()):
        handles.append(Line2D([], [], color=GREY, linestyle="--", linewidth=0.8, label="a loss joins the sum"))
    return handles


def _draw_plan(axes: Axes, panel: CurvePanel) -> None:
    """What is known of a curve before it comes."""
    for level in dict.fromkeys(panel.levels):
        axes.axhline(level, color=GREY, linestyle=(0, (1, 1.5)), linewidth=1.1)
    for mark in dict.fromkeys(panel.marks):
        axes.axvline(mark, color=GREY, linestyle="--", linewidth=0.8)
    if panel.end:
        axes.set_xlim(0, panel.end)
    joined = min(panel.joins, default=0)
    if joined > 0:
        axes.axvspan(0, joined, color=SHADE, zorder=0, linewidth=0)
    if not panel.lines:
        text = f"joins after step {joined}" if joined else "from the first step"
        axes.text(0.5, 0.2, text, transform=axes.transAxes, ha="center", va="center", fontsize=8, color=GREY)
        axes.set_yticks([])


def _set_logarithmic(axes: Axes, ratio: float) -> None:
    """With plain numbers: the usual ones are mathtext, which no text of a figure here is read as."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if ratio < 100 else (1,), numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
