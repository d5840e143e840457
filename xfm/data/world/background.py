"""The background of a scene: pastel, plain, graded or noisy, and the shapes that clutter it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

PASTEL = 60  # how far a channel of the background is below white at most ...
MIDDLE = 120  # ... and one of the shapes on it: darker ones would be taken for objects


def pastel_background(side: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side, 3) float32 in [0, 255]."""
    colour, other = 255 - rng.random((2, 3), np.float32) * PASTEL
    canvas = np.empty((side, side, 3), np.float32)
    canvas[:] = colour
    kind = int(rng.random() * 3)
    if kind == 1:
        ramp = np.linspace(0, 1, side, dtype=np.float32)[:, None]
        canvas += (ramp * (other - colour))[:, None] if rng.random() < 0.5 else ramp * (other - colour)
    elif kind == 2:
        canvas -= rng.random((side, side, 1), np.float32) * 16
    return canvas


def add_clutter(canvas: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """The canvas (side, side, 3) with 0 to `most` lines, discs and rectangles on it, each number equally often."""
    side = len(canvas)
    count = int(rng.random() * (most + 1))
    picture = Image.fromarray((canvas + 0.5).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    numbers, tones = rng.random((count, 5)).tolist(), (255 - rng.random((count, 3)) * MIDDLE).astype(int).tolist()
    for (kind, x, y, width, height), tone in zip(numbers, tones, strict=True):
        x, y, width, height, tone = x * side, y * side, width - 0.5, height - 0.5, tuple(tone)
        if kind < 1 / 3:
            end = (x + 1.2 * width * side, y + 1.2 * height * side)
            pen.line(((x, y), end), fill=tone, width=max(1, round(side / 48)))
        elif kind < 2 / 3:
            radius = (0.03 + 0.12 * abs(width)) * side
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tone)
        else:
            w, h = (0.03 + 0.25 * abs(width)) * side, (0.03 + 0.25 * abs(height)) * side
            pen.rectangle((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=tone)
    return np.asarray(picture, np.float32)
