"""Scores of attribution methods: insertion and deletion, and the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from ..explain.scores import SCORES
from .labels import clip
from .palette import AXIS, BLUE, DARK, GREEN, GREY, ORANGE, PURPLE
from .style import SIZE, WIDTH, Figure, new_figure, require, styled

if TYPE_CHECKING:
    import pandas as pd

    from ..explain.faithfulness import Curve

# methods that never ask the model, and the dashes of their means
_KNOW_NOTHING: dict[str, Any] = {"random": ":", "centre": "--", "edges": "-."}


@styled
def insertion_deletion(
    curves: Mapping[str, Mapping[str, Curve]],
    ylabel: str = "score",
    title: str = "The target's score as parts are inserted and deleted",
) -> Figure:
    """Draws insertion and deletion curves of pictures and texts, one line per method. `curves`: method -> what
    `explain.faithfulness.perturbation_curves` returned."""
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
    """Draws one panel per score, one row per method: means with 95 % intervals; those that know nothing of the model
    are grey, and lines of their own.

    `table`: rows with method, score, mean, low, high, as `Leaderboard.table` has them.
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
                row, colour = scored.loc[method], GREY if method in _KNOW_NOTHING else BLUE
                axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
                axes.plot(row["mean"], y, "o", color=colour, markersize=5)
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
    handles = [Line2D([], [], color=GREY, marker="o", markersize=5, linewidth=2, label="knows nothing of the model")]
    for base in [base for base in _KNOW_NOTHING if base in methods]:
        handles.append(Line2D([], [], color=AXIS, linestyle=_KNOW_NOTHING[base], linewidth=1, label=base))
    if len(handles) > 1:
        figure.legend(handles=handles, loc="outside lower left", ncols=4)
    return figure
