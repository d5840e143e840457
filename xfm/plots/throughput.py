"""How fast a training went, and how long it waited for data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from .colours import BLUE, ORANGE
from .style import WIDTH, Figure, require, styled

WINDOWS = 80  # points of a line, at most: medians of the steps between


@styled
def throughput(records: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Steps a second, and the share of the time that the loop waited for its next batch, over the run: medians of
    windows of steps, as steps with validation take longer. Raises ValueError for no records with times."""
    timed = [r for r in records if "seconds" in r]
    require(timed, "records with times")
    seconds, waited = (np.array([r[name] for r in timed], float) for name in ("seconds", "waited"))
    step = np.array([r["step"] + 1 for r in timed])
    parts = np.array_split(np.arange(len(timed)), min(WINDOWS, len(timed)))
    at = [step[p].mean() for p in parts]
    figure = Figure(figsize=(WIDTH, 2.0), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    speed, wait = figure.subplots(1, 2)
    speed.plot(at, [1 / np.median(seconds[p]) for p in parts], color=BLUE, linewidth=1.6)
    wait.plot(at, [np.median(waited[p] / seconds[p]) for p in parts], color=ORANGE, linewidth=1.6)
    speed.set(ylabel="steps a second", xlabel="step", ylim=(0, None))
    wait.set(ylabel="waiting for data", xlabel="step", ylim=(0, None))
    top = wait.get_ylim()[1]
    wait.set_ylim(0, min(1, max(0.05, top)))
    wait.yaxis.set_major_formatter(lambda x, _: f"{100 * x:.3g} %")
    for axes in (speed, wait):
        axes.set_xlim(0, math.ceil(step[-1]))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure
