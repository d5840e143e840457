"""One query of a gallery: what retrieval answers, and where pictures and sentences lie."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..data.synthetic.openmoji import CREDIT
from .colours import BLUE, GREEN, GREY, LIGHT, ORANGE
from .pictures import ordinal
from .style import WIDTH, Figure, Ruler, styled

if TYPE_CHECKING:
    from ..evaluation.retrieval_set import RetrievalSet

TALL, LEFT, SPLIT, SIZE = 4.9, 0.1, 5.5, 8.5  # inches, inches, where the map begins, points
SHOWN = 8  # answers


@styled
def ranking(
    gallery: RetrievalSet,
    direction: str,
    query: int,
    itm: np.ndarray | None = None,
    selected: Sequence[int] = (),
    apart: bool = False,
    title: str = "",
) -> Figure:
    """The best answers to a query with their scores, the true ones framed and ticked; beside them the map of both
    modalities. `itm` (N,): the scores that the best by ITC are ordered by. `selected`: pictures 0 to N - 1, sentences
    N to 2N - 1."""
    figure, ruler = Figure(figsize=(WIDTH, TALL)), Ruler()
    write = partial(figure.text, va="top", fontsize=SIZE)
    write(1 - LEFT / WIDTH, 0.2 / TALL, CREDIT, color=GREY, ha="right", fontsize=7.5)
    to_image, n = direction == "text to image", len(gallery.texts)
    order, true = gallery.ranking(direction, query, itm), gallery.row(gallery.truth, direction, query)
    if true.any():
        first = ordinal(int(true[order].argmax()) + 1) + (" after ITM re-ranking" if itm is not None else " by ITC")
        title = title or f"Retrieval, {direction}: the first true one comes {first}"
    heading = title or f"Retrieval, {direction}: nothing is true of it"
    write(LEFT / WIDTH, 1 - 0.08 / TALL, heading, fontsize=11.5, fontweight="bold")
    itc = gallery.row(gallery.similarity, direction, query)

    def picture(i: int, x: float, y: float, side: float, framed: bool) -> None:
        axes = figure.add_axes((x / WIDTH, 1 - (y + side) / TALL, side / WIDTH, side / TALL))
        axes.imshow(gallery.images[i], interpolation="none")
        axes.set_axis_off()
        if framed:
            frame = Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=GREEN, linewidth=3)
            axes.add_patch(frame).set_clip_on(False)

    def said(place: int, i: int) -> str:
        gap = "\n" if to_image else "  "
        numbers = f"ITC {itc[i]:.2f}"
        if itm is not None and np.isfinite(itm[i]):
            numbers += f"{gap}ITM {itm[i]:.2f}"
        return f"{place + 1}. {'✓ ' if true[i] else ''}{numbers}".replace("-", "−")

    top = 0.4
    if to_image:
        for line in ruler.wrap(f"“{gallery.texts[query]}”", SPLIT - 2 * LEFT, SIZE + 1)[:3]:
            write(LEFT / WIDTH, 1 - top / TALL, line, fontsize=SIZE + 1)
            top += 0.18
    else:
        picture(query, LEFT, top, 1.0, False)
        top += 1.1
    for place, i in enumerate(order[:SHOWN].tolist()):
        colour = GREEN if true[i] else "black"
        if to_image:
            x, y = LEFT + place % 4 * 1.2, top + 0.08 + place // 4 * 1.65
            picture(i, x, y, 1.1, bool(true[i]))
            write(x / WIDTH, 1 - (y + 1.18) / TALL, said(place, i), color=colour)
        else:
            y = top + place * 0.37
            write(LEFT / WIDTH, 1 - y / TALL, said(place, i), color=colour, fontweight="bold")
            text = ruler.wrap(gallery.texts[i], SPLIT - 3 * LEFT, SIZE)
            cut = text[0] + (" …" if len(text) > 1 else "")
            write(LEFT / WIDTH, 1 - (y + 0.16) / TALL, cut, color=colour)
    axes = figure.add_axes((SPLIT / WIDTH, 1.05 / TALL, 1 - (SPLIT + LEFT) / WIDTH, 1 - 1.8 / TALL))
    plane(axes, gallery, query if not to_image else n + query, selected, apart)
    return figure


def plane(axes: Axes, gallery: RetrievalSet, query: int, selected: Sequence[int], apart: bool) -> None:
    n = len(gallery.texts)
    places, shares = gallery.plane(apart)
    for i in range(n):
        axes.plot(*places[[i, n + i]].T, color=LIGHT, linewidth=0.7, zorder=1)
    kinds = (("pictures", slice(0, n), "s", BLUE), ("sentences", slice(n, None), "o", ORANGE))
    for name, some, marker, colour in kinds:
        axes.scatter(*places[some].T, marker=marker, s=22, color=colour, label=name, zorder=2, linewidth=0)
    if len(selected):
        style = {"facecolor": "none", "edgecolor": "black", "s": 60, "zorder": 3}
        axes.scatter(*places[list(selected)].T, label="selected", **style)
    if 0 <= query < 2 * n:
        axes.scatter(*places[query], marker="*", s=150, color="black", label="query", zorder=4)
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel(f"PC 1 ({100 * shares[0]:.0f} % of variance)", fontsize=SIZE)
    axes.set_ylabel(f"PC 2 ({100 * shares[1]:.0f} %)", fontsize=SIZE)
    axes.tick_params(labelsize=7)
    centre = "each modality centred" if apart else "both centred together"
    axes.set_title(f"Unit vectors, {centre}; a line joins a pair", fontsize=SIZE)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.13), ncols=4, fontsize=SIZE, columnspacing=1)
