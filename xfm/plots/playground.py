"""What a model makes of a picture and a text with parts hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..data.synthetic.openmoji import CREDIT
from .colours import BLUE, GREY
from .pictures import COVER, RIGHT
from .style import WIDTH, Figure, Ruler, styled

SIDE, GAP, TOP, BELOW, LINE = 2.8, 0.3, 0.75, 0.3, 0.17  # inches: a picture, between, above, below them; a line of text
SIZE = 8.5  # points
SEQUENTIAL = "cividis"
COLUMNS = {"hidden": GAP, "beside the picture as shown (IMLM)": GAP + 1.1, "from the text alone (MLM)": GAP + 5.1}
READABLE = 8  # patches a side, at most: their numbers fit


@styled
def playground(
    image: np.ndarray,
    hidden: np.ndarray,
    agreement: np.ndarray | None,
    pixels: np.ndarray | None,
    words: Sequence[Mapping[str, Any]],
    title: str = "",
) -> Figure:
    """The picture (side, side, 3) uint8 as it is shown, with `hidden` (P,) bool covered; beside it, where hidden, the
    `agreement` (P,) of MIM's prediction with its target, a cosine, and the target in `pixels` (side, side, 3) uint8;
    below them the guesses for hidden word pieces, as `explain.playground` has them in "words"."""
    ruler = Ruler()
    rows = [
        (w["piece"], [ruler.wrap(told(w["piece"], w[side]), 3.7, SIZE) for side in ("with", "without")]) for w in words
    ]
    heights = [LINE * (max(map(len, cells)) + 0.4) for _, cells in rows]
    tall = TOP + SIDE + BELOW + 2 * LINE + sum(heights) + 0.25
    figure = Figure(figsize=(WIDTH, tall))

    def write(x: float, y: float, text: str, **look: Any) -> None:
        figure.text(x / WIDTH, 1 - y / tall, text, **{"va": "top", "fontsize": SIZE} | look)

    write(0.1, 0.08, title, fontsize=11.5, fontweight="bold")
    write(WIDTH - 0.1, tall - 0.06, CREDIT, fontsize=7.5, color=GREY, ha="right", va="bottom")
    faint = (0.25 * image.mean(-1, keepdims=True) + 0.75 * 245).repeat(3, -1).astype(np.uint8)
    grid = round(len(hidden) ** 0.5)
    where = np.kron(hidden.reshape(grid, grid), np.ones((len(image) // grid,) * 2))[..., None] > 0
    instead = faint if pixels is None else np.where(where, pixels, faint)
    known = np.array([]) if agreement is None else agreement[hidden & np.isfinite(agreement)]
    mean = f", mean {known.mean():.2f}" if len(known) else ": not given" if agreement is None else ""
    third = "the pixels as a target instead" + (": not given" if pixels is None else "")
    names = ("as it is shown", f"MIM's cosine with its target{mean}", third)
    for i, (name, ground) in enumerate(zip(names, (image, faint, instead), strict=True)):
        left = GAP + i * (SIDE + GAP)
        axes = figure.add_axes((left / WIDTH, 1 - (TOP + SIDE) / tall, SIDE / WIDTH, SIDE / tall))
        axes.imshow(ground, interpolation="none")
        axes.set_title(name, fontsize=SIZE)
        axes.set_axis_off()
        if i < 2:
            cover(axes, len(image), hidden, agreement if i else None, bool(i))
    top = TOP + SIDE + BELOW
    for head, x in COLUMNS.items() if rows else (("No word is hidden.", GAP),):
        write(x, top, head, color=GREY)
    top += 1.5 * LINE
    for (piece, cells), height in zip(rows, heights, strict=True):
        write(GAP, top, piece, color=BLUE, fontweight="bold")
        for x, lines in zip([*COLUMNS.values()][1:], cells, strict=True):
            for n, line in enumerate(lines):
                write(x, top + n * LINE, line)
        top += height
    return figure


def cover(axes: Axes, side: int, hidden: np.ndarray, values: np.ndarray | None, coloured: bool) -> None:
    """The hidden patches in grey, or each in the colour of its value, where it has one."""
    grid = round(len(hidden) ** 0.5)
    cell = side / grid
    for i in np.flatnonzero(hidden).tolist():
        x, y = i % grid * cell - 0.5, i // grid * cell - 0.5
        if not coloured:
            axes.add_patch(Rectangle((x, y), cell, cell, **COVER))
        elif values is not None and np.isfinite(values[i]):
            colour = colormaps[SEQUENTIAL](float(np.clip(values[i], 0, 1)))
            axes.add_patch(Rectangle((x, y), cell, cell, facecolor=colour, edgecolor="white", linewidth=0.5))
            if grid <= READABLE:
                axes.text(
                    x + cell / 2,
                    y + cell / 2,
                    f"{values[i]:.2f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="black" if values[i] > 0.55 else "white",
                )


def told(piece: str, side: Mapping[str, Any] | None) -> str:
    """The guesses with their probabilities, the right one marked, or said after them."""
    if side is None:
        return "not given"
    guesses = [f"{g} {number(p)}" + (f"\u00a0{RIGHT}" if g == piece else "") for g, p in side["guesses"]]
    within = piece in [g for g, _ in side["guesses"]]
    return ", ".join(guesses) + ("" if within else f" ({piece} {number(side['truth'])})")


def number(x: float | None) -> str:
    return "–" if x is None else f"{x:.2f}" if x >= 0.01 else f"{x:.0e}"
