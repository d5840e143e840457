"""Pictures with what the data, or a model, say about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from ..base.fields import require as require_config
from ..base.images import ImageLike, pixels
from ..base.numbers import number, percent
from ..base.strings import shown
from ..data.world.objects import Object
from ..data.world.scenes import Scene
from ..tasks.failure_examples import Grounded, Guess, Masked, Retrieved
from .arrays import numbers
from .palette import AXIS, BLUE, FIXED, GREEN, GREY, ORANGE, PURPLE
from .style import SIZE, Card, Figure, Line, key, require, sheet, styled

RIGHT, WRONG = "✓", "✗"
_BOXES: dict[str, tuple[str, Any]] = {"true": (BLUE, "-"), "predicted": (ORANGE, (0, (2.5, 1.5)))}
_SCENE_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)  # each box has a line style and a number as well
_SCENE_LINES = ("-", "--", "-.", ":")
Box = Sequence[float]  # x, y, width, height in pixels


def _picture(image: ImageLike, name: str = "image") -> Callable[[Axes], object]:
    """Every pixel a square, in a vector file as well."""
    picture = pixels(image, name)
    return lambda axes: axes.imshow(picture, interpolation="none")


@styled
def images(images: Mapping[str, ImageLike], title: str = "", credit: str = "") -> Figure:
    """Draws any images (see `xfm.base.images.prepare`) by their names. ConfigError for what is no image."""
    require(images, "pictures")
    cards = [Card(_picture(image, f"images[{shown(name)}]"), [Line(str(name))]) for name, image in images.items()]
    return sheet(cards, 4, title, credit)


@styled
def scenes(scenes: Sequence[Scene], title: str = "", columns: int = 4) -> Figure:
    """Draws scenes with numbered boxes, captions, and the phrase of each object. ValueError for no scenes."""
    require(scenes, "scenes")
    credit = "; ".join(dict.fromkeys(scene.credit for scene in scenes if scene.credit))
    return sheet([_scene_card(scene) for scene in scenes], columns, title, credit)


def _scene_card(scene: Scene) -> Card:
    """A scene with numbered boxes, its caption and the phrase of each object."""
    phrases = [Line(f"{i + 1} {p.text}", _SCENE_COLOURS[i]) for i, p in enumerate(scene.phrases)]
    return Card(partial(_draw_scene, scene=scene), [Line(f"“{scene.text}”"), *phrases])


def _draw_scene(axes: Axes, scene: Scene) -> None:
    """The picture, every pixel a square, with numbered boxes."""
    axes.imshow(scene.image, interpolation="nearest")
    side = scene.image.shape[0]
    tag, tags = side * 0.075, []
    for i, o in enumerate(scene.objects):
        style = {"edgecolor": _SCENE_COLOURS[i], "linestyle": _SCENE_LINES[i], "linewidth": 2}
        axes.add_patch(Rectangle((o.x - 0.5, o.y - 0.5), o.width, o.height, fill=False, **style))
        taken = [(p.x, p.y, p.width, p.height) for p in scene.objects] + tags
        x, y = _free_corner(o, tag, taken)
        tags.append((x, y, tag, tag))
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), tag, tag, color=_SCENE_COLOURS[i]))
        middle = (x - 0.5 + tag / 2, y - 0.5 + tag / 2)
        axes.text(*middle, str(i + 1), color="white", size=9, weight="bold", ha="center", va="center_baseline")


def _free_corner(o: Object, tag: float, taken: Sequence[tuple[float, float, float, float]]) -> tuple[float, float]:
    """Where the number's square hides nothing, at a corner of the box outside it; else in the box's own corner."""
    right, bottom = o.x + o.width, o.y + o.height
    corners = [(x, y) for y in (o.y - tag, bottom) for x in (o.x, right - tag)]
    corners += [(x, y) for x in (o.x - tag, right) for y in (o.y, bottom - tag)]
    for x, y in corners:
        within = 0 <= x <= o.side - tag and 0 <= y <= o.side - tag
        if within and all(x + tag <= a or a + w <= x or y + tag <= b or b + h <= y for a, b, w, h in taken):
            return x, y
    return o.x, o.y


@styled
def hidden_patches(
    images: Sequence[ImageLike], masks: Sequence[np.ndarray], title: str = "", credit: str = ""
) -> Figure:
    """Draws images with the patches that are hidden from the model.

    Args:
        images: any images of (side, side) pixels that `xfm.base.images.prepare` accepts.
        masks: (P,) bool each, row-major.

    Raises:
        ConfigError: for what is no image, and for masks of no square grid.
    """
    require(images, "pictures")

    def draw(axes: Axes, picture: np.ndarray, mask: np.ndarray) -> None:
        axes.imshow(picture, interpolation="none")
        cover_patches(axes, len(picture), mask)

    cards = []
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        hidden = square_mask(mask, f"masks[{i}]")
        below = [Line(f"{hidden.sum()} of {len(hidden)} hidden")]
        cards.append(Card(partial(draw, picture=pixels(image, f"images[{i}]"), mask=hidden), below))
    return sheet(cards, 6, title, credit)


def square_mask(mask: Any, name: str) -> np.ndarray:
    """(P,) bool, of a square grid's patches. ConfigError for another shape."""
    hidden = numbers(mask, name, (None,))
    n = len(hidden)
    require_config(n == math.isqrt(n) ** 2 > 0, f"len({name})", n, "that of a square grid")
    return hidden > 0


