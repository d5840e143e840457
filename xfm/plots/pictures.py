"""Pictures with what a model, or the data, says of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..data.synthetic import preview
from ..data.synthetic.openmoji import CREDIT
from ..data.synthetic.scenes import Scene
from ..evaluation.examples import Grounded, Guess, Masked, Retrieved
from .colours import BLUE, GREY, ORANGE
from .style import WIDTH, Figure, Ruler, require, styled
from .svg import FIXED

GAP, LINE, TITLE, FOOT = 0.3, 0.165, 0.4, 0.15  # inches: between pictures, a line of text, above and below all
SIZE = 8.5  # points, of the text
RIGHT, WRONG = "✓", "✗"
INDENT = "    "
COVER: dict[str, Any] = {"facecolor": "#8a8a8a", "edgecolor": "white", "linewidth": 0.5, "gid": FIXED}


@dataclass(frozen=True)
class Text:
    text: str
    colour: str = "black"
    weight: str = "normal"


@dataclass(frozen=True)
class Card:
    """One or more pictures side by side: what is said above all of them, how each is drawn, what stands below it."""

    above: Sequence[Text]
    pictures: Sequence[Callable[[Axes], object]]
    below: Sequence[Sequence[Text]]


def sheet(cards: Sequence[Card], columns: int, title: str) -> Figure:
    """Rows of cards, each as high as its texts ask for, and the pictures' credit."""
    ruler, across = Ruler(), len(cards[0].pictures)
    side = (WIDTH - GAP) / columns / across - GAP  # of a picture
    card = across * (side + GAP)  # from one card to the next

    def wrapped(texts: Sequence[Text], inches: float) -> list[Text]:
        return [
            Text(line, t.colour, t.weight) for t in texts for line in ruler.wrap(t.text, inches, SIZE, t.weight, INDENT)
        ]

    above = [wrapped(c.above, card - GAP) for c in cards]
    below = [[wrapped(texts, side) for texts in c.below] for c in cards]
    rows = [range(i, min(i + columns, len(cards))) for i in range(0, len(cards), columns)]
    heads = [max(len(above[i]) for i in row) * LINE for row in rows]
    feet = [max(len(texts) for i in row for texts in below[i]) * LINE for row in rows]
    wide = max(min(columns, len(cards)) * card + GAP, WIDTH / 2)
    tall = TITLE + sum(heads) + sum(feet) + len(rows) * (side + GAP) + FOOT
    figure = Figure(figsize=(wide, tall))
    figure.text(GAP / wide, 1 - 0.1 / tall, title, fontsize=11.5, fontweight="bold", va="top")
    figure.text(1 - GAP / wide, 0.1 / tall, CREDIT, fontsize=8, color=GREY, ha="right")

    def write(texts: Sequence[Text], left: float, top: float) -> None:
        for n, t in enumerate(texts):
            place = left / wide, 1 - (top + n * LINE) / tall
            figure.text(*place, t.text, color=t.colour, weight=t.weight, fontsize=SIZE, va="top")

    top = TITLE
    for row, head, foot in zip(rows, heads, feet, strict=True):
        for column, i in enumerate(row):
            left = GAP + column * card
            write(above[i], left, top)
            for n, (draw, texts) in enumerate(zip(cards[i].pictures, below[i], strict=True)):
                at = left + n * (side + GAP)
                box = (at / wide, 1 - (top + head + side) / tall, side / wide, side / tall)
                axes = figure.add_axes(box)
                draw(axes)
                axes.set_axis_off()
                write(texts, at, top + head + side + 0.06)
        top += head + side + foot + GAP
    return figure


def image(pixels: np.ndarray) -> Callable[[Axes], object]:
    """Every pixel a square, in a vector file as well."""
    return lambda axes: axes.imshow(pixels, interpolation="none")


@styled
def scenes(scenes: Sequence[Scene], title: str = "", columns: int = 4) -> Figure:
    """Scenes with numbered boxes, captions, and the phrases that name each object."""
    require(scenes, "scenes")
    cards = []
    for scene in scenes:
        below = [Text(f"“{scene.caption.text}”")]
        below += [Text(f"{i + 1}  {p.text}", preview.COLOURS[i]) for i, p in enumerate(scene.phrases)]
        cards.append(Card([], [partial(preview.show, scene=scene)], [below]))
    return sheet(cards, columns, title)


