"""One phrase, its true and its predicted box, and the attention behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from xfm.base.fields import require
from xfm.base.images import ImageLike, pixels
from xfm.plots import Figure
from xfm.plots.arrays import finite, numbers
from xfm.plots.example_pictures import boxes as draw_boxes
from xfm.plots.explanations import overlay
from xfm.plots.palette import PURPLE
from xfm.plots.style import SIZE, WIDTH, bare, new_figure, styled

Box = Sequence[float]  # x, y, width, height in pixels


@styled
def grounding(
    image: ImageLike,
    title: str,
    boxes: Mapping[str, Box] = MappingProxyType({}),
    attention: np.ndarray | None = None,
    attention_label: str = "",
    candidates: Sequence[tuple[Box, float]] = (),
    credit: str = "",
) -> Figure:
    """Draws a picture with its boxes, and the attention behind them.

    Args:
        image: any image that `xfm.base.images.prepare` accepts.
        boxes: "true" (solid) and "predicted" (dashed), finite pixels.
        attention: by patch, (rows, columns).
        candidates: boxes (dotted), each with its fraction of the masked pictures.

    Raises:
        ConfigError: for what is no image, no box or no attention.
    """
    image = pixels(image)
    height, width = image.shape[:2]
    if attention is not None:
        attention = numbers(attention, "attention", (None, None))
        require(attention.size > 0, "attention.shape", attention.shape, "not empty")
    known = {name: numbers(box, name, (4,)).tolist() for name, box in boxes.items()}
    for name, box in known.items():
        require(all(map(math.isfinite, box)), name, box, "finite")
    figure = new_figure(WIDTH, 3.2 * min(height / width, 1) + 1.1, title, credit)
    left, right = figure.subplots(1, 2)
    left.imshow(image, interpolation="none")
    bare(left)
    bare(right)
    for (x, y, w, h), share in candidates:
        line = {"edgecolor": PURPLE, "linestyle": ":", "linewidth": 1.2}
        left.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, fill=False, clip_on=False, **line))
        label = {"color": PURPLE, "fontsize": 7, "path_effects": [withStroke(linewidth=2, foreground="white")]}
        left.text(x, y - 1, f"{100 * share:.0f} %", clip_on=True, **label)
    handles = draw_boxes(left, known)
    if candidates:
        handles.append(Line2D([], [], color=PURPLE, linestyle=":", label="with patches hidden, and how often"))
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=SIZE)
    if attention is not None:
        rows, columns = attention.shape
        down, across = np.arange(height) * rows // height, np.arange(width) * columns // width
        overlay(right, image, attention[np.ix_(down, across)], signed=False)
        right.set_xlabel(f"{attention_label}; largest: {finite(attention).max():.3f}", fontsize=SIZE, loc="left")
    return figure
