"""Differences so far from zero that a panel with room for them would show nothing of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from .palette import BLUE

__all__ = ["far", "mark_far"]

_FAR = 4  # times as far away as the others go: as widgets/xfm_widgets/static/far_spans.js


def far(spans: Mapping[str, tuple[float, float]]) -> set[str]:
    """Of named intervals (low, high) those that are far away: none, unless at least three, and two thirds, are near,
    and all others begin four times as far from zero as these end."""
    ends = {name: max(map(abs, span)) for name, span in spans.items()}
    begins = {name: max(0.0, low, -high) for name, (low, high) in spans.items()}
    names = sorted(spans, key=ends.__getitem__)
    for i in range(max(3, math.ceil(2 * len(names) / 3)), len(names)):
        end = ends[names[i - 1]]
        if end and all(begins[name] > _FAR * end for name in names[i:]):
            return {*names[i:]}
    return set()


def mark_far(axes: Axes, x: float, y: float, text: str, full: bool) -> None:
    """An arrow at the edge that x lies beyond, and in words what there is no room for."""
    edge = axes.get_xlim()[int(x > 0)]
    look: dict[str, Any] = {
        "color": BLUE,
        "mfc": BLUE if full else "white",
        "markersize": 6,
        "clip_on": False,
        "zorder": 4,
    }
    axes.plot(edge, y, ">" if x > 0 else "<", **look)
    axes.annotate(text, (edge, y), (-7 if x > 0 else 7, 0), textcoords="offset points", fontsize=8, va="center",
                  ha="right" if x > 0 else "left", zorder=4)  # fmt: skip
