"""The effect over a two-way grid, as a map."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Rectangle

from ..base.numbers import number
from .effect_labels import SHARE, compared_with, known_levels, unit_name
from .palette import DIVERGING
from .style import Figure, require, styled
from .svg import FIXED

if TYPE_CHECKING:
    import pandas as pd


@styled
def effect_map(cells: pd.DataFrame, title: str = "") -> Figure:
    """Draws the effect on one metric over a two-way grid: colour and number, framed where the 95 % interval leaves zero
    out.

    `cells`: rows of Study.effects with x and y (a cell's place), columns and rows (what these are). Raises ValueError
    for no rows.
    """
    require(cells, "cells")
    rows: list[Any] = list(cells.itertuples())
    first, share = rows[0], SHARE.get(rows[0].unit, 1.0)
    xs, ys = (sorted(cells[axis].unique(), key=_order) for axis in ("x", "y"))
    largest = max((abs(row.effect) for row in rows if row.effect == row.effect), default=0.0) * share or 1.0
    norm, colours = TwoSlopeNorm(0, -largest, largest), DIVERGING if first.better != "lower" else DIVERGING.reversed()
    figure = Figure(figsize=(max(2.4 + 1.0 * len(xs), 6.0), 1.9 + 0.55 * len(ys)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    axes = figure.add_subplot()
    heading = f"{first.metric} ({unit_name(first)}{f', {first.better} is better' if first.better else ''})"
    if known := known_levels(first):
        compared = f"{first.against.partition(', ')[0]} {compared_with(rows) or '–'}"
        heading += f"\n{'; '.join([compared, *known])}"
    axes.set_title(heading, fontsize=9)
    for row in rows:
        x, y = xs.index(row.x), ys.index(row.y)
        if row.effect != row.effect:  # no pairs yet
            axes.text(x + 0.5, y + 0.5, "–", ha="center", va="center")
            continue
        value = row.effect * share
        beyond = row.low > 0 or row.high < 0
        colour = colours(norm(value))
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.5, gid=FIXED))
        if beyond:
            axes.add_patch(Rectangle((x + 0.04, y + 0.06), 0.92, 0.88, fill=False, edgecolor="black", linewidth=2))
        text = number(row.effect, row.unit, digits=2 if share != 1 else 3, sign=True)
        dark = sum(c * w for c, w in zip(colour, (0.3, 0.59, 0.11), strict=False)) < 0.5
        look: dict[str, Any] = {"color": "white" if dark else "black", "fontweight": "bold" if beyond else "normal"}
        axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", gid=FIXED, **look)
    axes.set(xlim=(0, len(xs)), ylim=(0, len(ys)), xlabel=first.columns, ylabel=first.rows)
    axes.set_xticks([i + 0.5 for i in range(len(xs))], [str(x) for x in xs])
    axes.set_yticks([i + 0.5 for i in range(len(ys))], [str(y) for y in ys])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    pairs = " to ".join(dict.fromkeys(str(n) for n in (cells["n"].min(), cells["n"].max())))
    frame = Rectangle((0, 0), 1, 1, fill=False, edgecolor="black", linewidth=2)
    label = f"95 % interval without zero ({pairs} pairs, uncorrected)"
    figure.legend(handles=[frame], labels=[label], loc="outside lower left")
    return figure


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers by size, before words."""
    number = isinstance(value, Real)
    return not number, value if number else str(value)
