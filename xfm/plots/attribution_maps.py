"""Attributions and attention: numbers over pictures and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm

from ..config_utils import one_of
from .colours import AXIS, BLUE, ORANGE
from .style import COLUMN, SIZE, WIDTH, Figure, bare, new_figure, require, styled

if TYPE_CHECKING:
    from ..explain.attribution import Attribution
    from ..explain.tracing import Trace

__all__ = ["attention", "attention_matrices", "attributions", "colour_scale", "overlay", "patch_maps"]

_BAR = 0.19  # inches: a word's bar
_MAPS = {"language": "words to words, language encoder", "vision": "patches to patches, vision encoder",
         "fusion": "words to words, fusion encoder", "cross": "words to patches, fusion encoder"}  # fmt: skip


@styled
def attributions(
    image: np.ndarray,
    attributions: Sequence[Attribution],
    truth: np.ndarray | None = None,
    title: str = "",
    columns: int = 4,
    credit: str = "",
) -> Figure:
    """A panel an attribution of one input: the picture (side, side, 3) under its patches' numbers, and a bar a word.

    Each panel has a scale of its own: methods' numbers have no common unit. Signed ones are shown around 0. `truth`
    (side, side) bool is outlined. Raises ValueError where there is none.
    """
    require(attributions, "attributions")
    columns = min(columns, len(attributions))
    rows, bars = -(-len(attributions) // columns), _BAR * len(attributions[0].by_word())
    figure = new_figure(columns * COLUMN + 0.2, rows * (COLUMN + bars + 0.15) + 0.5, title, credit)
    panels = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[COLUMN - 0.2, bars + 0.01] * rows)
    for axes in panels.flat:
        axes.set_axis_off()
    pairs = zip(panels[::2].flat, panels[1::2].flat, strict=True)
    for (picture, below), one in zip(pairs, attributions, strict=False):
        overlay(picture, image, one.image.numpy(), one.signed, truth)
        picture.set_title(one.method, fontsize=SIZE + 1)
        _word_bars(below, one)
    return figure


@styled
def patch_maps(
    image: np.ndarray,
    maps: Mapping[str, Any],
    title: str = "",
    columns: int = 4,
    signed: bool = False,
    credit: str = "",
) -> Figure:
    """A panel a map: the picture (side, side, 3) under numbers (side, side). Each has a scale of its own."""
    require(maps, "maps")
    columns = min(columns, len(maps))
    side, rows = min(WIDTH / columns, COLUMN), -(-len(maps) // columns)
    figure = new_figure(side * columns, rows * (side + 0.1) + 0.6, title, credit)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, (name, values) in zip(panels, maps.items(), strict=False):
        overlay(axes, image, np.asarray(values), signed)
        axes.set_title(name, fontsize=SIZE)
    return figure


def overlay(axes: Axes, image: np.ndarray, values: np.ndarray, signed: bool, truth: np.ndarray | None = None) -> None:
    """The picture in grey below the numbers (side, side): what is near 0 lets it through."""
    grey = np.repeat(image.mean(-1, keepdims=True) / 255, 3, -1)
    colours, norm = colour_scale(values, signed)
    strength = np.abs(values) / max(float(np.abs(values).max()), 1e-12)
    opacity = (0.25 + 0.6 * strength)[..., None]
    axes.imshow(opacity * colours(norm(values))[..., :3] + (1 - opacity) * grey, interpolation="none")
    bare(axes)
    if truth is not None:
        height, width = truth.shape
        extent = (-0.5, width - 0.5, -0.5, height - 0.5)
        for colour, line in (("white", 2.6), (ORANGE, 1.3)):
            mask = np.kron(truth, np.ones((4, 4)))
            axes.contour(mask, [0.5], colors=colour, linewidths=line, extent=extent)


def colour_scale(values: np.ndarray, signed: bool) -> tuple[Colormap, Normalize]:
    """Around 0 where numbers have a sign, from 0 otherwise."""
    most = max(float(np.abs(values).max()), 1e-12)
    if signed:
        return colormaps["PuOr"], TwoSlopeNorm(0, -most, most)
    return colormaps["viridis"], Normalize(0, most)


def _word_bars(axes: Axes, one: Attribution) -> None:
    """The words in a column of their own, left of the bars."""
    words = one.by_word()
    values = np.array(list(words.values()))
    most = max(float(np.abs(values).max()), 1e-12) if len(values) else 1.0
    lowest = -1.0 if one.signed else 0.0
    left = lowest - 0.55 * (1 - lowest)  # a third of the width is the words'
    axes.barh(range(len(words)), values / most, color=[ORANGE if v < 0 else BLUE for v in values], height=0.7)
    for y, word in enumerate(words):
        axes.text(left, y, word if len(word) < 12 else f"{word[:10]}…", va="center", fontsize=SIZE - 1)
    axes.axvline(0, color=AXIS, linewidth=0.8)
    axes.set_xlim(left, 1.0)
    axes.set_ylim(len(words) - 0.4, -0.6)


@styled
def attention(trace: Trace, map: str = "cross", piece: int = 0, title: str = "", credit: str = "") -> Figure:
    """A row a layer, a picture a head: what a word piece attends to ("cross"), or how much all patches attend to each
    ("vision"). Each head has a scale of its own; below it stand its largest weight and its entropy.

    ConfigError for another map.
    """
    one_of("map", map, [name for name, own in trace.maps.items() if own.keys == "patches"])
    rows, by_words = trace.maps[map].weights, trace.maps[map].queries == "words"  # (layer, head, query, key)
    chosen = rows[:, :, piece] if by_words else rows[:, :, 1:].mean(2)
    layers, heads, _ = chosen.shape
    side = min(WIDTH / heads, 1.9)
    query = f"from {trace.words.pieces[piece]!r}" if by_words else "from all patches"
    title = title or f"Attention, {_MAPS[map]}, {query}"
    figure = new_figure(heads * side + 0.4, layers * (side + 0.15) + 0.6, title, credit)
    for (layer, head), axes in np.ndenumerate(figure.subplots(layers, heads, squeeze=False)):
        row = chosen[layer, head]
        overlay(axes, trace.image, trace.patches.pixels(row[1:]).numpy(), signed=False)
        entropy = float((-(row * row.clamp_min(1e-12).log())).sum())
        axes.set_xlabel(f"head {head}: most {float(row.max()):.2f}, {entropy:.1f} nats", fontsize=7)
        axes.set_ylabel("" if head else f"layer {layer}", fontsize=SIZE)
    return figure


@styled
def attention_matrices(trace: Trace, map: str = "language", layer: int = -1, title: str = "") -> Figure:
    """A matrix a head: how much each word piece (row) attends to each (column). ConfigError for maps of patches."""
    one_of("map", map, [name for name, own in trace.maps.items() if own.keys == own.queries == "words"])
    weights, pieces = trace.maps[map].weights[layer].numpy(), trace.words.pieces
    figure = new_figure(WIDTH, 3.3, title or f"Attention, {_MAPS[map]}: rows attend to columns")
    for head, axes in enumerate(figure.subplots(1, len(weights), sharey=True, squeeze=False)[0]):
        axes.imshow(weights[head], cmap="viridis", vmin=0)
        axes.set_title(f"head {head}: most {weights[head].max():.2f}", fontsize=SIZE + 1)
        axes.set_xticks(range(len(pieces)), pieces, rotation=90, fontsize=SIZE)
        axes.set_yticks(range(len(pieces)), pieces, fontsize=SIZE)
        axes.grid(visible=False)
    return figure
