"""The flow of tensors and gradients as a picture: where the paper's two techniques are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..config import FlowConfig
from .colours import AXIS, BLUE, GREEN, GREY, ORANGE, SHADE, TINT
from .style import WIDTH, Figure, styled

TALL = 3.7  # inches, as all coordinates here
VISION, LANGUAGE, FUSION = (1.9, 2.5), (1.9, 0.6), (6.0, 1.55)
FUSION_LOSSES = {"itm": 2.2, "imlm": 1.55, "bbp": 0.9}  # their heights
TARGETS = {
    "self": "its own outputs for the whole picture,\nwhich all the other losses shape",
    "frozen": "the outputs of a frozen copy",
    "pixels": "their pixels",
    "teacher": "the outputs of a frozen teacher",
}
Point = tuple[float, float]
NUMBERS: dict[str, dict[Point, tuple[str, ...]]] = {  # where an encoder's measured gradients are said, by objective
    "vision": {(2.5, 3.05): ("mim",), (1.95, 1.95): ("itc",), (3.4, 2.42): tuple(FUSION_LOSSES)},
    "language": {(2.9, 0.16): ("mlm",), (1.8, 1.1): ("itc",), (3.3, 1.33): tuple(FUSION_LOSSES)},
    "fusion": {(7.0, 2.15): ("itm",), (7.25, 1.67): ("imlm",), (7.0, 0.95): ("bbp",)},
}


@styled
def flow_diagram(
    config: FlowConfig, title: str = "", norms: Mapping[str, Mapping[str, float | None]] | None = None
) -> Figure:
    """Encoders and losses. The arrows go forward; the gradient comes back along them, and out of the crossings from the
    language encoder in the shares that the config names.

    `norms[objective][encoder]`: measured gradient norms ("language", "vision", "fusion"; None: no path), said in place.
    """
    figure = Figure(figsize=(WIDTH, TALL))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, TALL))
    axes.set_axis_off()
    for (x, y), name in ((VISION, "vision encoder"), (LANGUAGE, "language encoder"), (FUSION, "fusion encoder")):
        look: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": TINT, "edgecolor": BLUE}
        axes.add_patch(FancyBboxPatch((x - 0.75, y - 0.3), 1.5, 0.6, linewidth=1.4, **look))
        axes.text(x, y, name, ha="center", va="center")
    for (_, y), name in ((VISION, "pictures"), (LANGUAGE, "texts")):
        axes.text(0.12, y, name, va="center")
        arrow(axes, (0.75, y), (1.12, y))
    arrow(axes, (2.68, 2.68), (3.72, 3.2))
    loss(axes, (4.0, 3.3), "MIM")
    if config.mim_target == "self":
        arrow(axes, (2.68, 2.52), (3.9, 3.12), GREEN, "--")
    guidance = f"guidance: hidden patches predict\n{TARGETS[config.mim_target]}"
    axes.text(4.4, 3.44, guidance, va="top", fontsize=8.5, color=GREEN)
    arrow(axes, (2.68, 0.48), (3.7, 0.28))
    loss(axes, (4.0, 0.24), "MLM")
    arrow(axes, (2.3, 2.18), (2.98, 1.72))
    loss(axes, (3.2, 1.55), "ITC")
    arrow(axes, (2.68, 2.36), (5.2, 1.75))
    for name, y in FUSION_LOSSES.items():
        loss(axes, (8.3, y), name.upper())
        arrow(axes, (6.78, 1.55), (7.92, y))
    crossing(axes, (2.3, 0.92), (2.98, 1.38), {"itc": config.text_gradient.itc}, (-0.14, -0.02))
    shares = {name: getattr(config.text_gradient, name) for name in FUSION_LOSSES}
    crossing(axes, (2.68, 0.72), (5.2, 1.36), shares, (0.22, -0.12))
    for encoder, places in NUMBERS.items():
        for at, objectives in places.items():
            found = {o: own[encoder] for o in objectives if (own := (norms or {}).get(o)) and own[encoder] is not None}
            said = "\n".join(f"{o.upper()} {norm:.3g}" for o, norm in found.items())
            axes.text(*at, said, fontsize=8, color=BLUE, va="center", linespacing=1.05)
    axes.text(0.12, TALL - 0.12, title, fontsize=11.5, fontweight="bold", va="top")
    return figure


def loss(axes: Axes, at: Point, text: str) -> None:
    look: dict[str, Any] = {"boxstyle": "round,pad=0.3", "facecolor": SHADE, "edgecolor": AXIS}
    axes.text(*at, text, ha="center", va="center", fontweight="bold", bbox=look)


def arrow(axes: Axes, start: Point, end: Point, colour: str = GREY, line: str = "-") -> None:
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 11, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, color=colour, linestyle=line, **look))


def crossing(axes: Axes, start: Point, end: Point, shares: Mapping[str, float], beside: Point) -> None:
    """An arrow out of the language encoder: barred where a gradient is stopped, with the shares that come back; without
    a word where it is whole, for one loss alone."""
    stopped, whole = not any(shares.values()), all(share == 1 for share in shares.values())
    colour = GREY if whole else ORANGE
    arrow(axes, start, end, colour)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    slope = (end[1] - start[1]) / (end[0] - start[0])
    for shift in (-0.04, 0.04) if stopped else ():
        bar = [x + shift + 0.12 * slope, x + shift - 0.12 * slope], [y + shift * slope - 0.12, y + shift * slope + 0.12]
        axes.plot(*bar, color=ORANGE, linewidth=2.2)
    if whole and len(shares) == 1:
        return
    said = "stop-gradient" if stopped else "the gradient comes back" if whole else "a dose of the gradient comes back"
    numbers = ", ".join(f"{name.upper()} {share:g}" for name, share in shares.items())
    side = "left" if beside[0] > 0 else "right"
    axes.text(x + beside[0], y + beside[1], f"{said}\n{numbers}", color=colour, va="top", ha=side, fontsize=8.5)
