"""How faithful attribution methods are: insertion and deletion, and the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..explain.scores import SCORES
from .colours import AXIS, BLUE, DARK, GREEN, GREY, ORANGE, PURPLE
from .style import SIZE, WIDTH, Figure, new_figure, require, styled

if TYPE_CHECKING:
    import pandas as pd

    from ..explain.faithfulness import Curve

__all__ = ["insertion_deletion", "leaderboard"]


@styled
def insertion_deletion(
    curves: Mapping[str, Mapping[str, Curve]],
    ylabel: str = "score",
    title: str = "The target's score as parts are inserted and deleted",
) -> Figure:
    """Insertion and deletion, of pictures and of texts: a line a method. `curves`: method -> what
    `explain.faithfulness.perturbation_curves` returned."""
    require(curves, "curves")
    figure = new_figure(WIDTH, 5.4, title)
    panels = figure.subplots(2, 2)
    styles = [(colour, dash) for dash in ("-", "--", ":") for colour in (BLUE, ORANGE, GREEN, PURPLE, DARK)]
    for axes, name in zip(panels.flat, next(iter(curves.values())), strict=True):
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
    """A panel a score, a row a method: means with 95 % intervals; lines are the baselines' means, dotted "random",
    dashed "centre".

    `table`: rows with method, score, mean, low, high, as `Leaderboard.table` has them.
    """
    require(table, "rows")
    methods = list(dict.fromkeys(table["method"]))
    columns = min(3, len(scores))
    rows = -(-len(scores) // columns)
    figure = new_figure(WIDTH, rows * (0.2 * len(methods) + 0.75) + 0.4, title)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, score in zip(panels.flat, scores, strict=False):
        own = table[table["score"] == score].set_index("method")
        for y, method in enumerate(methods):
            if method in own.index:
                row, colour = own.loc[method], GREY if method in ("random", "centre", "edges") else BLUE
                axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
                axes.plot(row["mean"], y, "o", color=colour, markersize=5)
        for base, dash in (("random", ":"), ("centre", "--")):
            if base in own.index:
                axes.axvline(own.loc[base, "mean"], color=AXIS, linestyle=dash, linewidth=1)
        axes.set_yticks(range(len(methods)), methods, fontsize=SIZE)
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_title(score)
        axes.set_xlabel(_direction(score), fontsize=SIZE)
    for axes in panels.flat[len(scores) :]:
        axes.set_visible(False)
    return figure


def _direction(score: str) -> str:
    """How to read a score's axis; rank correlations, gaps and times are no SCORES."""
    if score.startswith("weights drawn anew"):
        return "0: changes with the model's weights"
    return "right is better" if score in SCORES and SCORES[score].higher_is_better else "left is better"
