"""Effects of a study: forest plots with the paired seeds, the seeds' lines, a map over a two-way grid."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from .colours import AXIS, BLUE, GREY
from .style import WIDTH, Figure, Ruler, require, styled
from .svg import FIXED

if TYPE_CHECKING:
    import pandas as pd

ROW, LINE, FOOT, LEGEND = 0.34, 0.2, 0.55, 0.32  # inches: a variant, a line of the title, below a panel, the legend
TITLE, MORE = 0.16, 0.15  # above a panel, and for each line of its title
COLUMNS, GAP, EDGE = 3, 0.28, 0.12
NAMES = (0.8, 2.6)  # inches that the variants' names may take
SIZE = 8.5  # points
SCALE = {"%": 100.0}  # shares are shown in per cent


@styled
def forest(effects: pd.DataFrame, pairs: pd.DataFrame, title: str = "") -> Figure:
    """A panel a metric: each variant's mean difference with its 95 % interval, above it the seeds' own differences. The
    mean is full where the interval leaves zero out, open elsewhere.

    `effects`: rows with metric, role, variant, effect, low, high (NaN: too few seeds), unit, better; `pairs`: rows with
    metric, variant, difference. Raises ValueError for no rows.
    """
    require(effects, "effects")
    figure, panels, variants = grid(effects, title)
    for axes, metric in panels:
        rows = effects[effects["metric"] == metric].set_index("variant")
        axes.axvline(0, color=AXIS, linewidth=1, zorder=1)
        for y, variant in enumerate(variants):
            if variant not in rows.index:
                continue
            row, share = rows.loc[variant], SCALE.get(str(rows.loc[variant, "unit"]), 1.0)
            dots = pairs[(pairs["metric"] == metric) & (pairs["variant"] == variant)]["difference"] * share
            axes.plot(dots, [y - 0.22] * len(dots), "o", color=GREY, alpha=0.45, markersize=3.2, mew=0, zorder=2)
            interval(axes, y + 0.12, row["effect"] * share, row["low"] * share, row["high"] * share)
        axes.set_ylim(len(variants) - 0.4, -0.6)
        axes.set_xlabel(scale_name(rows.iloc[0]), fontsize=SIZE)
    look: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 5.5, "linewidth": 2}
    handles = [
        Line2D([], [], color=GREY, alpha=0.6, marker="o", linestyle="", markersize=3.5, label="one seed"),
        Line2D([], [], **look, label="mean, 95 % interval without zero"),
        Line2D([], [], **look, mfc="white", label="the interval holds zero, or there is none"),
    ]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.005, 0), ncols=3, columnspacing=1.4)
    return figure


def interval(axes: Axes, y: float, mean: float, low: float, high: float) -> None:
    axes.plot([low, high], [y, y], color=BLUE, linewidth=2, solid_capstyle="butt", zorder=3)
    beyond = low > 0 or high < 0
    axes.plot(mean, y, "o", color=BLUE, mfc=BLUE if beyond else "white", markersize=5.5, zorder=4)


def scale_name(row: Any) -> str:
    """What the panel's axis says: the unit, and which way is better."""
    unit = "percentage points" if row["unit"] == "%" else row["unit"]
    arrow = {"more": ", right is better", "less": ", left is better"}.get(row["better"], "")
    return unit + arrow


@styled
def paired_seeds(effects: pd.DataFrame, results: pd.DataFrame, variants: Sequence[str], title: str = "") -> Figure:
    """A panel a metric: every run's value by variant, a line a seed; the variants' means as bars.

    `effects`: rows with metric, role, unit, better, for their order; `results`: rows with metric, variant, seed, value.
    Raises ValueError for no rows.
    """
    require(results, "results")
    figure, panels, _ = grid(effects.assign(variant=variants[0]), title, list(variants))
    for axes, metric in panels:
        row = effects[effects["metric"] == metric].iloc[0]
        values = results[results["metric"] == metric].pivot(index="seed", columns="variant", values="value")
        values = values.reindex(columns=list(variants)) * SCALE.get(row["unit"], 1.0)
        places = range(len(variants))
        for _, line in values.iterrows():
            axes.plot(line, places, "-o", color=GREY, alpha=0.4, linewidth=0.9, markersize=3.2, mew=0, zorder=2)
        axes.plot(values.mean(), places, "|", color=BLUE, markersize=15, mew=2.4, zorder=3)
        axes.set_ylim(len(variants) - 0.5, -0.5)
        axes.set_xlabel(value_name(row), fontsize=SIZE)
    handles = [
        Line2D([], [], color=GREY, alpha=0.6, marker="o", markersize=3.5, linewidth=0.9, label="one seed"),
        Line2D([], [], color=BLUE, linestyle="", marker="|", markersize=11, mew=2.4, label="mean over the seeds"),
    ]
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.005, 0), ncols=2, columnspacing=1.4)
    return figure


def value_name(row: Any) -> str:
    return f"{row['unit']}, {row['better']} is better" if row["better"] else str(row["unit"])


