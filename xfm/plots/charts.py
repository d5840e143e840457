"""Bars, lines, points and heat maps of plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize

from .labels import clip
from .palette import AXIS, BLUE, DIVERGING, GREEN, GREY, ORANGE, PURPLE
from .style import SIZE, WIDTH, Figure, new_figure, require, styled

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LINES", "bars", "heads", "heatmap", "lines", "scatter"]

LINES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"), (PURPLE, ":", "D"))  # colour, dash, marker


@styled
def bars(values: Mapping[str, float], xlabel: str, title: str = "", reference: Sequence[float] = ()) -> Figure:
    """A bar a name, in their order; dashed lines at known values, as 0 and 1 are for restored shares."""
    require(values, "values")
    figure = new_figure(WIDTH * 0.8, 0.75 + 0.23 * len(values), title)
    axes = figure.subplots()
    colours = [ORANGE if value < 0 else BLUE for value in values.values()]
    axes.barh(range(len(values)), list(values.values()), color=colours, height=0.7)
    for x in reference:
        axes.axvline(x, color=AXIS, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(values)), list(values), fontsize=SIZE)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(clip(xlabel, 100))
    return figure


@styled
def lines(table: pd.DataFrame, xlabel: str, ylabel: str, title: str = "", reference: float | None = None) -> Figure:
    """A line a column, over the index; a grey line at a known value, as chance."""
    require(table, "rows")
    figure = new_figure(WIDTH, 3.6, title)
    axes = figure.subplots()
    named = table.index.dtype.kind not in "biuf"  # names of the rows, not places on a scale
    x = np.arange(len(table)) if named else table.index
    if named:
        axes.set_xticks(x, [clip(name, 20) for name in table.index])
    for i, (name, values) in enumerate(table.items()):
        colour, dash, _ = LINES[i % len(LINES)]
        axes.plot(x, values, color=colour, linestyle=dash, linewidth=2, label=str(name))
    if reference is not None:
        axes.axhline(reference, color=GREY, linewidth=1)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    figure.legend(ncols=4, loc="outside lower center")
    return figure


@styled
def scatter(
    panels: Mapping[str, Any], xlabel: str, ylabel: str, title: str = "", reference: Mapping[str, float] | None = None
) -> Figure:
    """A panel a name: values (x, points) over 0, 1, ..., as heads over layers; dashed the panel's `reference`."""
    require(panels, "panels")
    figure = new_figure(WIDTH, 2.8, title)
    for axes, (name, values) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
    ):
        axes.plot(range(len(values)), np.asarray(values), "o", color=BLUE, alpha=0.6)
        if name in (reference or {}):
            axes.axhline((reference or {})[name], color=GREY, linestyle="--", linewidth=1)
        axes.set_title(name)
        axes.set_xlabel(xlabel)
        axes.set_xticks(range(len(values)))
        axes.set_ylim(0, None)
    figure.axes[0].set_ylabel(ylabel)
    return figure


@styled
def heatmap(table: pd.DataFrame, title: str = "", digits: int = 2) -> Figure:
    """Numbers from −1 to 1, as correlations and shares are, in their cells."""
    require(table, "rows")
    names = [clip(name, 24) for name in table.columns]
    figure = new_figure(WIDTH, 0.3 * len(table) + 1.8 + 0.05 * max(0, max(map(len, names)) - 14), title)
    axes = figure.subplots()
    _cells(axes, table, DIVERGING, Normalize(-1, 1), digits)
    axes.set_xticks(range(table.shape[1]), names, rotation=45, ha="right", fontsize=SIZE)
    axes.set_yticks(range(len(table)), table.index, fontsize=SIZE)
    return figure


@styled
def heads(frame: pd.DataFrame, title: str = "Heads: importance by ablation, and by attention") -> Figure:
    """A panel a kind of attention and a measure, layers x heads. `frame`: place, layer, head and a column a measure,
    as `head_importance` has them."""
    measures = [c for c in frame.columns if c not in ("place", "layer", "head")]
    places = list(dict.fromkeys(frame["place"]))
    figure = new_figure(WIDTH, 0.9 + 1.35 * len(measures), title)
    panels = figure.subplots(len(measures), len(places), squeeze=False)
    for (i, j), axes in np.ndenumerate(panels):
        own = frame[frame["place"] == places[j]].pivot(index="layer", columns="head", values=measures[i])
        _cells(axes, own, "cividis", Normalize(0, frame[measures[i]].to_numpy(float).max()), 2)
        axes.set_xticks(range(own.shape[1]))
        axes.set_yticks(range(own.shape[0]))
        axes.set_title("" if i else places[j], fontsize=SIZE + 1)
        axes.set_xlabel("head" if i == len(measures) - 1 else "", fontsize=SIZE)
        axes.set_ylabel("" if j else f"{measures[i]}\nlayer", fontsize=SIZE)
    return figure


def _cells(axes: Axes, table: pd.DataFrame, colours: str | Colormap, norm: Normalize, digits: int) -> None:
    """Coloured, and printed in black or white, whichever is legible."""
    drawn = axes.imshow(table, cmap=colours, norm=norm, aspect="auto")
    for (y, x), value in np.ndenumerate(table.to_numpy(float)):
        if math.isfinite(value):
            dark = np.dot(drawn.to_rgba(value)[:3], (0.3, 0.59, 0.11)) < 0.5
            text = f"{value:.{digits}f}".replace("-", "−")
            axes.text(x, y, text, ha="center", va="center", fontsize=7.5, color="white" if dark else "black")
    axes.grid(visible=False)
