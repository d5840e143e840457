"""Curves of several runs over each other, as the monitor of training shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .colours import GREY
from .curves import smooth
from .probes import cycle
from .style import WIDTH, Figure, styled

Lines = Mapping[str, tuple[np.ndarray, np.ndarray]]  # run: steps done (T,), values (T,)


@dataclass
class Overlay:
    """One panel: of every run a line, and points of held-out data."""

    lines: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    held_out: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    unit: str = ""
    dense: bool = True  # a value a step or nearly: there is something to smooth


@styled
def overlay(
    panels: Mapping[str, Overlay], share: float = 0.0, logarithmic: bool = False, title: str = "", columns: int = 3
) -> Figure:
    """A panel a curve, a colour and dash a run; `share` of its steps is the width of a running mean, behind which the
    values themselves are faint. `logarithmic`: the axis, of panels whose values are all above zero. Without panels a
    figure that says that there is nothing yet."""
    if not panels:
        figure = Figure(figsize=(WIDTH, 0.9))
        figure.text(0.01, 0.5, f"{title}: nothing to draw yet" if title else "Nothing to draw yet", color=GREY)
        return figure
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH * columns / 3 + 0.3, 2.0 * rows + 0.6), layout="constrained")
    runs = list(dict.fromkeys(run for one in panels.values() for run in (*one.lines, *one.held_out)))
    looks = dict(zip(runs, cycle() * (1 + len(runs) // len(cycle())), strict=False))
    for i, (name, one) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        for run, (steps, values) in one.lines.items():
            colour, dash, _ = looks[run]
            mean = smooth(steps, values, share * (steps[-1] - steps[0])) if one.dense and len(steps) else values
            if mean is not values:
                axes.plot(steps, values, color=colour, alpha=0.22, linewidth=0.7)
            axes.plot(steps, mean, color=colour, linestyle=dash, linewidth=1.6)
        for run, (steps, values) in one.held_out.items():
            axes.plot(steps, values, "o", color=looks[run][0], mfc="white", markersize=5)
        everything = [values[np.isfinite(values)] for _, values in (*one.lines.values(), *one.held_out.values())]
        if logarithmic and min((v.min() for v in everything if len(v)), default=0) > 0:
            axes.set_yscale("log")
        axes.set_title(name, fontsize=9)
        axes.set_ylabel(one.unit, fontsize=8.5)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.tick_params(labelsize=8)
        axes.set_xlabel("step" if i + columns >= len(panels) else "", fontsize=8.5)
    handles: list[Line2D] = []
    for run in runs:
        look: dict[str, Any] = {"color": looks[run][0], "linestyle": looks[run][1]}
        handles.append(Line2D([], [], label=run, **look))
    if any(one.held_out for one in panels.values()):
        handles.append(Line2D([], [], color=GREY, linestyle="", marker="o", mfc="white", label="held-out data"))
    figure.legend(handles=handles, loc="outside lower left", ncols=3)
    figure.suptitle(title, x=0.01, ha="left")
    return figure