def grid(
    effects: pd.DataFrame, title: str, variants: list[str] | None = None
) -> tuple[Figure, list[tuple[Axes, str]], list[str]]:
    """A figure with a panel a metric, in the rows' order, and the variants that its lines are for."""
    roles = dict(effects[["metric", "role"]].itertuples(index=False, name=None))
    variants = variants or list(effects["variant"].unique())
    ruler = Ruler()
    field, shown = short(variants)
    names = min(max(NAMES[0], ruler.width(field, SIZE), *(ruler.width(v, SIZE) for v in shown)) + 0.1, NAMES[1])
    columns = min(COLUMNS, len(roles))
    across = min((WIDTH - 2 * EDGE - names - GAP * (columns - 1)) / columns, 4.2)
    wide = max(2 * EDGE + names + columns * (across + GAP) - GAP, 6.5)
    head = ruler.wrap(title, wide - 2 * EDGE, 11.5, "bold") if title else []
    wrapped = [ruler.wrap(metric, across - 0.05, 9, "bold") for metric in roles]
    tops, top, tall = [], EDGE + LINE * len(head), ROW * max(len(variants), 2)
    for first in range(0, len(roles), columns):
        top += TITLE + MORE * max(map(len, wrapped[first : first + columns]))
        tops.append(top)
        top += tall + FOOT
    inches = top + LEGEND
    figure = Figure(figsize=(wide, inches))
    figure.text(EDGE / wide, 1 - EDGE / inches, "\n".join(head), fontsize=11.5, fontweight="bold", va="top")
    panels = []
    for i, (metric, role) in enumerate(roles.items()):
        left, low = EDGE + names + (i % columns) * (across + GAP), tops[i // columns] + tall
        axes = figure.add_axes((left / wide, 1 - low / inches, across / wide, tall / inches))
        axes.set_title("\n".join(wrapped[i]), fontsize=9, fontweight="bold" if role == "primary" else "normal")
        axes.tick_params(axis="y", length=0, labelsize=SIZE)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_yticks([])
        if i % columns == 0:
            axes.set_yticks(range(len(shown)), ["\n".join(ruler.wrap(n, NAMES[1] - 0.15, SIZE)) for n in shown])
            axes.text(-0.02, 1.02, field, transform=axes.transAxes, ha="right", va="bottom", fontsize=SIZE, color=GREY)
        panels.append((axes, metric))
    return figure, panels, variants


def short(variants: Sequence[str]) -> tuple[str, list[str]]:
    """What the names of a one-way grid have in common, "train.lr =", and what is left of each."""
    field = variants[0].partition("=")[0]
    if len(variants) > 1 and all(v.startswith(f"{field}=") and v.count("=") == 1 for v in variants):
        return f"{field} =", [v.partition("=")[2] for v in variants]
    return "", list(variants)


@styled
def effect_map(cells: pd.DataFrame, title: str = "") -> Figure:
    """The effect on one metric over a two-way grid: colour and number, framed where the 95 % interval leaves zero out.

    `cells`: rows with x and y (a cell's place), columns and rows (what these are), metric, effect, low, high, n, unit,
    better. Raises ValueError for no rows.
    """
    require(cells, "cells")
    first = cells.iloc[0]
    share = SCALE.get(first["unit"], 1.0)
    xs, ys = (sorted(cells[axis].unique(), key=order) for axis in ("x", "y"))
    largest = float(np.abs(cells["effect"]).max()) * share or 1.0
    norm, colours = TwoSlopeNorm(0, -largest, largest), colormaps["PuOr" if first["better"] != "less" else "PuOr_r"]
    figure = Figure(figsize=(max(2.4 + 1.0 * len(xs), 6.0), 1.75 + 0.55 * len(ys)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    axes = figure.add_subplot()
    axes.set_title(f"{first['metric']} ({scale_unit(first)})", fontsize=9)
    for row in (SimpleNamespace(**r) for r in cells.to_dict("records")):
        x, y = xs.index(row.x), ys.index(row.y)
        value: Any = row.effect * share
        beyond = row.low > 0 or row.high < 0
        colour = colours(norm(value))
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.5, gid=FIXED))
        if beyond:
            axes.add_patch(Rectangle((x + 0.04, y + 0.06), 0.92, 0.88, fill=False, edgecolor="black", linewidth=2))
        text = (f"{value:+.2f}" if share != 1 else f"{value:+.3f}").replace("-", "−")
        dark = sum(c * w for c, w in zip(colour, (0.3, 0.59, 0.11), strict=False)) < 0.5
        axes.text(
            x + 0.5,
            y + 0.5,
            text,
            ha="center",
            va="center",
            color="white" if dark else "black",
            fontweight="bold" if beyond else "normal",
            gid=FIXED,
        )
    axes.set(xlim=(0, len(xs)), ylim=(0, len(ys)), xlabel=first["columns"], ylabel=first["rows"])
    axes.set_xticks([i + 0.5 for i in range(len(xs))], [str(x) for x in xs])
    axes.set_yticks([i + 0.5 for i in range(len(ys))], [str(y) for y in ys])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    counts = sorted({int(n) for n in cells["n"]})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    frame = Rectangle((0, 0), 1, 1, fill=False, edgecolor="black", linewidth=2)
    figure.legend(
        handles=[frame],
        labels=[f"the 95 % interval leaves zero out ({seeds} pairs a cell, uncorrected)"],
        loc="outside lower left",
    )
    return figure


def scale_unit(row: Any) -> str:
    unit = "percentage points" if row["unit"] == "%" else row["unit"]
    return f"{unit}, {row['better']} is better" if row["better"] else unit


def order(value: Any) -> tuple[bool, Any]:
    """Numbers by size, before words."""
    number = isinstance(value, Real)
    return not number, value if number else str(value)
