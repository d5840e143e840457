"""The flow of tensors and gradients as a picture: where the paper's two techniques are."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..config import FlowConfig
from .style import BLUE, GREEN, GREY, ORANGE, WIDTH, Figure, styled

TALL = 3.7  # inches, as all coordinates here
FUSION_LOSSES = ("itm", "imlm", "bbp")
TARGETS = {
    "self": "its own unmasked outputs, detached",
    "frozen": "the outputs of a frozen copy",
    "pixels": "the pixels of the hidden patches",
    "teacher": "the outputs of a frozen teacher",
}


@styled
def flow(config: FlowConfig, title: str = "") -> Figure:
    """The encoders, the losses, and what flows back: everywhere the whole gradient, but for the shares of the crossings
    out of the language encoder that the config names."""
    figure = Figure(figsize=(WIDTH, TALL))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, TALL))
    axes.set_axis_off()
    box(axes, 1.9, 2.55, "vision encoder")
    box(axes, 1.9, 0.55, "language encoder")
    box(axes, 6.2, 1.55, "fusion encoder")
    for y, what in ((2.55, "pictures"), (0.55, "texts")):
        axes.text(0.12, y, what, va="center")
        arrow(axes, (0.75, y), (1.12, y))
    loss(axes, 4.0, 3.3, "MIM")
    loss(axes, 4.0, 0.2, "MLM")
    loss(axes, 3.3, 1.55, "ITC")
    for i, name in enumerate(FUSION_LOSSES):
        y = 2.05 - 0.5 * i
        loss(axes, 8.6, y, name.upper())
        arrow(axes, (7.0, 1.55), (8.2, y))
    arrow(axes, (2.7, 2.7), (3.6, 3.25))
    arrow(axes, (2.7, 0.45), (3.6, 0.22))
    arrow(axes, (2.4, 2.25), (3.05, 1.75))
    arrow(axes, (2.7, 2.5), (5.4, 1.75))
    guided = config.mim_target != "pixels"
    axes.text(4.42, 3.3, f"guidance: hidden patches predict\n{TARGETS[config.mim_target]}", va="center", fontsize=8.5,
              color=GREEN if guided else GREY)  # fmt: skip
    crossing(axes, (2.4, 0.85), (3.05, 1.35), {"itc": config.text_gradient.itc})
    crossing(axes, (2.7, 0.6), (5.4, 1.35), {o: getattr(config.text_gradient, o) for o in FUSION_LOSSES})
    axes.text(0.12, TALL - 0.12, title, fontsize=11.5, fontweight="bold", va="top")
    return figure


def box(axes: Axes, x: float, y: float, text: str) -> None:
    look = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": "#eef4f9", "edgecolor": BLUE, "linewidth": 1.4}
    axes.add_patch(FancyBboxPatch((x - 0.75, y - 0.3), 1.5, 0.6, **look))
    axes.text(x, y, text, ha="center", va="center")


def loss(axes: Axes, x: float, y: float, text: str) -> None:
    axes.text(x, y, text, ha="center", va="center", fontweight="bold",
              bbox={"boxstyle": "circle,pad=0.15" if False else "round,pad=0.3", "facecolor": "#f5f5f5", "edgecolor": "#888888"})  # fmt: skip


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = GREY, line: str = "-") -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=colour, linestyle=line, linewidth=1.3,
                                   shrinkA=0, shrinkB=0))  # fmt: skip


def crossing(axes: Axes, start: tuple[float, float], end: tuple[float, float], shares: dict[str, float]) -> None:
    """An arrow out of the language encoder, with the shares of the gradient that come back along it."""
    stopped = not any(shares.values())
    colour = ORANGE if stopped or min(shares.values()) < 1 else GREY
    arrow(axes, start, end, colour)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    if len(shares) == 1:
        return
    slope = (end[1] - start[1]) / (end[0] - start[0])
    for shift in (-0.04, 0.04) if colour == ORANGE else ():
        at = x + shift
        axes.plot([at + 0.12 * slope, at - 0.12 * slope], [y + shift * slope - 0.12, y + shift * slope + 0.12], color=ORANGE, linewidth=2.2)
    said = "stop-gradient" if stopped else "the whole gradient comes back" if colour == GREY else "a dose of the gradient comes back"
    numbers = ", ".join(f"{o.upper()} {share:g}" for o, share in shares.items())
    axes.text(x + 0.25, y - 0.12, f"{said}\n{numbers}", color=colour, va="top", fontsize=8.5)
