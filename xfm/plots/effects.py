"""Effects of a study: forest plots with the paired seeds, the seeds' lines, a map over a two-way grid."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from .colours import AXIS, BLUE, DIVERGING, GREY, ORANGE, PURPLE
from .style import WIDTH, Figure, new_figure, require, styled, wrap
from .svg import FIXED

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["effect_map", "forest", "nothing", "paired_seeds"]

_COLUMNS, _SIZE = 3, 8.5  # panels side by side; points of the labels
_ROW, _PANEL = 0.34, 1.15  # inches: a variant, and what a panel needs beside its rows
_NAMES = 2.45  # inches that the variants' names may take
_SCALE = {"%": 100.0}  # shares are shown in per cent
_JUDGED = {
    "Holm": "Holm’s p ≤ 0.05",
    "gatekeeping": "p ≤ 0.05 through the gates",
    "interval": "interval without zero, uncorrected",
}
_LEVELS: dict[str, dict[str, Any]] = {  # of a metric, by their columns
    "baseline": {"color": ORANGE, "linestyle": (0, (1, 1)), "linewidth": 1.8},
    "step_0": {"color": PURPLE, "linestyle": (0, (4, 2)), "linewidth": 1.5},
}
_LEVEL_NAMES = {"baseline": "baseline", "step_0": "before training"}


@styled
def forest(effects: pd.DataFrame, pairs: pd.DataFrame, variants: Sequence[str], title: str = "") -> Figure:
    """A panel a metric: each variant's mean difference with its 95 % interval, above it the seeds' own differences
    (crosses: a run failed), dotted where the baseline lies, dashed where training began. The mean is full where the
    verdict is a difference.

    `effects`, `pairs`: rows of Study.effects and Study.pairs; `variants`: their order. Raises ValueError for no rows.
    """
    require(effects, "effects")
    variants = [variant for variant in variants if variant in set(effects["variant"])]
    figure, drawn = Figure(layout="constrained"), set[str]()
    for axes, metric in _panels(figure, effects, variants, title):
        rows: list[Any] = list(effects[effects["metric"] == metric].itertuples())
        first, share = rows[0], _SCALE.get(rows[0].unit, 1.0)
        axes.axvline(0, color=AXIS, linewidth=1, zorder=1)
        for row in rows:
            y, own = variants.index(row.variant), pairs[(pairs["metric"] == metric) & (pairs["variant"] == row.variant)]
            for failed, marker in ((False, "o"), (True, "x")):
                dots = own[own["failed"] == failed]["difference"] * share
                axes.plot(dots, [y - 0.22] * len(dots), marker, color=GREY, alpha=0.45, markersize=3.2, zorder=2)
            ends = [row.low * share, row.high * share]
            axes.plot(ends, [y + 0.12] * 2, color=BLUE, linewidth=2, solid_capstyle="butt", zorder=3)
            full = BLUE if row.verdict in ("better", "worse", "different") else "white"
            axes.plot(row.effect * share, y + 0.12, "o", color=BLUE, mfc=full, markersize=5.5, zorder=4)
        span = tuple(axes.dataLim.intervalx)  # before there are levels, which would make room for each other
        for row in rows:
            y = variants.index(row.variant)
            for name, look in _LEVELS.items():
                if _near(span, x := (getattr(row, name) - row.mean_against) * share):
                    axes.plot([x, x], [y - 0.5, y + 0.5], **look, zorder=2)
                    drawn.add(name)
        axes.set_ylim(len(variants) - 0.4, -0.6)
        lines = [_unit(first) + {"higher": ", right is better", "lower": ", left is better"}.get(first.better, "")]
        name = _labels([first.against, *variants])[0]
        lines += [f"{name}: {span}" for span in [_span(rows)] if span] + _known(first)
        axes.set_xlabel("\n".join(lines), fontsize=_SIZE)
    look: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 5.5, "linewidth": 2}
    untested = any(effects["verdict"].str.startswith("not tested"))
    judged = "; ".join(_JUDGED[by] for by in dict.fromkeys(effects["judged_by"]))
    handles = [
        Line2D([], [], color=GREY, alpha=0.6, marker="o", linestyle="", markersize=3.5, label="one seed"),
        Line2D([], [], **look, label=f"differs ({judged})"),
        Line2D([], [], **look, mfc="white", label="no difference shown" + " (or not tested)" * untested),
        *_handles(drawn),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=5 if figure.get_figwidth() == WIDTH else 2)
    return figure


@styled
def nothing(why: str, title: str = "") -> Figure:
    """A figure that says why there is nothing to draw yet."""
    lines = wrap(why, WIDTH - 0.3, 10).split("\n")
    figure = new_figure(WIDTH, 0.45 + 0.2 * len(lines), title)
    figure.text(0.01, 0.1, "\n".join(lines), ha="left", va="bottom", fontsize=10)
    return figure


@styled
def paired_seeds(effects: pd.DataFrame, results: pd.DataFrame, variants: Sequence[str], title: str = "") -> Figure:
    """A panel a metric: every run's value by variant, a line a seed; the variants' means as bars, the baseline
    dotted, the value before training dashed.

    `effects`, `results`: rows of Study.effects and Study.results. Raises ValueError for no rows.
    """
    require(results, "results")
    figure, drawn = Figure(layout="constrained"), set[str]()
    for axes, metric in _panels(figure, effects, variants, title):
        row: Any = effects[effects["metric"] == metric].iloc[0]
        share, places = _SCALE.get(row.unit, 1.0), range(len(variants))
        values = results[results["metric"] == metric].pivot(index="seed", columns="variant", values="value")
        values = values.reindex(columns=list(variants)) * share
        for _, line in values.iterrows():
            axes.plot(line, places, "-o", color=GREY, alpha=0.4, linewidth=0.9, markersize=3.2, mew=0, zorder=2)
        axes.plot(values.mean(), places, "|", color=BLUE, markersize=15, mew=2.4, zorder=3)
        label = f"{row.unit}, {row.better} is better" if row.better else row.unit
        label = "\n".join([label, *_known(row)])
        span = tuple(axes.dataLim.intervalx)
        for name, look in _LEVELS.items():
            if _near(span, level := getattr(row, name) * share):
                axes.axvline(level, **look, zorder=1)
                drawn.add(name)
        axes.set_ylim(len(variants) - 0.5, -0.5)
        axes.set_xlabel(label, fontsize=_SIZE)
    handles = [
        Line2D([], [], color=GREY, alpha=0.6, marker="o", markersize=3.5, linewidth=0.9, label="one seed"),
        Line2D([], [], color=BLUE, linestyle="", marker="|", markersize=11, mew=2.4, label="mean over the seeds"),
        *_handles(drawn),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure


def _panels(figure: Figure, effects: pd.DataFrame, variants: Sequence[str], title: str) -> Iterator[tuple[Axes, str]]:
    """Sizes the figure, and yields a panel a metric, in the rows' order, whose rows are the variants."""
    roles = dict(effects[["metric", "role"]].itertuples(index=False, name=None))
    columns = min(_COLUMNS, len(roles))
    names = [wrap(name, _NAMES, _SIZE).split("\n") for name in _labels([effects["against"].iloc[0], *variants])[1:]]
    width = WIDTH if columns > 1 else 6.5
    labels = max(0.6 * _SIZE / 72 * len(line) for name in names for line in name)
    wrapped = [wrap(metric, (width - labels - 0.3) / columns - 0.2, 10).split("\n") for metric in roles]
    head = wrap(title, width - 0.2, 12.5).split("\n") if title else []
    rows = math.ceil(len(roles) / columns)
    panel = _ROW * max(len(variants), 2) + _PANEL + 0.15 * max(map(len, wrapped))
    figure.set_size_inches(width, rows * panel + 0.2 * len(head) + 0.35)
    figure.suptitle("\n".join(head), x=0.01, ha="left")
    for i, (metric, role) in enumerate(roles.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.set_title("\n".join(wrapped[i]), fontsize=9, fontweight="bold" if role == "primary" else "normal")
        axes.tick_params(axis="y", length=0, labelsize=_SIZE)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_yticks(
            range(len(names)), ["\n".join(name) for name in names] if i % columns == 0 else [""] * len(names)
        )
        yield axes, metric


def _labels(variants: Sequence[str]) -> list[str]:
    """Short names: of a one-way grid the values, "at 0.001"; else the first without its cell of a two-way grid."""
    field = variants[0].partition("=")[0]
    if len(variants) > 1 and all(v.startswith(f"{field}=") and v.count("=") == 1 for v in variants):
        return [f"at {v.partition('=')[2]}" for v in variants]
    return [variants[0].partition(", ")[0], *variants[1:]]


def _handles(drawn: Collection[str]) -> list[Line2D]:
    """Of the legend: the levels that a panel has room for."""
    return [Line2D([], [], **look, label=_LEVEL_NAMES[name]) for name, look in _LEVELS.items() if name in drawn]


def _near(span: Sequence[float], x: float) -> bool:
    """Whether a line at x (NaN: none) leaves what spans a panel at least half of its width."""
    low, high = span
    return bool(low - (high - low) <= x <= high + (high - low))


def _level(value: float, row: Any) -> str:
    return (f"{100 * value:.2f} %" if row.unit == "%" else f"{value:.4f}").replace("-", "−")


def _span(rows: Sequence[Any]) -> str:
    """The values of what is compared with: one, or the least to the greatest; "" where there are no pairs yet."""
    values = [row.mean_against for row in rows if row.n]
    if not values:
        return ""
    return " to ".join(dict.fromkeys(_level(value, rows[0]) for value in (min(values), max(values))))


def _known(row: Any) -> list[str]:
    """A metric's levels in words: a panel may have no room for their lines."""
    named = {"baseline": f" ({row.baseline_name})", "step_0": ""}
    values = {name: getattr(row, name) for name in _LEVELS}
    return [f"{_LEVEL_NAMES[n]} {_level(value, row)}{named[n]}" for n, value in values.items() if value == value]


def _unit(row: Any) -> str:
    return "percentage points" if row.unit == "%" else row.unit


@styled
def effect_map(cells: pd.DataFrame, title: str = "") -> Figure:
    """The effect on one metric over a two-way grid: colour and number, framed where the 95 % interval leaves zero out.

    `cells`: rows of Study.effects with x and y (a cell's place), columns and rows (what these are). Raises ValueError
    for no rows.
    """
    require(cells, "cells")
    rows: list[Any] = list(cells.itertuples())
    first, share = rows[0], _SCALE.get(rows[0].unit, 1.0)
    xs, ys = (sorted(cells[axis].unique(), key=_order) for axis in ("x", "y"))
    largest = max((abs(row.effect) for row in rows if row.effect == row.effect), default=0.0) * share or 1.0
    norm, colours = TwoSlopeNorm(0, -largest, largest), DIVERGING if first.better != "lower" else DIVERGING.reversed()
    figure = Figure(figsize=(max(2.4 + 1.0 * len(xs), 6.0), 1.9 + 0.55 * len(ys)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    axes = figure.add_subplot()
    heading = f"{first.metric} ({_unit(first)}{f', {first.better} is better' if first.better else ''})"
    if known := _known(first):
        compared = f"{first.against.partition(', ')[0]} {_span(rows) or '–'}"
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
        text = (f"{value:+.2f}" if share != 1 else f"{value:+.3f}").replace("-", "−")
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
