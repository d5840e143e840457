"""The gradient table, and how the language encoder's gradient grows with the gradient scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator

from .charts import LINES
from .labels import clip
from .palette import GREY, LIGHT, ORANGE
from .style import SIZE, Figure, new_figure, require, styled
from .svg import FIXED

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HATCHED", "LINES", "NO_PATH", "PLAIN", "gradient_scales", "gradient_table"]

NO_PATH = "–"
PLAIN: dict[str, Any] = {"edgecolor": "white", "linewidth": 1.2, "facecolor": "white"}
HATCHED: dict[str, Any] = {"hatch": "////", "edgecolor": LIGHT, "facecolor": "white", "linewidth": 0}
_FRAMED: dict[str, Any] = {"fill": False, "edgecolor": ORANGE, "linewidth": 2}
_COLOURS = colormaps["cividis"]
_Cells = dict[tuple[int, int], "float | None"]  # by (objective, module); None: no path


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
    cells = {name: _norms(frame) for name, frame in named.items()}
    changed = {at for at in next(iter(cells.values())) if len({c[at] is None for c in cells.values()}) > 1}
    positive = [norm for c in cells.values() for norm in c.values() if norm]
    low, high = min(positive, default=0.5), max(positive, default=2.0)
    scale = LogNorm(low, high) if high > 3 * low else LogNorm(low / 2, high * 2)
    columns, rows = len(first.index), len(first.columns)
    width = max(1.8 + len(named) * (columns * 0.58 + 0.3), 7.2 if changed else 6.2)
    figure = new_figure(width, 1.6 + rows * 0.25, title)
    panels = figure.subplots(1, len(named), sharey=True, squeeze=False)[0]
    for axes, (name, values) in zip(panels, cells.items(), strict=True):
        axes.set(xlim=(0, columns), ylim=(rows, 0))
        axes.set_title(clip(name, 60), pad=8)
        axes.set_xticks([c + 0.5 for c in range(columns)], [clip(o, 12).upper() for o in first.index])
        axes.set_yticks([r + 0.5 for r in range(rows)], [clip(name, 24) for name in first.columns])
        axes.tick_params(length=0, labeltop=True, labelbottom=False)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_box_aspect(rows * 0.25 / (columns * 0.58))
        for (c, r), norm in values.items():
            _draw(axes, c, r, norm, scale)
        for c, r in changed:
            axes.add_patch(Rectangle((c + 0.04, r + 0.06), 0.92, 0.88, **_FRAMED))
    bar = figure.colorbar(ScalarMappable(scale, _COLOURS), ax=list(panels), location="bottom", anchor=(0, 0.5),
                          shrink=2.4 / width, aspect=18, pad=0.02)  # fmt: skip
    bar.ax.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if high < 100 * low else (1,), numticks=6))
    bar.ax.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: f"{x:g}" if x >= 0.01 else f"{x:.0e}".replace("e-0", "e−"))
    )
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=8, length=2)
    bar.set_label("gradient norm (L2)", fontsize=SIZE, labelpad=1)
    handles = [Patch(**HATCHED, label=f"{NO_PATH}  no path"), Patch(**_FRAMED, label="path in one table only")]
    figure.legend(handles=handles[: 1 + bool(changed)], loc="lower right", ncols=2, fontsize=SIZE)
    return figure


def _norms(frame: pd.DataFrame) -> _Cells:
    cells: _Cells = {}
    for r, name in enumerate(frame.columns):
        column = frame[name]
        for c, value in enumerate(column):
            missing = value is None or (column.dtype != object and math.isnan(value))
            cells[c, r] = None if missing else float(value)  # type: ignore[arg-type]
    return cells


def _draw(axes: Axes, c: int, r: int, norm: float | None, scale: LogNorm) -> None:
    look, ink, gid = dict(PLAIN), "black", None
    if norm is None:
        look, ink = HATCHED, GREY
    elif norm > 0 and math.isfinite(norm):
        look["facecolor"] = _COLOURS(scale(norm))
        ink, gid = "black" if scale(norm) > 0.48 else "white", FIXED
    axes.add_patch(Rectangle((c, r), 1, 1, **look))
    text = NO_PATH if norm is None else _two_digits(norm)
    axes.text(c + 0.5, r + 0.52, text, ha="center", va="center", fontsize=SIZE, color=ink, gid=gid)


def _two_digits(x: float) -> str:
    """0.021, 1.5, 120, 2.1e−5"""
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    if not 1e-3 <= x < 1e4:
        return f"{x:.0e}".replace("e-0", "e−").replace("e-", "e−").replace("e+0", "e").replace("e+", "e")
    return f"{x:.{max(0, 1 - math.floor(math.log10(x)))}f}"


@styled
def gradient_scales(frame: pd.DataFrame, module: str = "language encoder", title: str = "") -> Figure:
    """Gradient norms at a module, by gradient scale (the frame's index, in [0, 1]) and objective (its columns). A cross
    on the axis: no path (None or NaN). Raises ValueError for a frame without values."""
    require(frame.to_numpy().ravel(), "gradients")
    figure = new_figure(6.2, 3.1, title)
    axes = figure.subplots()
    values = frame.astype(float)
    for i, objective in enumerate(values.columns):
        colour, line, marker = LINES[i % len(LINES)]
        look: dict[str, Any] = {"color": colour, "linestyle": line, "marker": marker, "label": str(objective).upper()}
        axes.plot(values.index, values[objective], clip_on=False, **look)
    if cut := [scale for scale in values.index if values.loc[scale].isna().any()]:
        look = {"linestyle": "", "marker": "x", "color": "black", "markersize": 8, "mew": 2, "label": "no path"}
        axes.plot(cut, [0] * len(cut), clip_on=False, **look)
    axes.set(xlim=(-0.02, 1.02), ylim=(0, None), ylabel=f"gradient norm,\n{module}")
    axes.set_xlabel("gradient scale: 0 is the paper's stop-gradient, 1 plain multi-task training")
    axes.legend()
    return figure
