"""Attention of one head, or of several as one: what attends, and what is attended to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xfm.base.images import pixels
from xfm.base.strings import shown
from xfm.plots import Figure
from xfm.plots.arrays import finite, numbers
from xfm.plots.explanations import overlay, overlay_scale
from xfm.plots.labels import clip
from xfm.plots.palette import BLUE, ORANGE
from xfm.plots.style import SIZE, WIDTH, new_figure, require, styled

if TYPE_CHECKING:
    from xfm.explain.tracing import Trace

_LABELS = {False: "attention weight", True: "change of the attention weight"}  # of a colour bar


@dataclass(frozen=True)
class AttentionSide:
    """One panel of a view of attention."""

    title: str
    kind: str  # "words" or "patches"
    weights: Tensor  # of all word pieces, or of the whole picture's token and then all patches


@styled
def plot_attention(
    sides: Sequence[AttentionSide], trace: Trace, signed: bool = False, title: str = "", credit: str = ""
) -> Figure:
    """Draws one panel per side, each with a scale of its own; weights that are not finite are drawn as 0.

    Args:
        signed: whether the weights are differences.

    Raises:
        ValueError: for no sides.
        ConfigError: for weights that are not those of the trace's words or patches.
    """
    require(sides, "sides")
    high = max(3.0 if side.kind == "patches" else 0.2 * len(side.weights) for side in sides)
    figure = new_figure(WIDTH * (1 if len(sides) > 1 else 0.6), high + 1.1, title, credit)
    for axes, side in zip(figure.subplots(1, len(sides), squeeze=False)[0], sides, strict=True):
        tokens = len(trace.words.pieces) if side.kind == "words" else 1 + trace.patches.grid**2
        weights = finite(numbers(side.weights, f"weights of {shown(side.title)}", (tokens,)))
        axes.set_title(clip(side.title, 60))
        if side.kind == "patches":
            overlay(axes, pixels(trace.image), trace.patches.pixels(torch.from_numpy(weights[1:])).numpy(), signed)
            figure.colorbar(overlay_scale(signed, np.abs(weights[1:]).max()), ax=axes, aspect=25, label=_LABELS[signed])
            axes.set_xlabel(f"the token of the whole picture: {weights[0]:.3f}", fontsize=SIZE, loc="left")
            continue
        axes.barh(range(len(weights)), weights, height=0.7, color=np.where(weights < 0, ORANGE, BLUE))
        axes.set_yticks(range(len(weights)), [clip(piece, 20) for piece in trace.words.pieces], fontsize=SIZE)
        axes.set_ylim(len(weights) - 0.4, -0.6)
        axes.locator_params(axis="x", nbins=4)
    return figure
