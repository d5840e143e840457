"""What explanations say: numbers over pictures and words, whether they can be trusted, and what interventions do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm

from ..config_utils import one_of
from ..data.synthetic.openmoji import CREDIT
from ..explain.scores import SCORES
from .colours import AXIS, BLUE, DARK, GREEN, GREY, ORANGE, PURPLE
from .style import WIDTH, Figure, require, styled

if TYPE_CHECKING:
    import pandas as pd

    from ..explain.attribution import Attribution
    from ..explain.faithfulness import Curve
    from ..explain.tracing import Trace

SIZE = 8.5  # points
COLUMNS = 4
BAR, GAP, TITLE, FOOT = 0.19, 0.42, 0.5, 0.2  # inches: a word's bar, between panels, above all, below all
SEQUENTIAL, DIVERGING = "viridis", "PuOr"
NAMES = {"language": "words to words, language encoder", "vision": "patches to patches, vision encoder",
         "fusion": "words to words, fusion encoder", "cross": "words to patches, fusion encoder"}  # fmt: skip


@styled
def attributions(
    image: np.ndarray, found: Sequence[Attribution], truth: np.ndarray | None = None, title: str = ""
) -> Figure:
    """A panel an attribution of one question: the picture (side, side, 3) under its patches' numbers, and a bar a word.

    Each panel has a scale of its own: methods' numbers have no common unit. Signed ones are shown around 0. `truth`
    (side, side) bool is outlined. Raises ValueError where there is none.
    """
    require(found, "attributions")
    columns = min(COLUMNS, len(found))
    rows = -(-len(found) // columns)
    words = list(found[0].by_word())
    side = (WIDTH - GAP) / COLUMNS - GAP
    below = BAR * len(words)
    tall = TITLE + rows * (side + below + 1.3 * GAP) + FOOT
    wide = max(columns * (side + GAP) + GAP, WIDTH * 0.6)
    figure = Figure(figsize=(wide, tall))
    heading(figure, title, wide, tall)
    for i, one in enumerate(found):
        left = GAP + (i % columns) * (side + GAP)
        top = TITLE + (i // columns) * (side + below + 1.3 * GAP)
        axes = figure.add_axes((left / wide, 1 - (top + side) / tall, side / wide, side / tall))
        overlaid(axes, image, one.image.numpy(), one.signed, truth)
        axes.set_title(one.method, fontsize=SIZE + 1, pad=3)
        bars = figure.add_axes((left / wide, 1 - (top + side + 0.06 + below) / tall, side / wide, below / tall))
        word_bars(bars, one)
    return figure


def heading(figure: Figure, title: str, wide: float, tall: float) -> None:
    figure.text(0.1 / wide, 1 - 0.08 / tall, title, fontsize=11.5, fontweight="bold", va="top")
    figure.text(1 - 0.1 / wide, 0.06 / tall, CREDIT, fontsize=7.5, color=GREY, ha="right")


def overlaid(axes: Axes, image: np.ndarray, values: np.ndarray, signed: bool, truth: np.ndarray | None = None) -> None:
    """The picture in grey below the numbers (side, side): what is near 0 lets it through."""
    grey = np.repeat(image.mean(-1, keepdims=True) / 255, 3, -1)
    colours, norm = scale(values, signed)
    strength = np.abs(values) / max(float(np.abs(values).max()), 1e-12)
    mixed = (0.25 + 0.6 * strength)[..., None]
    axes.imshow(mixed * colours(norm(values))[..., :3] + (1 - mixed) * grey, interpolation="none")
    if truth is not None:
        axes.contour(np.kron(truth, np.ones((4, 4))), [0.5], colors="white", linewidths=2.6, extent=extent(truth))
        axes.contour(np.kron(truth, np.ones((4, 4))), [0.5], colors=ORANGE, linewidths=1.3, extent=extent(truth))
    axes.set_axis_off()


def extent(truth: np.ndarray) -> tuple[float, float, float, float]:
    """Of the upsampled outline, in pixels."""
    height, width = truth.shape
    return (-0.5, width - 0.5, -0.5, height - 0.5)


def scale(values: np.ndarray, signed: bool) -> tuple[Colormap, Normalize]:
    """Around 0 for what is signed, from 0 otherwise."""
    most = max(float(np.abs(values).max()), 1e-12)
    if signed:
        return colormaps[DIVERGING], TwoSlopeNorm(0, -most, most)
    return colormaps[SEQUENTIAL], Normalize(0, most)


def word_bars(axes: Axes, one: Attribution) -> None:
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
    axes.set_axis_off()


@styled
def attention(trace: Trace, place: str = "cross", piece: int = 0, title: str = "") -> Figure:
    """A row a layer, a picture a head: what a word piece looks at ("cross"), or what the patches are looked at by all
    patches ("vision"). Each head has a scale of its own; below it stand its largest weight and its entropy.

    ConfigError for another place.
    """
    one_of("place", place, [name for name, own in trace.maps.items() if own.keys == "patches"])
    rows = trace.maps[place].weights  # (layer, head, query, key)
    chosen = rows[:, :, piece] if trace.maps[place].queries == "words" else rows[:, :, 1:].mean(2)
    layers, heads, _ = chosen.shape
    side = min((WIDTH - GAP) / heads - 0.15, 1.7)
    wide, tall = max(heads * (side + 0.15) + 0.5, 5.8), TITLE + layers * (side + 0.32) + FOOT
    figure = Figure(figsize=(wide, tall))
    asked = f"from {trace.words.pieces[piece]!r}" if trace.maps[place].queries == "words" else "from all patches"
    heading(figure, title or f"Attention, {NAMES[place]}, {asked}", wide, tall)
    for layer in range(layers):
        for head in range(heads):
            row = chosen[layer, head]
            left, top = 0.42 + head * (side + 0.15), TITLE + layer * (side + 0.32)
            axes = figure.add_axes((left / wide, 1 - (top + side) / tall, side / wide, side / tall))
            overlaid(axes, trace.image, trace.patches.pixels(row[1:]).numpy(), signed=False)
            bits = float((-(row * row.clamp_min(1e-12).log())).sum())
            figure.text(
                left / wide,
                1 - (top + side + 0.16) / tall,
                f"head {head}: most {float(row.max()):.2f}, {bits:.1f} nats",
                fontsize=7,
            )
        figure.text(
            0.12 / wide,
            1 - (TITLE + layer * (side + 0.32) + side / 2) / tall,
            f"layer {layer}",
            rotation=90,
            fontsize=SIZE,
            va="center",
        )
    return figure


@styled
def trust_curves(found: Mapping[str, Mapping[str, Curve]], unit: str = "score", title: str = "") -> Figure:
    """Insertion and deletion, of pictures and of texts: a line a method. `found`: method -> what
    `faithfulness.curves` gave."""
    require(found, "curves")
    figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
    panels = figure.subplots(2, 2)
    lines = [(colour, style) for style in ("-", "--", ":") for colour in (BLUE, ORANGE, GREEN, PURPLE, DARK)]
    for axes, name in zip(panels.flat, next(iter(found.values())), strict=True):
        for i, (method, curves) in enumerate(found.items()):
            curve = curves[name]
            colour, style = lines[i % len(lines)]
            axes.plot(curve.shares * 100, curve.scores, color=colour, linestyle=style, linewidth=1.7, label=method)
        better = "higher is better" if SCORES[name].higher_is_better else "lower is better"
        axes.set_title(f"{name} ({better})")
        what = "patches" if name.endswith("image") else "word pieces"
        axes.set_xlabel(f"{what} {'put in' if name.startswith('insertion') else 'taken away'} (%)")
        axes.set_ylabel(unit)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(found), 5))
    figure.suptitle(title or "What the target does as parts come and go", x=0.01, ha="left")
    return figure


@styled
def leaderboard(table: pd.DataFrame, scores: Sequence[str], title: str = "") -> Figure:
    """A panel a score, a row a method: means with 95 % intervals; dashed lines are the baselines' means.

    `table`: rows with method, score, mean, low, high, as `Leaderboard.table` has them.
    """
    require(table, "rows")
    methods = list(dict.fromkeys(table["method"]))
    columns = min(3, len(scores))
    rows = -(-len(scores) // columns)
    figure = Figure(figsize=(WIDTH, rows * (0.2 * len(methods) + 0.75) + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, score in zip(panels.flat, scores, strict=False):
        own = table[table["score"] == score].set_index("method")
        for y, method in enumerate(methods):
            if method not in own.index:
                continue
            row = own.loc[method]
            colour = GREY if method in ("random", "centre", "edges") else BLUE
            axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(row["mean"], y, "o", color=colour, markersize=5)
        for base, line in (("random", ":"), ("centre", "--")):
            if base in own.index:
                axes.axvline(own.loc[base, "mean"], color=AXIS, linestyle=line, linewidth=1)
        axes.set_yticks(range(len(methods)), methods, fontsize=SIZE)
        axes.set_ylim(len(methods) - 0.4, -0.6)
        axes.set_title(score)
        axes.set_xlabel(direction(score), fontsize=SIZE)
    for axes in panels.flat[len(scores) :]:
        axes.set_visible(False)
    figure.suptitle(title or "Explanations, scored", x=0.01, ha="left")
    return figure


def direction(score: str) -> str:
    """What to look for along a score's axis; rank correlations, gaps and times are no SCORES."""
    if score.startswith("weights drawn anew"):
        return "0: changes with the model's weights"
    return "right is better" if score in SCORES and SCORES[score].higher_is_better else "left is better"


