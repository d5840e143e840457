"""Attention of one head, or of several as one: what looks, and what is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from torch import Tensor

from .colours import BLUE, ORANGE
from .explanations import heading, overlaid, scale
from .style import WIDTH, Figure, require, styled

if TYPE_CHECKING:
    from ..explain.tracing import Trace

BAR, SIDE, TOP = 0.2, 3.0, 0.75  # inches: a word's bar, a picture, above the panels


@styled
def looks(sides: Sequence[tuple[str, str, Tensor]], trace: Trace, signed: bool = False, title: str = "") -> Figure:
    """A panel a side: said, "words" or "patches", its numbers: of all word pieces, or of the whole picture's token and
    then all patches. `signed`: differences. Each panel has a scale of its own. ValueError where there is no side."""
    require(sides, "sides")
    highs = [SIDE if kind == "patches" else BAR * len(values) for _, kind, values in sides]
    wide, tall = WIDTH if len(sides) > 1 else 0.6 * WIDTH, TOP + 0.55 + max(highs)
    figure = Figure(figsize=(wide, tall))
    heading(figure, title, wide, tall)
    for i, ((said, kind, values), high) in enumerate(zip(sides, highs, strict=True)):
        width = SIDE if kind == "patches" else SIDE - 0.9
        left = 0.15 + i * (WIDTH / 2) + (0 if kind == "patches" else 0.9)
        axes = figure.add_axes((left / wide, 1 - (TOP + high) / tall, width / wide, high / tall))
        found = values.numpy()
        axes.set_title(said, loc="left")
        if kind == "patches":
            overlaid(axes, trace.image, trace.patches.pixels(values[1:]).numpy(), signed)
            colours, norm = scale(found[1:], signed)
            beside = figure.add_axes(((left + SIDE + 0.1) / wide, 1 - (TOP + SIDE) / tall, 0.12 / wide, SIDE / tall))
            figure.colorbar(ScalarMappable(norm, colours), cax=beside)
            axes.text(
                0,
                -0.02,
                f"the token of the whole picture: {found[0]:.3f}",
                transform=axes.transAxes,
                va="top",
                fontsize=8,
            )
            continue
        axes.barh(np.arange(len(found)), found, height=0.7, color=[ORANGE if v < 0 else BLUE for v in found])
        axes.set_yticks(range(len(found)), trace.words.pieces, fontsize=8)
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.locator_params(axis="x", nbins=4)
    return figure
