"""Bars, lines and points of plain numbers, and the scores of attribution methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..explain.attribution import SCORES
from .labels import clip
from .palette import AXIS, BLUE, DARK, GREEN, GREY, ORANGE, PURPLE
from .style import SIZE, WIDTH, Figure, interval_dot, key, new_figure, require, styled

if TYPE_CHECKING:
    import pandas as pd

    from ..explain.faithfulness import Curve

LINES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"), (PURPLE, ":", "D"))  # colour, dash, marker
# methods that never ask the model, and the dashes of their means
_KNOW_NOTHING = {"random": ":", "centre": "--", "edges": "-."}


@styled
def bars(values: Mapping[str, float], xlabel: str, title: str = "", reference: Sequence[float] = ()) -> Figure:
    """Draws one bar per name, in order, and dashed lines at the values of `reference`. ValueError for no values."""
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
    """Draws one line per column over an index of numbers, and a grey one at a reference value such as chance.
    ValueError for no rows."""
    require(table, "rows")
    figure = new_figure(WIDTH, 3.6, title)
    axes = figure.subplots()
    for i, (name, values) in enumerate(table.items()):
        colour, dash, _ = LINES[i % len(LINES)]
        axes.plot(table.index, values, color=colour, linestyle=dash, linewidth=2, label=str(name))
    if reference is not None:
        axes.axhline(reference, color=GREY, linewidth=1)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    figure.legend(ncols=4, loc="outside lower center")
    return figure


@styled
def scatter(
    panels: Mapping[str, Any], xlabel: str, ylabel: str, title: str = "", reference: Mapping[str, float] | None = None
) -> Figure:
    """Draws one panel per name: points over 0, 1, ..., such as heads over layers.

    Args:
        panels: values (x, points) by name.
        reference: a dashed level by the name of its panel.

    Raises:
        ValueError: for no panels.
    """
    require(panels, "panels")
    figure = new_figure(WIDTH, 2.8, title)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, values) in zip(grid, panels.items(), strict=True):
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
def gradient_scales(table: pd.DataFrame, module: str = "language encoder", title: str = "") -> Figure:
    """Draws gradient norms at a module against the gradient scale. A cross on the axis: no path.

    Args:
        table: rows: gradient scales in [0, 1]; columns: objectives; None or NaN: no path.

    Raises:
        ValueError: for a table without values.
    """
    require(table.to_numpy().ravel(), "gradients")
    figure = new_figure(6.2, 3.1, title)
    axes = figure.subplots()
    values = table.astype(float)
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
def insertion_deletion(curves: Mapping[str, Mapping[str, Curve]], ylabel: str = "score", title: str = "") -> Figure:
    """Draws insertion and deletion curves of pictures and texts, one line per method.

    Args:
        curves: by method, what `explain.perturbation_curves` returned.

    Raises:
        ValueError: for no curves.
    """
    require(curves, "curves")
    names = [*next(iter(curves.values()))]  # of a single word there is no order to insert it in
    figure = new_figure(WIDTH, 1.35 * len(names), title)
    panels = figure.subplots(len(names) // 2, 2, squeeze=False)
    styles = [(colour, dash) for dash in ("-", "--", ":") for colour in (BLUE, ORANGE, GREEN, PURPLE, DARK)]
    for axes, name in zip(panels.flat, names, strict=True):
        for i, (method, by_score) in enumerate(curves.items()):
            colour, dash = styles[i % len(styles)]
            curve = by_score[name]
            axes.plot(curve.shares * 100, curve.scores, color=colour, linestyle=dash, linewidth=1.7, label=method)
        axes.set_title(f"{name} ({'higher' if SCORES[name].higher_is_better else 'lower'} is better)")
        what = "patches" if name.endswith("image") else "word pieces"
        axes.set(xlabel=f"{what} {'inserted' if name.startswith('insertion') else 'deleted'} (%)", ylabel=ylabel)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(curves), 5))
    return figure


@styled
def leaderboard(table: pd.DataFrame, scores: Sequence[str], title: str = "Attribution methods, scored") -> Figure:
    """Draws one panel per score, one row per method: means with 95 % intervals. Methods that know nothing of the model
    are grey, and their means are lines.

    Args:
        table: rows with method, score, mean, low, high, as `Leaderboard.table` has them.
        scores: the panels, in order.

    Raises:
        ValueError: for no rows.
    """
    require(table, "rows")
    methods = list(dict.fromkeys(table["method"]))
    columns = min(3, len(scores))
    rows = -(-len(scores) // columns)
    figure = new_figure(WIDTH, rows * (0.2 * len(methods) + 0.75) + 0.4, title)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, score in zip(panels.flat, scores, strict=False):
        scored = table[table["score"] == score].set_index("method")
        for y, method in enumerate(methods):
            if method in scored.index:
                ends, colour = scored.loc[method, ["low", "mean", "high"]], GREY if method in _KNOW_NOTHING else BLUE
                interval_dot(axes, y, tuple(ends), colour, markersize=5)
        for base, dash in _KNOW_NOTHING.items():
            if base in scored.index:
                axes.axvline(scored.loc[base, "mean"], color=AXIS, linestyle=dash, linewidth=1)
        axes.set_yticks(range(len(methods)), methods, fontsize=SIZE)
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_title(clip(score, 50))
        better = "right is better" if score in SCORES and SCORES[score].higher_is_better else "left is better"
        randomised = score.startswith("weights drawn anew")  # a rank correlation, and no SCORE
        axes.set_xlabel("0: changes with the model's weights" if randomised else better, fontsize=SIZE)
    for axes in panels.flat[len(scores) :]:
        axes.set_visible(False)
    looks = {name: {"linestyle": dash} for name, dash in _KNOW_NOTHING.items() if name in methods}
    bases = [key(name, color=AXIS, linewidth=1, **look) for name, look in looks.items()]
    if bases:
        blind = key("knows nothing of the model", color=GREY, markersize=5)
        figure.legend(handles=[blind, *bases], loc="outside lower left", ncols=4)
    return figure
