"""Attributions and attention over pictures and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize, TwoSlopeNorm
from matplotlib.patches import Patch

from ..base.fields import one_of
from ..base.images import ImageLike, pixels, prepare
from ..base.numbers import significant
from ..base.strings import shown
from ..explain.head_stats import entropy
from .arrays import finite, numbers
from .labels import clip
from .palette import AXIS, BLUE, DARK, DIVERGING, GREY, INK, ORANGE, opacity
from .style import COLUMN, SIZE, WIDTH, Card, Figure, Line, bare, key, new_figure, require, sheet, styled, wrap

if TYPE_CHECKING:
    from ..explain.attribution import Attribution
    from ..explain.tracing import Trace

_BAR = 0.19  # inches: a word's bar
_LIGHT_PART = 0.93  # grey of a scene's ground
_MAPS = {"vision": "patches to patches, vision encoder", "cross": "words to patches, fusion encoder"}


@styled
def attributions(
    image: ImageLike,
    attributions: Sequence[Attribution],
    truth: np.ndarray | Sequence[np.ndarray | None] | None = None,
    title: str = "",
    credit: str = "",
    notes: Sequence[str] = (),
) -> Figure:
    """Draws one panel per attribution of one input: a picture under its patches' numbers, and a bar per word.

    Each has a scale of its own, up to the numbers below it: methods' numbers have no common unit.

    Args:
        image: any image that `xfm.base.images.prepare` accepts, else ConfigError; prepared as the model saw it.
        truth: (side, side) bool, outlined; in a list one per panel.
        notes: what stands below each panel.
    """
    require(attributions, "attributions")
    picture_below = prepare(image, len(attributions[0].image))
    columns = min(4, len(attributions))
    rows, bars = -(-len(attributions) // columns), _BAR * len(attributions[0].by_word())
    beside = zip(attributions, notes or [""] * len(attributions), strict=True)
    lines = [[_scales(one), *note.split("\n")] for one, note in beside]
    below = ["\n".join(wrap(line, COLUMN - 0.1, SIZE - 1, "  ") for line in texts if line) for texts in lines]
    room = 0.14 * max((1 + note.count("\n") for note in below), default=0)
    titles = [wrap(one.method, COLUMN - 0.3, SIZE + 1, most=40) for one in attributions]
    above = 0.17 * max(name.count("\n") for name in titles)
    width, height = columns * COLUMN + 0.2, rows * (COLUMN + bars + room + above + 0.15) + 0.9
    credit = wrap(credit, width - 0.2, 7.5, most=2000)
    figure = new_figure(width, height + 0.13 * credit.count("\n"), title)
    panels = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[COLUMN - 0.2, bars + 0.01] * rows)
    for axes in panels.flat:
        axes.set_axis_off()
    pairs = zip(panels[::2].flat, panels[1::2].flat, strict=True)
    truths = truth if isinstance(truth, Sequence) else [truth] * len(attributions)
    contents = [*zip(attributions, titles, below, truths, strict=True)]
    for (picture, words), (one, name, note, outlined) in zip(pairs, contents, strict=False):
        overlay(picture, picture_below, one.image.numpy(), one.signed, outlined)
        picture.set_title(name, fontsize=SIZE + 1)
        _word_bars(words, one)
        look: dict[str, Any] = {"va": "top", "fontsize": SIZE - 1, "color": DARK}
        words.annotate(note, (0, 0), (0, -3), "axes fraction", "offset points", **look)
    handles = _colours(attributions, any(mask is not None and np.any(mask) for mask in truths))
    credited: dict[str, Any] = {"title": credit, "title_fontsize": 7.5}
    legend = figure.legend(handles=handles, loc="outside lower left", ncols=max(1, 2 * columns - 1), **credited)
    legend.set_alignment("left")  # the credit is the legend's title: a figure's own would lie across it
    legend.get_title().set(color=GREY, fontweight="normal")
    return figure


def _colours(attributions: Sequence[Attribution], outlined: bool) -> list[Artist]:
    """Legend of the panels' colours."""
    handles: list[Artist] = []
    if any(one.signed for one in attributions):
        handles += [Patch(color=BLUE, label="speaks for it"), Patch(color=ORANGE, label="against it")]
    if not all(one.signed for one in attributions):
        handles.append(Patch(color=colormaps["cividis"](1.0), label="much (no sign)"))
    return [*handles, *[key("the object", color=INK, linewidth=1.3, marker="")] * outlined]


