"""Heat maps: matrices, heads and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Patch, Rectangle

from ..base.numbers import minus, number
from .labels import clip
from .palette import DIVERGING, FIXED, GREY, LIGHT, ORANGE
from .style import SIZE, WIDTH, Figure, new_figure, require, styled

if TYPE_CHECKING:
    import pandas as pd

NO_PATH = "–"
PLAIN: dict[str, Any] = {"edgecolor": "white", "linewidth": 1.2, "facecolor": "white"}
HATCHED: dict[str, Any] = {"hatch": "////", "edgecolor": LIGHT, "facecolor": "white", "linewidth": 0}
FRAME: dict[str, Any] = {"fill": False, "edgecolor": ORANGE, "linewidth": 2}

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


@styled
def heatmap(table: pd.DataFrame, title: str = "", digits: int = 2) -> Figure:
    """Draws a matrix of numbers in [−1, 1], such as correlations or fractions. ValueError for no rows."""
    require(table, "rows")
    names = [clip(name, 24) for name in table.columns]
    figure = new_figure(WIDTH, 0.3 * len(table) + 1.8 + 0.05 * max(0, max(map(len, names)) - 14), title)
    axes, scale = figure.subplots(), ScalarMappable(Normalize(-1, 1), DIVERGING)
    draw_cells(axes, cells_of(table), table.index, names, scale, lambda value: number(value, digits=digits))
    axes.set_xticks(axes.get_xticks(), names, rotation=45, ha="right")
    return figure


@styled
def heads(frame: pd.DataFrame, title: str = "Heads: importance by ablation, and by attention") -> Figure:
    """Draws one panel per attention and measure, layers x heads.

    Args:
        frame: place, layer, head and a column per measure, as `explain.head_importance` has them.
    """
    measures = [c for c in frame.columns if c not in ("place", "layer", "head")]
    places = list(dict.fromkeys(frame["place"]))
    figure = new_figure(WIDTH, 0.9 + 1.35 * len(measures), title)
    for (i, j), axes in np.ndenumerate(figure.subplots(len(measures), len(places), squeeze=False)):
        table = frame[frame["place"] == places[j]].pivot(index="layer", columns="head", values=measures[i])
        scale = ScalarMappable(Normalize(0, frame[measures[i]].to_numpy(float).max()), "cividis")
        draw_cells(axes, cells_of(table), table.index, table.columns, scale, partial(number, digits=2))
        axes.set_title(places[j] if len(measures) == 1 else f"{measures[i]}: {places[j]}", fontsize=SIZE)
        axes.set_xlabel("head" if i == len(measures) - 1 else "", fontsize=SIZE)
        axes.set_ylabel("" if j else "layer", fontsize=SIZE)
    return figure


@styled
def gradient_table(tables: pd.DataFrame | Mapping[str, pd.DataFrame], title: str = "") -> Figure:
    """Draws gradient norms, objectives x modules, coloured by their logarithm.

    Args:
        tables: one frame (rows: objectives; columns: modules), or several by name, drawn side by side on one scale.
            None, or NaN in a frame of floats, is no path: hatched and –; a gradient that vanishes is 0. Cells with a
            path in one table and none in another are framed.

    Raises:
        ValueError: for empty frames, and frames of different objectives or modules.
    """
    named = dict(tables) if isinstance(tables, Mapping) else {"": tables}
    require(list(named), "gradient tables")
    first = next(iter(named.values()))
    require(first.to_numpy().ravel(), "gradients")
    for table in named.values():
        if list(table.index) != list(first.index) or list(table.columns) != list(first.columns):
            raise ValueError("the gradient tables do not have the same objectives and modules")
    cells = {name: cells_of(table.T) for name, table in named.items()}
    changed = [at for at in next(iter(cells.values())) if len({c[at] is None for c in cells.values()}) > 1]
    columns, rows = [clip(o, 12).upper() for o in first.index], [clip(name, 24) for name in first.columns]
    width = max(1.8 + len(named) * (len(columns) * 0.58 + 0.3), 7.2 if changed else 6.2)
    figure = new_figure(width, 1.4 + len(rows) * 0.25, title)
    positive = [norm for table in cells.values() for norm in table.values() if norm]
    low, high = min(positive, default=0.5), max(positive, default=2.0)
    scale = ScalarMappable(LogNorm(low, high) if high > 3 * low else LogNorm(low / 2, high * 2), "cividis")
    panels = figure.subplots(1, len(named), sharey=True, squeeze=False)[0]
    for axes, (name, values) in zip(panels, cells.items(), strict=True):
        draw_cells(axes, values, rows, columns, scale, _two_digits)
        axes.set_title(clip(name, 60), pad=8)
        axes.tick_params(labeltop=True, labelbottom=False)
        axes.set_box_aspect(len(rows) * 0.25 / (len(columns) * 0.58))
        for x, y in changed:
            axes.add_patch(Rectangle((x + 0.04, y + 0.06), 0.92, 0.88, **FRAME))
    framed = Patch(**FRAME, label="path in one table only")
    handles = [Patch(**HATCHED, label=f"{NO_PATH}  no path"), *[framed] * bool(changed)]
    figure.legend(handles=handles, title="gradient norm (L2)", loc="outside lower right", ncols=2, fontsize=SIZE)
    return figure


def _two_digits(x: float) -> str:
    """0.021, 1.5, 120, 2e−5"""
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    digit, power = f"{x:.0e}".split("e")
    return f"{x:.{max(0, 1 - math.floor(math.log10(x)))}f}" if 1e-3 <= x < 1e4 else minus(f"{digit}e{int(power)}")


@styled
def cosines(record: Mapping[str, Any], title: str = "") -> Figure:
    """Draws the cosines of objectives' gradients on each encoder, as if nothing were stopped: 1 pulls the same way, −1
    against each other. Hatched: one of the two has no path.

    Args:
        record: one of the training probe.

    Raises:
        ValueError: for a record without cosines.
    """
    encoders = record["cosine"]
    names = sorted({o for pairs in encoders.values() for pair in pairs for o in pair.split()})
    require(names, "cosines of gradients")
    side, upper = (len(names) - 1) * 0.5, [name.upper() for name in names]
    figure = new_figure(len(encoders) * (side + 0.9), side + 1.3, title)
    panels, scale = figure.subplots(1, len(encoders), squeeze=False)[0], ScalarMappable(Normalize(-1, 1), DIVERGING)
    for axes, (encoder, pairs) in zip(panels, encoders.items(), strict=True):
        below = [(x, y) for x in range(len(names) - 1) for y in range(x, len(names) - 1)]
        cells = {(x, y): pairs.get(f"{names[x]} {names[y + 1]}") for x, y in below}
        draw_cells(axes, cells, upper[1:], upper[:-1], scale, lambda cosine: number(cosine, digits=2))
        axes.set_aspect("equal")
        axes.set_title(f"{encoder} encoder")
    no_path = Patch(**HATCHED, label=f"{NO_PATH}  no path")
    figure.legend(handles=[no_path], title="cosine, as if nothing were stopped", loc="outside lower right")
    return figure
