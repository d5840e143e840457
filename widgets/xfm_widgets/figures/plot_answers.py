"""One test example of a task with what models answer, and how far their confidence can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from xfm.base.fields import require
from xfm.base.images import ImageLike, pixels
from xfm.plots import Figure
from xfm.plots.example_pictures import RIGHT, WRONG
from xfm.plots.palette import BLUE, GREEN, GREY, ORANGE, PURPLE
from xfm.plots.style import SIZE, WIDTH, bare, new_figure, styled, wrap

COLOURS = (BLUE, ORANGE, PURPLE, GREY)  # of the models
SHORT = 24  # characters of names that stand side by side
Box = Sequence[float]  # cx, cy, width, height as shares of the picture


class Said(NamedTuple):
    """What a model answers to the example."""

    model: str
    answer: str
    right: bool
    confidence: float | None = None
    box: Box | None = None


@styled
def plot_answers(
    title: str,
    texts: Sequence[str],
    truth: Said,
    said: Sequence[Said],
    images: Sequence[ImageLike] = (),
    reliability: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    credit: str = "",
) -> Figure:
    """Draws one test example with the models' answers, and how far their confidence can be trusted.

    Args:
        texts: what is asked.
        truth, said: the right answer and the models', with their boxes.
        images: any images that `xfm.base.images.prepare` accepts.
        reliability: by model, the accuracy (`right`, None: no answer) of the `n` answers with a confidence of `low` to
            `high`.

    Raises:
        ConfigError: for what is no image, and for more models than there are colours.
    """
    require(0 < len(said) <= len(COLOURS), "said", len(said), f"1 to {len(COLOURS)} models")
    figure = new_figure(WIDTH, 4.4 if len(images) else 3.4, title, credit)
    left, right = figure.subfigures(1, 2, width_ratios=[5.3, 4])  # type: ignore[misc]
    below = left
    if len(images):
        above, below = left.subfigures(2, 1, height_ratios=[1.25, 1])  # type: ignore[misc]
        for axes, image in zip(np.ravel(above.subplots(1, len(images))), images, strict=True):
            _picture(axes, pixels(image), truth.box, said)
    _lines(below.subplots(), texts, truth.answer, said)
    _reliability(right.subplots(), reliability or {})
    return figure


def _picture(axes: Axes, image: np.ndarray, box: Box | None, said: Sequence[Said]) -> None:
    axes.imshow(image, interpolation="none")
    bare(axes)
    height, width = image.shape[:2]
    given = [(box, GREEN, "-"), *((one.box, colour, "--") for one, colour in zip(said, COLOURS, strict=False))]
    drawn = [(shares, colour, line) for shares, colour, line in given if shares is not None]
    ground = [(shares, "white", "-") for shares, *_ in drawn]  # below all lines: visible on any picture
    for (cx, cy, w, h), colour, line in ground + drawn:
        if np.isfinite([cx, cy, w, h]).all():
            look: dict[str, Any] = {"edgecolor": colour, "linestyle": line, "linewidth": 4 if colour == "white" else 2}
            corner = ((cx - w / 2) * width - 0.5, (cy - h / 2) * height - 0.5)
            axes.add_patch(Rectangle(corner, w * width, h * height, fill=False, clip_on=True, **look))


def _lines(axes: Axes, texts: Sequence[str], truth: str, said: Sequence[Said]) -> None:
    bare(axes)
    lines = [(" / ".join(texts), 220, {"weight": "bold"}), (f"truth: {truth}", 70, {"color": GREEN})]
    for one, colour in zip(said, COLOURS, strict=False):
        sure = "" if one.confidence is None else f", {100 * one.confidence:.0f} %"
        mark = RIGHT if one.right else WRONG
        lines.append((f"{mark} {one.model[:30]}: {one.answer[:40]}{sure}", 80, {"color": colour}))
    look, down = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "in_layout": False}, 4
    for text, most, colour in lines:
        axes.annotate(broken := wrap(text, 5.0, most=most), (0, 1), (0, -down), fontsize=SIZE, **look, **colour)
        down += 7 + 12 * (broken.count("\n") + 1)


def _reliability(axes: Axes, reliability: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    known = {name: rows for name, rows in reliability.items() if rows}
    if not known:
        bare(axes)
        axes.text(0.5, 0.5, "These answers have no confidence.", ha="center", transform=axes.transAxes, fontsize=SIZE)
        return
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle=":", label="as right as sure")
    for (name, rows), colour in zip(reliability.items(), COLOURS, strict=False):
        points = [(50 * (r["low"] + r["high"]), r["right"], r["n"]) for r in rows if r["right"] is not None]
        if points:
            x, y, counts = zip(*points, strict=True)
            axes.plot(x, [100 * share for share in y], marker="o", color=colour, label=name[:30], clip_on=False)
            axes.vlines(x, *_wilson(y, counts), color=colour, alpha=0.5, linewidth=3)
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence, %", ylabel="right, %")
    axes.tick_params(labelsize=7)
    axes.set_title("All test items, by confidence; 95 % intervals", fontsize=SIZE, fontweight="normal")
    longest = max((len(text) for text in axes.get_legend_handles_labels()[1]), default=0)
    axes.figure.legend(loc="outside lower center", ncols=2 if longest < SHORT else 1, fontsize=SIZE)


def _wilson(shares: Sequence[float], counts: Sequence[int]) -> tuple[list[float], list[float]]:
    """The lower and the upper ends, in per cent, of the 95 % intervals of shares of so many."""
    from scipy.stats import binomtest

    tests = [binomtest(round(share * n), n) for share, n in zip(shares, counts, strict=True)]
    found = [test.proportion_ci(0.95, "wilson") for test in tests]
    return [100 * interval.low for interval in found], [100 * interval.high for interval in found]