@styled
def patch_maps(
    image: ImageLike,
    maps: Mapping[str, Any],
    title: str = "",
    columns: int = 4,
    signed: bool = False,
    shared: bool = False,
    credit: str = "",
) -> Figure:
    """Draws one panel per map over a picture, with its largest number below it.

    Args:
        image: any image of (H, W) pixels that `xfm.base.images.prepare` accepts.
        maps: numbers (H, W) by name.
        signed: whether numbers are shown around 0.
        shared: one scale for all maps, up to the largest number; else each has a scale of its own.

    Raises:
        ConfigError: for what is no image, and for maps of another size.
    """
    require(maps, "maps")
    picture, cards = pixels(image), []
    tables = {name: numbers(values, f"maps[{shown(name)}]", picture.shape[:2]) for name, values in maps.items()}
    most = max((float(np.abs(finite(table)).max()) for table in tables.values()), default=0.0) if shared else None
    for name, table in tables.items():
        draw = partial(overlay, image=picture, values=table, signed=signed, most=most)
        cards.append(Card(draw, [Line(str(name)), Line(_most(table, signed), GREY)]))
    return sheet(cards, columns, title, credit)


def _scales(one: Attribution) -> str:
    """Numbers of the fullest colour and of the longest bar."""
    sides = {"patches": one.patches.numpy(), "words": np.array([*one.by_word().values()])}
    most = [f"{_most(of, one.signed).removeprefix('most ')} ({name})" for name, of in sides.items() if finite(of).any()]
    return f"most {', '.join(most)}" * bool(most)


def _most(values: np.ndarray, signed: bool) -> str:
    """The number that has the fullest colour."""
    flat = finite(values).ravel()
    most = float(flat[np.abs(flat).argmax()])
    return f"most {'+' * (signed and most >= 0)}{significant(most, 2)}"


def overlay(
    axes: Axes, image: np.ndarray, values: Any, signed: bool, truth: Any = None, most: float | None = None
) -> None:
    """The picture (H, W, 3) uint8 in grey below the numbers (H, W): what is near 0, or not finite, lets it through.
    `most` has the fullest colour; None: the largest number. ConfigError for numbers of another size."""
    grey = np.repeat(image.mean(-1, keepdims=True) / 255, 3, -1)
    values = finite(numbers(values, "values", image.shape[:2]))
    fullest = float(np.abs(values).max()) if most is None else most
    axes.imshow(_over(values, signed, fullest, grey), interpolation="none")
    bare(axes)
    if truth is not None:
        height, width = image.shape[:2]
        extent = (-0.5, width - 0.5, -0.5, height - 0.5)
        mask = np.kron(numbers(truth, "truth", (height, width)), np.ones((4, 4)))
        for colour, line in (("white", 2.8), (INK, 1.3)):  # no colour that numbers have
            axes.contour(mask, [0.5], colors=colour, linewidths=line, extent=extent)


def overlay_scale(signed: bool, most: float) -> ScalarMappable:
    """What a colour bar of `overlay` shows: the colours as they are seen over a light part of the picture."""
    norm = _scale(signed, most)[1]
    seen = _over(np.linspace(norm.vmin or 0.0, norm.vmax or 1.0, 256), signed, most, np.full(3, _LIGHT_PART))
    return ScalarMappable(norm, ListedColormap(seen))


def _over(values: np.ndarray, signed: bool, most: float, ground: np.ndarray) -> np.ndarray:
    """(..., 3): the numbers' colours over a ground in [0, 1], the more opaque the larger they are."""
    (colours, norm), cover = _scale(signed, most), opacity(values, most)[..., None]
    return cover * colours(norm(values))[..., :3] + (1 - cover) * ground


