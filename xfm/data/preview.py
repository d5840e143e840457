"""A contact sheet of scenes: what the model sees and is told, for the eye."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..config import RunConfig
from . import dataset
from .openmoji import CREDIT
from .scenes import Object, Scene, Split

# Okabe and Ito's colours, which stay apart for colour-blind eyes; each box has a line style and a number as well.
COLOURS = ("#0072B2", "#D55E00", "#007F5C", "#A3428B")
STYLES = ("-", "--", "-.", ":")
COLUMNS, ROWS = 4, 3
PICTURE, GAP, LINE, HEAD = 2.9, 0.35, 0.18, 0.75  # inches
WRAP = 38  # characters a line


def preview(config: RunConfig, path: Path | str, split: Split = "train") -> Path:
    """Writes a PNG of twelve scenes of a split, with captions, boxes and the phrases that name them; returns its path.

    The last two rows hold scenes of two to four objects.
    """
    world = dataset(config).world
    least = 2 if split == "unseen_combinations" else 1
    numbers = [(least, 2)] * COLUMNS + [(2, 4)] * (COLUMNS * (ROWS - 1))
    scenes = [world.scene(split, i, objects, config.seed) for i, objects in enumerate(numbers)]
    rows = [scenes[i : i + COLUMNS] for i in range(0, len(scenes), COLUMNS)]
    texts = [max(len(legend(scene)) for scene in row) * LINE + 0.15 for row in rows]
    width, height = COLUMNS * (PICTURE + GAP) + GAP, HEAD + sum(texts) + ROWS * (PICTURE + GAP) + GAP
    figure = Figure(figsize=(width, height), facecolor="white")
    title = f"Split: {split.replace('_', ' ')} ({world.image_size} px, {world.concepts} concepts)"
    figure.text(GAP / width, 1 - 0.42 / height, title, size=15, weight="bold", va="center")
    figure.text(1 - GAP / width, 1 - 0.42 / height, CREDIT, size=10, color="#444444", ha="right", va="center")
    top = HEAD
    for row, text in zip(rows, texts, strict=True):
        for column, scene in enumerate(row):
            left = GAP + column * (PICTURE + GAP)
            axes = figure.add_axes((left / width, 1 - (top + PICTURE) / height, PICTURE / width, PICTURE / height))
            show(axes, scene)
            for n, (colour, line) in enumerate(legend(scene)):
                y = 1 - (top + PICTURE + 0.12 + n * LINE) / height
                figure.text(left / width, y, line, size=9.5, color=colour, va="top")
        top += PICTURE + text + GAP
    figure.savefig(path, dpi=110)
    return Path(path)


def show(axes: Axes, scene: Scene) -> None:
    """The picture, every pixel a square, with numbered boxes."""
    axes.imshow(scene.image, interpolation="nearest")
    axes.set_axis_off()
    side = scene.image.shape[0]
    tag, tags = side * 0.075, []
    for i, o in enumerate(scene.objects):
        style = {"edgecolor": COLOURS[i], "linestyle": STYLES[i], "linewidth": 2}
        axes.add_patch(Rectangle((o.x - 0.5, o.y - 0.5), o.width, o.height, fill=False, **style))
        taken = [(p.x, p.y, p.width, p.height) for p in scene.objects] + tags
        x, y = free_corner(o, tag, taken)
        tags.append((x, y, tag, tag))
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), tag, tag, color=COLOURS[i]))
        middle = (x - 0.5 + tag / 2, y - 0.5 + tag / 2)
        axes.text(*middle, str(i + 1), color="white", size=9, weight="bold", ha="center", va="center_baseline")


def free_corner(o: Object, tag: float, taken: Sequence[tuple[float, float, float, float]]) -> tuple[float, float]:
    """Where the number's square hides nothing, at a corner of the box outside it; else in the box's own corner."""
    right, bottom = o.x + o.width, o.y + o.height
    corners = [(x, y) for y in (o.y - tag, bottom) for x in (o.x, right - tag)]
    corners += [(x, y) for x in (o.x - tag, right) for y in (o.y, bottom - tag)]
    for x, y in corners:
        within = 0 <= x <= o.side - tag and 0 <= y <= o.side - tag
        if within and all(x + tag <= a or a + w <= x or y + tag <= b or b + h <= y for a, b, w, h in taken):
            return x, y
    return o.x, o.y


def legend(scene: Scene) -> list[tuple[str, str]]:
    """Colour and text of each line: the caption, then the phrases, wrapped."""
    phrases = [(COLOURS[i], f"{i + 1}  {phrase.text}") for i, phrase in enumerate(scene.phrases)]
    items = [("black", f"“{scene.caption.text}”"), *phrases]
    return [(colour, line) for colour, text in items for line in textwrap.wrap(text, WRAP, subsequent_indent="    ")]