@styled
def hidden_patches(
    images: Sequence[np.ndarray], masks: Sequence[np.ndarray], title: str = "", columns: int = 6
) -> Figure:
    """Pictures (side, side, 3) with the patches that are hidden from the model, (P,) bool, row-major."""
    require(images, "pictures")

    def draw(axes: Axes, pixels: np.ndarray, mask: np.ndarray) -> None:
        grid = math.isqrt(len(mask))
        step = len(pixels) / grid
        axes.imshow(pixels, interpolation="none")
        for place in np.flatnonzero(mask).tolist():
            corner = place % grid * step - 0.5, place // grid * step - 0.5
            axes.add_patch(Rectangle(corner, step, step, **COVER))

    cards = [
        Card([], [partial(draw, pixels=pixels, mask=mask)], [[Text(f"{mask.sum()} of {len(mask)} hidden")]])
        for pixels, mask in zip(images, np.asarray(masks), strict=True)
    ]
    return sheet(cards, columns, title)


@styled
def retrieval_examples(
    examples: Sequence[Retrieved], title: str = "Retrieval: which caption is the picture's?", columns: int = 4
) -> Figure:
    """Pictures, the captions that the model finds nearest with their cosines, and the right one wherever it comes."""
    require(examples, "examples of retrieval")
    cards = []
    for e in examples:
        said = f"{RIGHT} right" if e.rank == 0 else f"{WRONG} its caption comes {ordinal(e.rank + 1)}"
        ranked = [(i, f"{caption} ({number(cosine)})", own) for i, (caption, cosine, own) in enumerate(e.top)]
        if not any(own for _, _, own in ranked):
            ranked.append((e.rank, e.caption, True))
        cards.append(Card([], [image(e.image)], [[Text(said, weight="bold"), *(choice(*answer) for answer in ranked)]]))
    return sheet(cards, columns, title)


def number(x: float) -> str:
    return f"{x:.2f}".replace("-", "−")


def choice(place: int, text: str, right: bool) -> Text:
    return Text(f"{place + 1}. {text}\u00a0{RIGHT}", BLUE) if right else Text(f"{place + 1}. {text}")


@styled
def grounding_examples(
    examples: Sequence[Grounded], title: str = "Grounding: where is what the phrase names?", columns: int = 4
) -> Figure:
    """The true box (drawn through), the predicted one (dashed), and how well they agree; right from an IoU of 0.5."""
    require(examples, "examples of grounding")
    cards = [
        Card(
            [],
            [partial(boxes, example=e)],
            [[Text(f"{RIGHT if e.right else WRONG} IoU {e.iou:.2f}", weight="bold"), Text(f"“{e.phrase}”")]],
        )
        for e in examples
    ]
    figure = sheet(cards, columns, title)
    wide, tall = figure.get_size_inches()
    for x, text, colour in ((GAP, "▬ true box", BLUE), (GAP + 1, "╍╍ predicted box", ORANGE)):
        figure.text(x / wide, 0.1 / tall, text, fontsize=SIZE, color=colour)
    return figure


def boxes(axes: Axes, example: Grounded) -> None:
    axes.imshow(example.image, interpolation="none")
    side = len(example.image)
    for box, colour, line in ((example.true, BLUE, "-"), (example.predicted, ORANGE, (0, (2.5, 1.5)))):
        cx, cy, w, h = (share * side for share in box)
        for width, shade, style in ((4, "white", "-"), (2, colour, line)):  # white: seen on any ground
            look: dict[str, Any] = {"edgecolor": shade, "linestyle": style, "linewidth": width, "gid": FIXED}
            axes.add_patch(Rectangle((cx - w / 2 - 0.5, cy - h / 2 - 0.5), w, h, fill=False, clip_on=False, **look))


@styled
def masked_word_examples(
    examples: Sequence[Masked],
    title: str = "The hidden word: guessed beside its picture, and beside another",
    columns: int = 3,
) -> Figure:
    """A caption with a name hidden; the likeliest words, with their probabilities, as the model sees each picture."""
    require(examples, "examples of masked words")
    cards = []
    for e in examples:
        sides = (("its picture", e.guesses), ("another", e.other_guesses))
        below = [[Text(name, GREY), *guessed(guesses, e.word)] for name, guesses in sides]
        cards.append(Card([Text(f"“{e.caption}”")], [image(e.image), image(e.other_image)], below))
    return sheet(cards, columns, title)


def guessed(guesses: Sequence[Guess], word: str) -> list[Text]:
    """The guesses, the first in bold, and the right word where it is not among them."""
    lines = []
    for i, (guess, probability) in enumerate(guesses):
        right = guess.strip() == word
        percent = f"{100 * probability:.0f} %" if probability >= 0.01 else "<1 %"
        text = f"{guess} {percent}" + (f"\u00a0{RIGHT}" if right else "")
        lines.append(Text(text, BLUE if right else "black", "normal" if i else "bold"))
    return lines if word in [guess.strip() for guess, _ in guesses] else [*lines, Text(f"({word})", BLUE)]


def ordinal(n: int) -> str:
    ending = "th" if n // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