def _scale(signed: bool, most: float) -> tuple[Colormap, Normalize]:
    """Around 0 where numbers have a sign, from 0 otherwise."""
    most = max(most, 1e-12)
    return (DIVERGING, TwoSlopeNorm(0, -most, most)) if signed else (colormaps["cividis"], Normalize(0, most))


def _word_bars(axes: Axes, one: Attribution) -> None:
    """The words in a column of their own, left of the bars."""
    words = one.by_word()
    values = finite(np.array(list(words.values())))
    most = max(float(np.abs(values).max()), 1e-12) if len(values) else 1.0
    lowest = -1.0 if one.signed else 0.0
    edge = lowest - 0.55 * (1 - lowest)  # a third of the width is the words'
    colours = [ORANGE if v < 0 else BLUE for v in values] if one.signed else colormaps["cividis"](values / most)
    axes.barh(range(len(words)), values / most, color=colours, height=0.7)
    for y, word in enumerate(words):
        axes.text(edge, y, clip(word, 11), va="center", fontsize=SIZE - 1)
    axes.axvline(0, color=AXIS, linewidth=0.8)
    axes.set_xlim(edge, 1.0)
    axes.set_ylim(len(words) - 0.4, -0.6)


@styled
def attention(trace: Trace, map: str = "cross", piece: int = 0, title: str = "", credit: str = "") -> Figure:
    """Draws one row per layer, one picture per head, each on its own scale, with its largest weight and its entropy.

    Args:
        map: "cross": what a word piece attends to; "vision": how much all patches attend to each (mean of the rows).
        piece: number of the word piece.

    Raises:
        ConfigError: for another map.
    """
    one_of("map", map, [name for name, one in trace.maps.items() if one.keys == "patches"])
    weights, by_words = trace.maps[map].weights, trace.maps[map].queries == "words"  # (layer, head, query, key)
    rows = weights[:, :, piece : piece + 1] if by_words else weights[:, :, 1:]
    chosen, spread = rows.mean(2), entropy(rows if by_words else weights)
    layers, heads, _ = chosen.shape
    side = min(WIDTH / heads, 1.9)
    query = f"from {trace.words.pieces[piece]!r}" if by_words else "from all patches"
    title = title or f"Attention, {_MAPS[map]}, {query}"
    figure = new_figure(heads * side + 0.4, layers * (side + 0.15) + 0.6, title, credit)
    for (layer, head), axes in np.ndenumerate(figure.subplots(layers, heads, squeeze=False)):
        row = chosen[layer, head]
        overlay(axes, pixels(trace.image), trace.patches.pixels(row[1:]).numpy(), signed=False)
        numbers_below = f"most {float(row.max()):.2f}, {float(spread[layer, head]):.1f} nats"
        axes.set_xlabel(f"head {head}: {numbers_below}", fontsize=7)
        axes.set_ylabel("" if head else f"layer {layer}", fontsize=SIZE)
    return figure


@styled
def attention_matrices(trace: Trace) -> Figure:
    """Draws one matrix per head of the language encoder's last layer: how much each word piece (row) attends to each
    (column). ConfigError for a model without attention there."""
    one_of("map", "language", trace.maps)
    weights, pieces = trace.maps["language"].weights[-1].numpy(), trace.words.pieces
    figure = new_figure(WIDTH, 3.3, "Attention, words to words, language encoder: rows attend to columns")
    for head, axes in enumerate(figure.subplots(1, len(weights), sharey=True, squeeze=False)[0]):
        axes.imshow(weights[head], cmap="cividis", vmin=0)
        axes.set_title(f"head {head}: most {weights[head].max():.2f}", fontsize=SIZE + 1)
        axes.set_xticks(range(len(pieces)), [clip(piece, 14) for piece in pieces], rotation=90, fontsize=SIZE)
        axes.set_yticks(range(len(pieces)), [clip(piece, 14) for piece in pieces], fontsize=SIZE)
        axes.grid(visible=False)
    return figure
