"""The palette of figures, reports and views: a colour's CSS name with its value on a light and on a dark page."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

# Okabe and Ito's colours, which colour-blind readers can tell apart, darkened to be legible as text.
PALETTE = {
    "ink": ("#000000", "#e8e6e1"),
    "paper": ("#ffffff", "#15181c"),
    "text": ("#1b1b1b", "#dedbd5"),
    "blue": ("#0072b2", "#5fb4e8"),
    "orange": ("#c25400", "#f0914d"),
    "green": ("#007f5c", "#3fc59b"),
    "purple": ("#a3428b", "#db8fc8"),
    "gold": ("#ad8f00", "#f0e442"),  # of lines and marks, too pale for text
    "grey": ("#5f5f5f", "#a3a29d"),  # text; the other greys from dark to light
    "dark": ("#555555", "#b5b4af"),
    "axis": ("#888888", "#83838a"),
    "light": ("#c4c4c4", "#55585e"),
    "grid": ("#e4e4e4", "#30343a"),
    "shade": ("#f1f1f1", "#22262b"),
    "tint": ("#eef4f9", "#1d2733"),
}
# Numbers around 0: positive is blue, negative orange, in figures and in views.
BLUE, ORANGE, GREEN, PURPLE, GOLD, INK, GREY, DARK, AXIS, LIGHT, GRID, SHADE, TINT = (
    PALETTE[name][0] for name in "blue orange green purple gold text grey dark axis light grid shade tint".split()
)
# Of signed numbers: orange below zero, blue above it, as bars and words are; the views' colour.js has the same.
DIVERGING = LinearSegmentedColormap.from_list(
    "xfm_diverging",
    ["#963700", "#d7641e", "#f0a569", "#fadcc3", "#f6f6f6", "#cde1ed", "#82b4d7", "#327db4", "#054682"],
)
STRONGEST = 0.75  # opacity of the largest weight over a picture, in figures and, at first, in views


def opacity(weights: np.ndarray, most: float, strength: float = STRONGEST) -> np.ndarray:
    """Opacity of weights over a picture, any shape: 0 where a weight is 0 or not finite, `strength` where it is `most`
    or more, in between in proportion, whatever the sign; the views' overlay.js has the same."""
    shares = np.abs(np.where(np.isfinite(weights), weights, 0)) / (most if most > 0 else np.inf)
    return strength * np.minimum(shares, 1)
