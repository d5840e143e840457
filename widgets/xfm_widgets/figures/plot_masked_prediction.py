"""What a model predicts for the hidden parts of a picture and a text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from xfm.base.fields import require
from xfm.base.images import ImageLike, pixels
from xfm.base.numbers import significant
from xfm.plots import Figure
from xfm.plots.arrays import numbers
from xfm.plots.example_pictures import RIGHT, cover_patches, square_mask
from xfm.plots.explanations import overlay_scale
from xfm.plots.labels import clip
from xfm.plots.palette import BLUE, GREY, opacity
from xfm.plots.style import SIZE, WIDTH, bare, new_figure, styled, wrap

_COLUMNS = {"hidden": 0.0, "given the picture as shown (IMLM)": 0.12, "from the text alone (MLM)": 0.56}  # of the width
_READABLE = 8  # patches a side, at most: their numbers fit


@styled
def masked_prediction(
    image: ImageLike,
    hidden: np.ndarray,
    agreement: np.ndarray | None,
    target: ImageLike | None,
    words: Sequence[Mapping[str, Any]],
    title: str = "",
    credit: str = "",
) -> Figure:
    """Draws what a model predicts for hidden patches and pieces. ConfigError for what is no image, and other sizes.

    Args:
        image: any image that `xfm.base.images.prepare` accepts, of (side, side) pixels.
        hidden: patches that are covered, (P,) bool.
        agreement: cosine of MIM's prediction with its target, (P,).
        target: pixels as a target, an image of the same size.
        words: guesses for hidden word pieces, the "words" of `explain.masked_predictor`.
    """
    image, hidden = pixels(image), square_mask(hidden, "hidden")
    agreement = None if agreement is None else numbers(agreement, "agreement", hidden.shape)
    target = None if target is None else pixels(target, "target")
    side, size = _sizes(image, hidden, target)
    rows = [
        (clip(w["piece"], 14), [wrap(_guesses(w["piece"], w[given]), 0.4 * WIDTH) for given in ("with", "without")])
        for w in words
    ]
    lines = 1.5 + sum(1.4 + max(text.count("\n") for text in cells) for _, cells in rows)
    above, below = 2.9, 0.17 * lines
    figure = new_figure(WIDTH, above + below + 1.0, title, credit)
    grid = figure.add_gridspec(2, 3, height_ratios=[above, below])
    where = np.kron(hidden.reshape(size, size), np.ones((side // size,) * 2))[..., None] > 0
    grey = image.mean(-1, keepdims=True).repeat(3, -1).astype(np.uint8)
    known = np.zeros(len(hidden), bool) if agreement is None else hidden & np.isfinite(agreement)
    mean = ": not given" if agreement is None else f", mean {agreement[known].mean():.2f}" if known.any() else ""
    scaled = ": not given" if target is None else "\n(each patch at mean 0, deviation 1)"
    panels = {"as it is shown": image, f"MIM's cosine with its target{mean}": grey,
              f"the pixels as a target instead{scaled}": grey if target is None
              else np.where(where, target, grey)}  # fmt: skip
    axes = [figure.add_subplot(grid[0, i]) for i in range(3)]
    for picture, (name, ground) in zip(axes, panels.items(), strict=True):
        picture.imshow(ground, interpolation="none")
        picture.set_title(name, fontsize=SIZE)
        bare(picture)
    cover_patches(axes[0], side, hidden)
    if agreement is not None:
        _cosines(axes[1], side, known, agreement)
    _table(figure.add_subplot(grid[1, :]), rows, lines)
    return figure


def _sizes(image: np.ndarray, hidden: np.ndarray, target: np.ndarray | None) -> tuple[int, int]:
    """Pixels and patches a side. ConfigError where they do not fit each other."""
    side, size = len(image), math.isqrt(len(hidden))
    fits = f"(side, side, 3), {size} patches a side"
    require(image.shape == (side, side, 3) and side % size == 0, "image.shape", image.shape, fits)
    if target is not None:
        require(target.shape == image.shape, "target.shape", target.shape, str(image.shape))
    return side, size


def _cosines(axes: Axes, side: int, known: np.ndarray, values: np.ndarray) -> None:
    """Patches in the colour of their value, the more opaque the larger it is, with the number where it fits; a bar."""
    shares = np.clip(np.nan_to_num(values), 0, 1)
    colours = colormaps["cividis"](shares)
    colours[:, 3] = opacity(shares, 1)
    cover_patches(axes, side, known, list(colours))
    below = axes.inset_axes((0, -0.07, 1, 0.03))
    below.figure.colorbar(overlay_scale(False, 1.0), below, orientation="horizontal").ax.tick_params(labelsize=7)
    size = round(len(known) ** 0.5)
    for i in np.flatnonzero(known).tolist() if size <= _READABLE else ():
        x, y = (side / size * (place + 0.5) - 0.5 for place in (i % size, i // size))
        halo: dict[str, Any] = {"path_effects": [withStroke(linewidth=2, foreground="white")]}
        axes.text(x, y, f"{values[i]:.2f}", ha="center", va="center", fontsize=7, **halo)


def _table(axes: Axes, rows: Sequence[tuple[str, Sequence[str]]], lines: float) -> None:
    bare(axes)
    axes.set(xlim=(0, 1), ylim=(lines, 0))
    look: dict[str, Any] = {"va": "top", "fontsize": SIZE}
    for head, x in _COLUMNS.items() if rows else (("No word is hidden.", 0.0),):
        axes.text(x, 0, head, color=GREY, **look)
    y = 1.5
    for piece, cells in rows:
        axes.text(0, y, piece, color=BLUE, fontweight="bold", **look)
        for x, text in zip([*_COLUMNS.values()][1:], cells, strict=True):
            axes.text(x, y, text, **look)
        y += 1.4 + max(text.count("\n") for text in cells)


def _guesses(piece: str, side: Mapping[str, Any] | None) -> str:
    """The guesses with their probabilities, the right one marked, or said after them."""
    if side is None:
        return "not given"
    guesses = [f"{g}\u00a0{_number(p)}" + f"\u00a0{RIGHT}" * (g == piece) for g, p in side["guesses"]]
    within = piece in [g for g, _ in side["guesses"]]
    return ", ".join(guesses) + ("" if within else f" ({piece}\u00a0{_number(side['truth'])})")


def _number(x: float | None) -> str:
    return "–" if x is None else f"{x:.2f}" if x >= 0.01 else significant(x, 1) if x >= 1e-4 else "< 0.0001"
