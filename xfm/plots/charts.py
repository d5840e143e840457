"""Bars, lines, points and heat maps of plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from ..base.numbers import number
from .labels import clip
from .palette import AXIS, BLUE, DIVERGING, GREEN, GREY, LIGHT, ORANGE, PURPLE
from .style import SIZE, WIDTH, Figure, new_figure, require, styled
from .svg import FIXED

if TYPE_CHECKING:
    import pandas as pd

NO_PATH = "–"
PLAIN: dict[str, Any] = {"edgecolor": "white", "linewidth": 1.2, "facecolor": "white"}
HATCHED: dict[str, Any] = {"hatch": "////", "edgecolor": LIGHT, "facecolor": "white", "linewidth": 0}
LINES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"), (PURPLE, ":", "D"))  # colour, dash, marker


@styled
def bars(values: Mapping[str, float], xlabel: str, title: str = "", reference: Sequence[float] = ()) -> Figure:
    """Draws one bar per name, in order; dashed lines at known values, as 0 and 1 are for restored shares."""
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
    """Draws one line per column over the index, and a grey one at a reference value such as chance."""
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
    """Draws one panel per name: values (x, points) over 0, 1, ..., such as heads over layers; `reference` is dashed."""
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
    """Draws a matrix of numbers in [−1, 1], such as correlations or shares."""
    require(table, "rows")
    names = [clip(name, 24) for name in table.columns]
    figure = new_figure(WIDTH, 0.3 * len(table) + 1.8 + 0.05 * max(0, max(map(len, names)) - 14), title)
    axes, scale = figure.subplots(), ScalarMappable(Normalize(-1, 1), DIVERGING)
    draw_cells(axes, cells_of(table), table.index, names, scale, lambda value: number(value, digits=digits))
    axes.tick_params(axis="x", rotation=45)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
    return figure


@styled
def heads(frame: pd.DataFrame, title: str = "Heads: importance by ablation, and by attention") -> Figure:
    """Draws one panel per attention and measure, layers x heads. `frame`: place, layer, head and a column a measure,
    as `head_importance` has them."""
    measures = [c for c in frame.columns if c not in ("place", "layer", "head")]
    places = list(dict.fromkeys(frame["place"]))
    figure = new_figure(WIDTH, 0.9 + 1.35 * len(measures), title)
    for (i, j), axes in np.ndenumerate(figure.subplots(len(measures), len(places), squeeze=False)):
        table = frame[frame["place"] == places[j]].pivot(index="layer", columns="head", values=measures[i])
        scale = ScalarMappable(Normalize(0, frame[measures[i]].to_numpy(float).max()), "cividis")
        draw_cells(axes, cells_of(table), table.index, table.columns, scale, partial(number, digits=2))
        axes.set_title("" if i else places[j], fontsize=SIZE + 1)
        axes.set_xlabel("head" if i == len(measures) - 1 else "", fontsize=SIZE)
        axes.set_ylabel("" if j else f"{measures[i]}\nlayer", fontsize=SIZE)
    return figure


Cells = Mapping[tuple[int, int], "float | None"]  # by (column, row); None: there is no number


def cells_of(table: pd.DataFrame) -> Cells:
    """A table of numbers cell by cell: None and, in a column of floats, NaN are missing."""
    floats = [dtype.kind != "O" for dtype in table.dtypes]
    missing = table.isna() & (table.map(lambda value: value is None) | floats)
    values = table.astype(object).where(~missing, None).to_numpy()
    return {(x, y): value for (y, x), value in np.ndenumerate(values)}


def draw_cells(
    axes: Axes,
    cells: Cells,
    rows: Iterable[object],
    columns: Iterable[object],
    scale: ScalarMappable,
    form: Callable[[float], str],
) -> None:
    """Squares in the colour of their number, which stands in them in black or white, whichever is legible; hatched and
    – where there is none, white where it has no place on the scale, as 0 on a logarithmic one."""
    colours: Any = scale
    for axis, names in ((axes.xaxis, list(columns)), (axes.yaxis, list(rows))):
        axis.set_ticks([place + 0.5 for place in range(len(names))], [str(name) for name in names], fontsize=SIZE)
        axis.set_view_interval(0, len(names), ignore=True)
    axes.yaxis.set_inverted(True)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for (x, y), value in cells.items():
        look, ink, gid = (HATCHED, GREY, None) if value is None else (PLAIN, "black", None)
        if value is not None and math.isfinite(value) and not np.ma.is_masked(colours.norm(value)):
            colour: Any = colours.to_rgba(value)
            ink, gid = "white" if np.dot(colour[:3], (0.3, 0.59, 0.11)) < 0.5 else "black", FIXED
            look = PLAIN | {"facecolor": colour}
        axes.add_patch(Rectangle((x, y), 1, 1, **look))
        text = NO_PATH if value is None else form(value)
        axes.text(x + 0.5, y + 0.52, text, ha="center", va="center", fontsize=SIZE - 0.5, color=ink, gid=gid)
