"""One phrase, its true and its predicted box, and the attention behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from ..data.synthetic.openmoji import CREDIT
from .colours import BLUE, GREY, ORANGE
from .explanations import overlaid
from .style import WIDTH, Figure, Ruler, styled
from .svg import FIXED

SIDE, LEFT, TOP, FOOT, SIZE = 3.2, 0.1, 0.62, 0.55, 9  # inches; points
LOOKS: dict[str, tuple[str, Any]] = {"true": (BLUE, "-"), "predicted": (ORANGE, (0, (2.5, 1.5)))}
Box = Sequence[float]  # x, y, width, height in pixels


@styled
def grounding(
    image: np.ndarray,
    phrase: str,
    predicted: Box | None = None,
    true: Box | None = None,
    attention: np.ndarray | None = None,
    about: str = "",
    said: str = "",
) -> Figure:
    """The picture (H, W, 3) uint8 with the true box (drawn through) and the predicted one (dashed); beside it, where
    given, attention by patch (rows, columns), which `about` names. `said` stands below the phrase."""
    height, width = image.shape[:2]
    tall, wide = SIDE * min(height / width, 1), SIDE * min(width / height, 1)
    whole = TOP + tall + FOOT
    figure = Figure(figsize=(WIDTH, whole))
    lines = Ruler().wrap(f"“{phrase}”", WIDTH - 0.5, 11.5, "bold")
    heading = lines[0] + (" …" if len(lines) > 1 else "")
    figure.text(LEFT / WIDTH, 1 - 0.08 / whole, heading, fontsize=11.5, fontweight="bold", va="top")
    figure.text(LEFT / WIDTH, 1 - 0.34 / whole, said, fontsize=SIZE, va="top")
    figure.text(1 - LEFT / WIDTH, 0.08 / whole, CREDIT, fontsize=7.5, color=GREY, ha="right")

    def panel(left: float) -> Any:
        axes = figure.add_axes((left / WIDTH, FOOT / whole, wide / WIDTH, tall / whole))
        axes.set_axis_off()
        return axes

    axes = panel(LEFT)
    axes.imshow(image, interpolation="none")
    beside = LEFT
    for name, box in (("true", true), ("predicted", predicted)):
        if box is None:
            continue
        colour, line = LOOKS[name]
        x, y, w, h = box
        for thick, shade, style in ((4.5, "white", "-"), (2.2, colour, line)):  # white: seen on any ground
            look: dict[str, Any] = {"edgecolor": shade, "linestyle": style, "linewidth": thick, "gid": FIXED}
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, fill=False, clip_on=False, **look))
        sign = "▬" if name == "true" else "╍╍"
        figure.text(beside / WIDTH, 0.3 / whole, f"{sign} {name} box", fontsize=SIZE, color=colour)
        beside += 1.1
    if attention is not None:
        axes = panel(LEFT + wide + 0.3)
        rows, columns = attention.shape
        down, across = np.arange(height) * rows // height, np.arange(width) * columns // width
        overlaid(axes, image, attention[np.ix_(down, across)], signed=False)
        most = f"{about}; brightest: {attention.max():.3f}"
        figure.text((LEFT + wide + 0.3) / WIDTH, 0.3 / whole, most, fontsize=SIZE)
    return figure
