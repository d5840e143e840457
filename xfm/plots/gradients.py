"""Gradients: the table of their norms, how they grow with the gradient scale, and how objectives' gradients agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Patch, Rectangle

from ..base.numbers import minus, number
from .charts import HATCHED, LINES, NO_PATH, Cells, cells_of, draw_cells
from .labels import clip
from .palette import DIVERGING, ORANGE
from .style import SIZE, Figure, new_figure, require, styled

if TYPE_CHECKING:
    import pandas as pd

_FRAMED: dict[str, Any] = {"fill": False, "edgecolor": ORANGE, "linewidth": 2}


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
    for frame in named.values():
        if list(frame.index) != list(first.index) or list(frame.columns) != list(first.columns):
            raise ValueError("the gradient tables do not have the same objectives and modules")
    cells = {name: cells_of(frame.T) for name, frame in named.items()}
    changed = [at for at in next(iter(cells.values())) if len({c[at] is None for c in cells.values()}) > 1]
    columns, rows = [clip(o, 12).upper() for o in first.index], [clip(name, 24) for name in first.columns]
    width = max(1.8 + len(named) * (len(columns) * 0.58 + 0.3), 7.2 if changed else 6.2)
    figure = new_figure(width, 1.4 + len(rows) * 0.25, title)
    panels, scale = figure.subplots(1, len(named), sharey=True, squeeze=False)[0], _scale(cells)
    for axes, (name, values) in zip(panels, cells.items(), strict=True):
        draw_cells(axes, values, rows, columns, scale, _two_digits)
        axes.set_title(clip(name, 60), pad=8)
        axes.tick_params(labeltop=True, labelbottom=False)
        axes.set_box_aspect(len(rows) * 0.25 / (len(columns) * 0.58))
        for c, r in changed:
            axes.add_patch(Rectangle((c + 0.04, r + 0.06), 0.92, 0.88, **_FRAMED))
    handles = [Patch(**HATCHED, label=f"{NO_PATH}  no path"), Patch(**_FRAMED, label="path in one table only")]
    figure.legend(handles=handles[: 1 + bool(changed)], title="gradient norm (L2)", loc="outside lower right", ncols=2,
                  fontsize=SIZE)  # fmt: skip
    return figure


def _scale(cells: Mapping[str, Cells]) -> ScalarMappable:
    positive = [norm for table in cells.values() for norm in table.values() if norm]
    low, high = min(positive, default=0.5), max(positive, default=2.0)
    return ScalarMappable(LogNorm(low, high) if high > 3 * low else LogNorm(low / 2, high * 2), "cividis")


def _two_digits(x: float) -> str:
    """0.021, 1.5, 120, 2e−5"""
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    digit, power = f"{x:.0e}".split("e")
    return f"{x:.{max(0, 1 - math.floor(math.log10(x)))}f}" if 1e-3 <= x < 1e4 else minus(f"{digit}e{int(power)}")


@styled
def gradient_scales(frame: pd.DataFrame, module: str = "language encoder", title: str = "") -> Figure:
    """Draws gradient norms at a module, by gradient scale (the frame's index, in [0, 1]) and objective (its columns). A
    cross on the axis: no path (None or NaN). Raises ValueError for a frame without values."""
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


@styled
def cosines(record: Mapping[str, Any], title: str = "") -> Figure:
    """The cosine of every two objectives' gradients on the language and on the vision encoder, as if nothing were
    stopped, of a record of the training probe: 1 pulls the same way, −1 against each other. Hatched: one of them has no
    path there."""
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
