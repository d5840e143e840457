"""The flow of tensors and gradients as a picture: where the paper's two techniques are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, HPacker, TextArea
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from xfm.config import FlowConfig
from xfm.objectives import OBJECTIVES
from xfm.plots import Figure
from xfm.plots.palette import BLUE, GOLD, GREEN, GREY, INK, ORANGE, PURPLE, SHADE, TINT
from xfm.plots.style import WIDTH, styled, wrap

_TALL = 3.85  # inches, as all coordinates here
_ENCODERS = {"vision": (1.9, 2.5), "language": (1.9, 0.6), "fusion": (6.0, 1.55)}
_TARGETS = {"self": "its own outputs for the whole picture,\nwhich all the other losses shape",
            "frozen": "the outputs of a frozen copy", "pixels": "their pixels",
            "teacher": "the outputs of a frozen teacher", "ema": "the outputs of its moving average",
            "data2vec": "the top layers of its moving average",
            "ibot": "the prototypes of its moving average"}  # fmt: skip
_INKS = (BLUE, GREEN, PURPLE, ORANGE, GOLD, INK)  # of the losses in their order, as in the view; and their marks
_MARKS = "●■▲◆▼✚"
_VALVE = 0.11  # its radius
_Point = tuple[float, float]
_NORMS: dict[tuple[str, str], _Point] = {  # where an encoder's gradient norms are printed, by the losses' place
    ("vision", "vision"): (2.5, 3.05), ("vision", "features"): (1.95, 1.95), ("vision", "fused"): (3.4, 2.42),
    ("language", "language"): (2.9, 0.16), ("language", "features"): (1.75, 1.33), ("language", "fused"): (3.66, 1.4),
}  # fmt: skip
_CROSSINGS: dict[str, tuple[_Point, _Point, _Point]] = {  # out of the language encoder: start, end, words beside it
    "features": ((2.3, 0.92), (2.98, 1.38), (-0.14, -0.02)), "fused": ((2.68, 0.72), (5.2, 1.36), (0.22, -0.12)),
}  # fmt: skip


@styled
def flow_diagram(
    config: FlowConfig,
    title: str = "",
    norms: Mapping[str, Mapping[str, float | None]] | None = None,
    held_back: Mapping[str, float] | None = None,
) -> Figure:
    """Draws encoders and losses: arrows forward, the gradient back along them, and the gradient scale of each crossing.

    Args:
        norms: measured gradient norms by objective and encoder ("language", "vision", "fusion"; None: no path).
        held_back: by objective, the norm that its gradient scale keeps from the language encoder.
    """
    figure = Figure(figsize=(WIDTH, _TALL))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, _TALL))
    axes.set_axis_off()
    axes.text(0.12, _TALL - 0.12, wrap(title, WIDTH - 0.3, 12), fontsize=11.5, fontweight="bold", va="top")
    for encoder, (x, y) in _ENCODERS.items():
        look: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": TINT, "edgecolor": BLUE}
        axes.add_patch(FancyBboxPatch((x - 0.75, y - 0.3), 1.5, 0.6, linewidth=1.4, **look))
        axes.text(x, y, f"{encoder} encoder", ha="center", va="center")
    for name, y in (("pictures", 2.5), ("texts", 0.6)):
        axes.text(0.12, y, name, va="center")
        _arrow(axes, (0.75, y), (1.12, y))
    _arrow(axes, (2.68, 2.36), (5.2, 1.75))
    places = {
        place: [o for o in OBJECTIVES if _place(o) == place] for place in ("vision", "language", "features", "fused")
    }
    for i, name in enumerate(places["vision"]):
        _loss(axes, (4.0, 3.3 - 0.33 * i), name, (2.68, 2.68))
    for i, name in enumerate(places["language"]):
        _loss(axes, (4.0, 0.24 + 0.33 * i), name, (2.68, 0.48))
    for i, name in enumerate(places["features"]):
        _loss(axes, (3.2 + 0.7 * i, 1.55), name, (2.3, 2.18))
    heights = np.linspace(2.2, 0.9, len(places["fused"])) if len(places["fused"]) > 1 else [1.55]
    for name, y in zip(places["fused"], heights, strict=False):
        _loss(axes, (8.3, float(y)), name, (6.78, 1.55))
        _print_norms(axes, (7.1, (1.55 + float(y)) / 2 + 0.14), norms, "fusion", [name])
    if config.mim_target == "self":
        _arrow(axes, (2.68, 2.52), (3.9, 3.12), GREEN, "--")
    called = "guidance" if config.mim_target == "self" else "in place of guidance"
    guidance = f"{called}: hidden patches predict\n{_TARGETS[config.mim_target]}"
    axes.text(4.4, 3.44, guidance, va="top", fontsize=8.5, color=GREEN)
    scales = {o: config.text_gradient.get(o, OBJECTIVES[o].text_gradient) for o in OBJECTIVES}
    held = {o: norm for o, norm in (held_back or {}).items() if norm}
    for place, (start, end, offset) in _CROSSINGS.items():
        own = places[place]
        _crossing(axes, start, end, {o: scales[o] for o in own}, offset, {o: held[o] for o in own if o in held})
    for (encoder, place), at in _NORMS.items():
        _print_norms(axes, at, norms, encoder, places[place])
    return figure


def _place(objective: str) -> str:
    reads = OBJECTIVES[objective].reads
    for tensor in ("fused", "features"):
        if tensor in reads:
            return tensor
    return "vision" if {"image", "masked_image"} & {*reads} else "language"


def _loss(axes: Axes, at: _Point, name: str, start: _Point) -> None:
    dx, dy = at[0] - start[0], at[1] - start[1]
    near = min(0.36 / abs(dx), 0.2 / abs(dy) if dy else 1)  # the arrow ends at the box's edge
    _arrow(axes, start, (at[0] - near * dx, at[1] - near * dy))
    i = [*OBJECTIVES].index(name) % len(_INKS)
    mark = TextArea(_MARKS[i], textprops={"color": _INKS[i]})
    words = TextArea(name.upper(), textprops={"fontweight": "bold"})
    look: dict[str, Any] = {"boxstyle": "round,pad=0.3", "facecolor": SHADE, "edgecolor": _INKS[i], "linewidth": 2}
    axes.add_artist(AnnotationBbox(HPacker(children=[mark, words], pad=0, sep=3), at, bboxprops=look, pad=0))


def _arrow(axes: Axes, start: _Point, end: _Point, colour: str = GREY, line: str = "-") -> None:
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 11, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, color=colour, linestyle=line, **look))


def _print_norms(axes: Axes, at: _Point, norms: Any, encoder: str, objectives: Sequence[str]) -> None:
    known = {o: norms[o][encoder] for o in objectives if o in (norms or {}) and norms[o].get(encoder) is not None}
    text = "\n".join(f"{o.upper()} {norm:.3g}" for o, norm in known.items())
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.6} if text else None  # over an arrow, perhaps
    axes.text(*at, text, fontsize=8, color=BLUE, va="center", linespacing=1.05, bbox=ground, zorder=3)


def _crossing(
    axes: Axes, start: _Point, end: _Point, scales: Mapping[str, float], offset: _Point, held: Mapping[str, float]
) -> None:
    """An arrow out of the language encoder with a valve: across it where the gradient is stopped, along it where it
    passes, with scales and what they hold back; none where one loss's gradient passes unscaled."""
    stopped, unscaled = not any(scales.values()), all(scale == 1 for scale in scales.values())
    colour = GREY if unscaled else ORANGE
    _arrow(axes, start, end, colour)
    if unscaled and len(scales) == 1:
        return
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    open_ = sum(min(max(scale, 0), 1) for scale in scales.values()) / len(scales)
    turned = math.atan2(end[1] - start[1], end[0] - start[0]) + (1 - open_) * math.pi / 2
    dx, dy = _VALVE * math.cos(turned), _VALVE * math.sin(turned)
    axes.add_patch(Circle((x, y), _VALVE, facecolor="white", edgecolor=colour, linewidth=1.8, zorder=2.5))
    axes.plot([x - dx, x + dx], [y - dy, y + dy], color=colour, linewidth=3, zorder=2.6, solid_capstyle="butt")
    label = "stop-gradient" if stopped else "no stop-gradient" if unscaled else "gradient scale"
    said = [label, ", ".join(f"{name.upper()} × {scale:g}" for name, scale in scales.items())]
    said += ["held back: " + ", ".join(f"{name.upper()} {norm:.3g}" for name, norm in held.items())] if held else []
    side = "left" if offset[0] > 0 else "right"
    axes.text(x + offset[0], y + offset[1], "\n".join(said), color=colour, va="top", ha=side, fontsize=8.5)
