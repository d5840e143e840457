"""One screen of HTML for an object that ends a notebook cell: heading, small pictures, tables. All text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from itertools import islice

import numpy as np
from PIL import Image

from .strings import printable

ROWS, CHARACTERS, SIDE = 10, 60, 168  # of a table, of a cell, and pixels of a picture, at most


def clipped(text: object, most: int = CHARACTERS) -> str:
    """One printable line of at most `most` characters, with … where it is cut."""
    line = printable(" ".join(str(text)[: 4 * most].split()))
    return line if len(line) <= most and len(str(text)) <= 4 * most else f"{line[: most - 1]}…"


def card(heading: str, *parts: str) -> str:
    """A heading above parts that stand side by side; `picture` and `table` make parts."""
    row = "".join(f"<div>{part}</div>" for part in parts)
    title = f"<div style='font-weight:bold'>{escape(clipped(heading, 160))}</div>"
    return f"<div>{title}<div style='display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start'>{row}</div></div>"


def picture(image: np.ndarray, caption: str = "") -> str:
    """An image (H, W, 3) uint8 as an inline PNG, with a caption below it."""
    drawn, buffer = Image.fromarray(image), BytesIO()
    drawn.thumbnail((2 * SIDE, 2 * SIDE))
    drawn.save(buffer, "PNG")
    style = f"width:{SIDE}px;max-height:{SIDE}px;object-fit:contain;image-rendering:pixelated"
    source = base64.b64encode(buffer.getvalue()).decode("ascii")
    below = f"<div style='max-width:{SIDE}px;font-size:smaller'>{escape(clipped(caption, 200))}</div>" * bool(caption)
    return f"<img style='{style}' alt='{escape(clipped(caption))}' src='data:image/png;base64,{source}'>{below}"


def curve(values: Sequence[float], caption: str) -> str:
    """A line through `values` over equal steps, from the least to the greatest, as an inline SVG."""
    heights = np.array([value for value in values if np.isfinite(value)], float)[:: max(1, len(values) // 400)]
    if len(heights) < 2:
        return escape(caption)
    low, high = heights.min(), max(heights.max(), heights.min() + 1e-12)
    x, y = np.linspace(2, 298, len(heights)), 78 - 76 * (heights - low) / (high - low)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    line = f"<polyline points='{points}' fill='none' stroke='currentColor' stroke-width='1.5'/>"
    return f"<svg width='300' height='80' role='img'>{line}</svg><div style='font-size:smaller'>{escape(caption)}</div>"


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """The first ROWS rows, and how many are left out."""
    rows = list(rows)
    lines = [_row(header, "th"), *(_row(row, "td") for row in islice(rows, ROWS))]
    if len(rows) > ROWS:
        lines.append(f"<tr><td colspan='{len(header)}'>… {len(rows) - ROWS:,} more</td></tr>")
    return f"<table>{''.join(lines)}</table>"


def _row(cells: Sequence[object], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(clipped(cell))}</{tag}>' for cell in cells)}</tr>"