@styled
def heads(frame: pd.DataFrame, title: str = "") -> Figure:
    """How important each head is by ablation, beside what attention says: a panel a kind of attention and a measure,
    layers x heads. `frame`: place, layer, head and a column a measure, as `head_importance` has them."""
    measures = [c for c in frame.columns if c not in ("place", "layer", "head")]
    places = list(dict.fromkeys(frame["place"]))
    figure = Figure(figsize=(WIDTH, 0.9 + 1.35 * len(measures)), layout="constrained")
    panels = figure.subplots(len(measures), len(places), squeeze=False)
    for line, measure in zip(panels, measures, strict=True):
        most = float(frame[measure].to_numpy().max())
        for axes, place in zip(line, places, strict=True):
            own = frame[frame["place"] == place].pivot(index="layer", columns="head", values=measure)
            axes.imshow(own, cmap=SEQUENTIAL, norm=Normalize(0, most), aspect="auto")
            for (y, x), value in np.ndenumerate(own.to_numpy()):
                axes.text(
                    x,
                    y,
                    f"{value:.2f}",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="black" if value > 0.6 * most else "white",
                )
            axes.grid(visible=False)
            axes.set_xticks(range(own.shape[1]))
            axes.set_yticks(range(own.shape[0]))
            axes.set_title(place if measure == measures[0] else "", fontsize=SIZE + 1)
            axes.set_xlabel("head" if measure == measures[-1] else "", fontsize=SIZE)
        line[0].set_ylabel(f"{measure}\nlayer", fontsize=SIZE)
    figure.suptitle(title or "Heads: what ablating them changes, and what attention says", x=0.01, ha="left")
    return figure


@styled
def bars(values: Mapping[str, float], unit: str, title: str = "", reference: Sequence[float] = ()) -> Figure:
    """A bar a name, in their order; dashed lines where something known lies, as at 0 and 1 for restored shares."""
    require(values, "values")
    figure = Figure(figsize=(WIDTH * 0.8, 0.75 + 0.23 * len(values)), layout="constrained")
    axes = figure.subplots()
    colours = [ORANGE if value < 0 else BLUE for value in values.values()]
    axes.barh(range(len(values)), list(values.values()), color=colours, height=0.7)
    for place in reference:
        axes.axvline(place, color=AXIS, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(values)), list(values), fontsize=SIZE)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(unit)
    figure.suptitle(title, x=0.01, ha="left")
    return figure
