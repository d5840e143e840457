"""How fast a training went, and how long it waited for data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from .colours import BLUE, ORANGE
from .style import WIDTH, Figure, new_figure, require, styled

__all__ = ["throughput"]

_WINDOWS = 80  # points of a line, at most: medians of the steps between


@styled
def throughput(records: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Steps per second, and the share of the time that the loop waited for its next batch, over the run: medians of
    windows of steps, as steps with validation take longer. Raises ValueError for no records with times."""
    timed = [r for r in records if "seconds" in r]
    require(timed, "records with times")
    step, seconds, waited = (np.array([r[name] for r in timed], float) for name in ("step", "seconds", "waited"))
    windows = np.array_split(np.arange(len(timed)), min(_WINDOWS, len(timed)))
    x = [step[w].mean() + 1 for w in windows]
    figure = new_figure(WIDTH, 2.0, title)
    speed, wait = figure.subplots(1, 2)
    speed.plot(x, [1 / np.median(seconds[w]) for w in windows], color=BLUE, linewidth=1.6)
    wait.plot(x, [np.median(waited[w] / seconds[w]) for w in windows], color=ORANGE, linewidth=1.6)
    speed.set(ylabel="steps per second", ylim=(0, None))
    wait.set(ylabel="waiting for data", ylim=(0, min(1, max(0.05, wait.get_ylim()[1]))))
    wait.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %")
    for axes in (speed, wait):
        axes.set(xlim=(0, step[-1] + 1), xlabel="step")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure
