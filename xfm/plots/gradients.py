"""The gradient table as a picture, and how the language encoder's gradient follows the dose of the stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator

from .colours import BLUE, GREEN, GREY, LIGHT, ORANGE, PURPLE
from .style import Figure, require, styled
from .svg import FIXED

if TYPE_CHECKING:
    import pandas as pd

CELL, ROW, LABELS, GAP, FOOT = 0.58, 0.25, 1.7, 0.3, 0.95  # inches
TITLE, NAME, HEAD = 0.35, 0.25, 0.4  # inches, above the cells
COLOURS = colormaps["cividis"]
NO_PATH = "–"
PLAIN: dict[str, Any] = {"edgecolor": "white", "linewidth": 1.2, "facecolor": "white"}
HATCHED: dict[str, Any] = {"hatch": "////", "edgecolor": LIGHT, "facecolor": "white", "linewidth": 0}
FRAMED: dict[str, Any] = {"fill": False, "edgecolor": ORANGE, "linewidth": 2}
LINES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"), (PURPLE, ":", "D"))


@styled
def gradient_table(tables: pd.DataFrame | Mapping[str, pd.DataFrame], title: str = "") -> Figure:
    """Gradient norms, objectives (rows of the frames) by modules (columns): one table, or several by name, side by side
    on one scale. Colour is the norm's logarithm. Where there is no path (None; in a frame of floats NaN), the cell is
    hatched and says –; a gradient that vanishes says 0. Cells that have a path in one table and none in another are
    framed. Raises ValueError for frames that are empty or do not have the same objectives and modules.
    """
    named = dict(tables) if isinstance(tables, Mapping) else {"": tables}
    require(list(named), "gradient tables")
    first = next(iter(named.values()))
    require(first.to_numpy().ravel(), "gradients")
    for frame in named.values():
        if list(frame.index) != list(first.index) or list(frame.columns) != list(first.columns):
            raise ValueError("the gradient tables do not have the same objectives and modules")
    cells = {name: norms(frame) for name, frame in named.items()}
    changed = {at for at in next(iter(cells.values())) if len({c[at] is None for c in cells.values()}) > 1}
    found = [n for c in cells.values() for n in c.values() if n]
    low, high = min(found, default=0.5), max(found, default=2.0)
    scale = LogNorm(low, high) if high > 3 * low else LogNorm(low / 2, high * 2)
    columns, rows = len(first.index), len(first.columns)
    wide = max(LABELS + len(named) * (columns * CELL + GAP), 7.2 if changed else 5.5)  # the legend's
    tall = TITLE * bool(title) + NAME * any(named) + HEAD + rows * ROW + FOOT
    figure = Figure(figsize=(wide, tall))
    for i, (name, values) in enumerate(cells.items()):
        left = LABELS + i * (columns * CELL + GAP)
        axes = figure.add_axes((left / wide, FOOT / tall, columns * CELL / wide, rows * ROW / tall))
        axes.set(xlim=(0, columns), ylim=(rows, 0))
        axes.set_title(name, pad=22)
        axes.xaxis.tick_top()
        axes.set_xticks([c + 0.5 for c in range(columns)], [str(o).upper() for o in first.index])
        axes.set_yticks([r + 0.5 for r in range(rows)], list(map(str, first.columns)) if i == 0 else [""] * rows)
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        for (c, r), norm in values.items():
            draw(axes, c, r, norm, scale)
        for c, r in changed:
            axes.add_patch(Rectangle((c + 0.04, r + 0.06), 0.92, 0.88, **FRAMED))
    figure.text(0.12 / wide, 1 - 0.12 / tall, title, fontsize=11.5, fontweight="bold", va="top")
    explain(figure, scale, bool(changed))
    return figure


def norms(frame: pd.DataFrame) -> dict[tuple[int, int], float | None]:
    """By (objective, module); None: no path."""
    out: dict[tuple[int, int], float | None] = {}
    for r, name in enumerate(frame.columns):
        column = frame[name]
        for c, value in enumerate(column):
            missing = value is None or (column.dtype != object and math.isnan(value))
            out[c, r] = None if missing else float(value)  # type: ignore[arg-type]
    return out


def draw(axes: Axes, c: int, r: int, norm: float | None, scale: LogNorm) -> None:
    look, ink, gid = dict(PLAIN), "black", None
    if norm is None:
        look, ink = HATCHED, GREY
    elif norm > 0 and math.isfinite(norm):
        look["facecolor"] = COLOURS(scale(norm))
        ink, gid = "black" if scale(norm) > 0.48 else "white", FIXED
    axes.add_patch(Rectangle((c, r), 1, 1, **look))
    text = NO_PATH if norm is None else short(norm)
    axes.text(c + 0.5, r + 0.52, text, ha="center", va="center", fontsize=8.5, color=ink, gid=gid)


def short(x: float) -> str:
    """Two digits: 0.021, 1.5, 120, 2.1e−5"""
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    if not 1e-3 <= x < 1e4:
        return f"{x:.0e}".replace("e-0", "e−").replace("e-", "e−").replace("e+0", "e").replace("e+", "e")
    return f"{x:.{max(0, 1 - math.floor(math.log10(x)))}f}"


def explain(figure: Figure, scale: LogNorm, framed: bool) -> None:
    """The scale and what the other cells mean, below the table."""
    wide, tall = figure.get_size_inches()
    axes = figure.add_axes((LABELS / wide, 0.5 / tall, 2.0 / wide, 0.13 / tall))
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), cax=axes, orientation="horizontal")
    few = (scale.vmax or 1) < 100 * (scale.vmin or 1)
    bar.ax.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if few else (1,), numticks=6))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=8, length=2)
    bar.set_label("gradient norm (L2)", fontsize=8.5, labelpad=1)
    x = LABELS + 2.3
    for look, text in [(HATCHED, f"{NO_PATH}  no path"), (FRAMED, "path in one table only")][: 1 + framed]:
        at, size = (x / wide, 0.48 / tall), (0.3 / wide, 0.18 / tall)
        figure.add_artist(Rectangle(at, *size, transform=figure.transFigure, **look))
        figure.text((x + 0.38) / wide, 0.57 / tall, text, fontsize=8.5, va="center")
        x += 1.2


@styled
def doses(frame: pd.DataFrame, module: str = "language encoder", title: str = "") -> Figure:
    """Gradient norms at a module, by dose (the frame's index, in [0, 1]) and objective (its columns). Where there is no
    path (None or NaN) a cross stands on the axis. Raises ValueError for a frame without values."""
    require(frame.to_numpy().ravel(), "gradients")
    figure = Figure(figsize=(6.2, 3.1), layout="constrained")
    axes = figure.subplots()
    values = frame.astype(float)
    for i, objective in enumerate(values.columns):
        colour, line, marker = LINES[i % len(LINES)]
        look: dict[str, Any] = {"color": colour, "linestyle": line, "marker": marker, "label": str(objective).upper()}
        axes.plot(values.index, values[objective], clip_on=False, **look)
    if cut := [dose for dose in values.index if values.loc[dose].isna().any()]:
        look = {"linestyle": "", "marker": "x", "color": "black", "markersize": 8, "mew": 2, "label": "no path"}
        axes.plot(cut, [0] * len(cut), clip_on=False, **look)
    axes.set(xlim=(-0.02, 1.02), ylim=(0, None), ylabel=f"gradient norm,\n{module}")
    axes.set_xlabel("text_gradient: 0 is the paper's stop, 1 plain multi-task training")
    axes.legend()
    figure.suptitle(title, x=0.01, ha="left")
    return figure