def cover_patches(axes: Axes, side: int, mask: np.ndarray, colours: Sequence[Any] | None = None) -> None:
    """Squares over the patches of a mask (P,) bool, row-major, on a picture of `side` pixels: grey or `colours`."""
    grid = math.isqrt(len(mask))
    step = side / grid
    for i in np.flatnonzero(mask).tolist():
        corner = i % grid * step - 0.5, i // grid * step - 0.5
        colour = AXIS if colours is None else colours[i]
        axes.add_patch(Rectangle(corner, step, step, facecolor=colour, edgecolor="white", linewidth=0.5, gid=FIXED))


@styled
def retrieval_examples(examples: Sequence[Retrieved], title: str = "", columns: int = 4, credit: str = "") -> Figure:
    """Draws pictures, the top-ranked captions with their cosines, and the right caption with its rank."""
    require(examples, "examples of retrieval")
    cards = []
    for e in examples:
        verdict = f"{RIGHT} right" if e.rank == 0 else f"{WRONG} its caption has rank {e.rank + 1}"
        ranked = [(i, f"{text} ({number(cosine, digits=2)})", right) for i, (text, cosine, right) in enumerate(e.top)]
        if not any(right for _, _, right in ranked):
            ranked.append((e.rank, e.caption, True))
        lines = [Line(f"{n + 1}. {text}" + f"\u00a0{RIGHT}" * ok, BLUE if ok else "black") for n, text, ok in ranked]
        cards.append(Card(_picture(e.image), [Line(verdict, weight="bold"), *lines]))
    return sheet(cards, columns, title, credit)


@styled
def grounding_examples(examples: Sequence[Grounded], title: str = "", columns: int = 4, credit: str = "") -> Figure:
    """Draws the true box (solid), the predicted one (dashed) and their IoU; right from 0.5. ValueError for none."""
    require(examples, "examples of grounding")

    def draw(axes: Axes, example: Grounded) -> None:
        picture = pixels(example.image)
        axes.imshow(picture, interpolation="none")
        height, width = picture.shape[:2]
        shown = {}
        for name, (cx, cy, w, h) in (("true", example.true), ("predicted", example.predicted)):
            shown[name] = ((cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height)
        handles[:] = boxes(axes, shown)

    cards, handles = [], []
    for e in examples:
        verdict = f"{RIGHT if e.right else WRONG} IoU {number(e.iou, digits=2)}"
        cards.append(Card(partial(draw, example=e), [Line(verdict, weight="bold"), Line(f"“{e.phrase}”")]))
    figure = sheet(cards, columns, title, credit)
    figure.legend(handles=handles, loc="outside lower left", ncols=2, fontsize=SIZE)
    return figure


def boxes(axes: Axes, boxes: Mapping[str, Box]) -> list[Line2D]:
    """Outlines of the boxes called "true" and "predicted", and their entries for a legend."""
    handles = []
    for ground in (True, False):  # white below all lines: visible on any picture, and where boxes all but coincide
        for name, (x, y, w, h) in boxes.items():
            colour, line = ("white", "-") if ground else _BOXES[name]
            look: dict[str, Any] = {"edgecolor": colour, "linestyle": line, "linewidth": 4 if ground else 2}
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, fill=False, clip_on=False, gid=FIXED, **look))
    for name in boxes:
        colour, line = _BOXES[name]
        handles.append(key(f"{name} box", color=colour, linestyle=line, linewidth=2))
    return handles


@styled
def masked_word_examples(examples: Sequence[Masked], title: str = "", columns: int = 3, credit: str = "") -> Figure:
    """Draws captions with a masked name and the likeliest words, with their probabilities given the right and a wrong
    picture. ValueError for none.
    """
    require(examples, "examples of masked words")
    cards = []
    for e in examples:
        for name, image, guesses in (("its picture", e.image, e.guesses), ("another", e.other_image, e.other_guesses)):
            caption = [Line(f"“{e.caption}”")] if name == "its picture" else []
            cards.append(Card(_picture(image), [Line(name, GREY), *_guesses(guesses, e.word), *caption]))
    return sheet(cards, 2 * columns, title, credit)


def _guesses(guesses: Sequence[Guess], word: str) -> list[Line]:
    """The guesses, the first in bold, and the right word where it is not among them."""
    lines = []
    for i, (guess, probability) in enumerate(guesses):
        right = guess.strip() == word
        share = percent(probability, 0) if probability >= 0.01 else "<1\u00a0%"
        text = f"{guess} {share}" + f"\u00a0{RIGHT}" * right
        lines.append(Line(text, BLUE if right else "black", "normal" if i else "bold"))
    return lines if word in [guess.strip() for guess, _ in guesses] else [*lines, Line(f"({word})", BLUE)]
