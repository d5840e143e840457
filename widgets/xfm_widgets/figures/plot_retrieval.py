"""One query of a retrieval set: what retrieval answers, and where pictures and sentences lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.patches import Rectangle

from xfm.base.images import pixels
from xfm.plots import Figure
from xfm.plots.example_pictures import RIGHT
from xfm.plots.palette import BLUE, GREEN, LIGHT, ORANGE
from xfm.plots.style import SIZE, WIDTH, bare, new_figure, styled, wrap

if TYPE_CHECKING:
    from xfm.tasks.retrieval_set import RetrievalSet

_SHOWN = 8  # answers


@styled
def plot_retrieval(
    pairs: RetrievalSet,
    direction: str,
    query: int,
    itm: np.ndarray | None = None,
    selected: Sequence[int] = (),
    apart: bool = False,
    credit: str = "",
) -> Figure:
    """Draws the best answers to a query with their scores, the true ones framed, and the map of both modalities.

    Args:
        itm: scores (N,) that re-rank the best by ITC.
        selected: pictures 0 to N - 1, sentences N to 2N - 1.
        apart: whether the query is the user's own, which has no place on the map and no known truth.
    """
    order, true = pairs.ranking(direction, query, itm), pairs.row(pairs.truth, direction, query)
    title = f"Retrieval, {direction}: no answer is true"
    point = query + len(pairs.texts) * (direction == "text to image")
    if not np.isfinite(pairs.plane(apart)[0][point]).all():
        title = f"Retrieval, {direction}: a user's query"
    elif true.any():
        by = "after ITM re-ranking" if itm is not None else "by ITC"
        title = f"Retrieval, {direction}: the first true answer has rank {int(true[order].argmax()) + 1} {by}"
    figure = new_figure(WIDTH, 4.9, title, credit)
    itc = pairs.row(pairs.similarity, direction, query)
    labels = {}
    for rank, i in enumerate(order[:_SHOWN].tolist(), 1):
        scores = [f"ITC {itc[i]:.2f}"] + ([f"ITM {itm[i]:.2f}"] if itm is not None and np.isfinite(itm[i]) else [])
        labels[i] = f"{rank}. {f'{RIGHT} ' * bool(true[i])}{'  '.join(scores)}".replace("-", "−")
    left, right = figure.subfigures(1, 2, width_ratios=[5.3, 4])  # type: ignore[misc]
    (_pictures if direction == "text to image" else _sentences)(left, pairs, query, labels, true)
    _map(right.subplots(), pairs, point, selected, apart)
    return figure


def _pictures(part: SubFigure, pairs: RetrievalSet, query: int, labels: dict[int, str], true: np.ndarray) -> None:
    part.suptitle(wrap(f"“{pairs.texts[query]}”", 5.0, SIZE + 1), x=0.02, ha="left", fontsize=SIZE + 1, weight="normal")
    panels = part.subplots(2, 4).ravel()
    for axes in panels:
        bare(axes)
    for axes, (i, label) in zip(panels, labels.items(), strict=False):
        axes.imshow(pixels(pairs.images[i], f"images[{i}]"), interpolation="none")
        axes.set_xlabel(label.replace("  ", "\n"), fontsize=SIZE, color=GREEN if true[i] else "black", loc="left")
        if true[i]:
            frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=GREEN, linewidth=3)
            axes.add_patch(frame).set_clip_on(False)


def _sentences(part: SubFigure, pairs: RetrievalSet, query: int, labels: dict[int, str], true: np.ndarray) -> None:
    picture, answers = part.subplots(2, 1, height_ratios=[1, 2.7])
    picture.imshow(pixels(pairs.images[query], f"images[{query}]"), interpolation="none")
    picture.set_anchor("W")
    bare(picture)
    bare(answers)
    answers.set_ylim(_SHOWN, 0)
    for y, (i, label) in enumerate(labels.items()):
        text = wrap(pairs.texts[i], 5.0).split("\n")
        colour = GREEN if true[i] else "black"
        answers.text(0, y, label, color=colour, fontsize=SIZE, fontweight="bold", va="top")
        answers.text(0, y + 0.47, text[0] + " …" * (len(text) > 1), color=colour, fontsize=SIZE, va="top")


def _map(axes: Axes, pairs: RetrievalSet, query: int, selected: Sequence[int], apart: bool) -> None:
    n = len(pairs.texts)
    places, variance = pairs.plane(apart)
    for i in range(n):
        axes.plot(*places[[i, n + i]].T, color=LIGHT, linewidth=0.7, zorder=1)
    for name, part, marker, colour in (
        ("pictures", slice(0, n), "s", BLUE),
        ("sentences", slice(n, None), "o", ORANGE),
    ):
        axes.scatter(*places[part].T, marker=marker, s=22, color=colour, label=name, zorder=2, linewidth=0)
    if len(selected):
        ring = {"facecolor": "none", "edgecolor": "black", "s": 60, "zorder": 3}
        axes.scatter(*places[list(selected)].T, label="selected", **ring)
    if 0 <= query < 2 * n and np.isfinite(places[query]).all():
        axes.scatter(*places[query], marker="*", s=150, color="black", label="query", zorder=4)
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel(f"PC 1 ({100 * variance[0]:.0f} % of variance)", fontsize=SIZE)
    axes.set_ylabel(f"PC 2 ({100 * variance[1]:.0f} %)", fontsize=SIZE)
    axes.tick_params(labelsize=7)
    centre = "each modality centred" if apart else "both centred together"
    axes.set_title(f"Unit vectors, {centre}; lines join pairs", fontsize=SIZE, fontweight="normal")
    axes.figure.legend(loc="outside lower center", ncols=4, fontsize=SIZE, columnspacing=1)
