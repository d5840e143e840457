"""A contact sheet of scenes: what the model sees and reads, for the eye."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..base.fields import require
from ..base.files import write_atomically
from ..config import RunConfig
from ..data import dataset
from ..data.source import SPLITS, Split
from ..data.world import styles
from ..data.world.objects import Object
from ..data.world.scenes import Scene, World

# Okabe and Ito's colours, which stay apart for colour-blind eyes; each box has a line style and a number as well.
COLOURS = ("#0072B2", "#D55E00", "#007F5C", "#A3428B")
STYLES = ("-", "--", "-.", ":")
PICTURE, GAP, LINE, HEAD, TITLE = 2.9, 0.35, 0.18, 0.9, 0.5  # inches
KINDS = (".png", ".pdf", ".svg")
WRAP = 38  # characters a line
ONE_SPLIT = ((1,) * 4, (2, 3, 4, 2), (3, 4, 2, 4))  # objects of the scenes, row by row, of one split ...
ALL_SPLITS = ((1, 2, 3, 4, 2),)  # ... and of each of all
MEANING: dict[Split, str] = {
    "train": "for learning",
    "validation": "the same concepts in other scenes, for choices made while training",
    "test": "the same concepts in other scenes, for results",
    "unseen_combinations": "pairs of concepts that no other split shows together",
    "unseen_concepts": "concepts that no other split shows",
}


def preview(config: RunConfig, path: Path | str, split: Split | None = None, seed: int | None = None) -> Path:
    """Writes a PNG, PDF or SVG of scenes with captions, boxes and the phrases that refer to them; returns its path.

    Twelve scenes of a split, or a row of every split that the world has; of the config's seed, or another. ConfigError
    for another kind of file, ValueError for an unknown or an empty split, and for a dataset without the drawn world;
    FileError where the system refuses the file, an old one is kept then.
    """
    path = Path(path)
    require(path.suffix.lower() in KINDS, "out", str(path), f"a file's name that ends in {', '.join(KINDS)}")
    world, seed = dataset(config).world, config.seed if seed is None else seed
    numbers = ONE_SPLIT if split else ALL_SPLITS
    sections: dict[Split, list[list[Scene]]] = {}
    splits: list[Split] = [split] if split else [s for s in SPLITS if world.pool(s)]
    for name in splits:
        least, columns = 2 if name == "unseen_combinations" else 1, len(numbers[0])
        sections[name] = [
            [world.scene(name, n * columns + i, max(k, least), seed) for i, k in enumerate(row)]
            for n, row in enumerate(numbers)
        ]
    width = len(numbers[0]) * (PICTURE + GAP) + GAP
    height = HEAD + sum(TITLE + sum(map(_row_height, rows)) for rows in sections.values())
    figure = Figure(figsize=(width, height), facecolor="white")

    def write(x: float, y: float, text: str, **style: object) -> None:
        figure.text(x / width, 1 - y / height, text, **style)  # type: ignore[arg-type]

    write(GAP, 0.42, f"{world.concepts} concepts, {world.image_size} px", size=15, weight="bold", va="center")
    write(GAP, 0.7, difficulty(world), size=11, color="#444444", va="center")
    write(width - GAP, 0.42, world.credit, size=10, color="#444444", ha="right", va="center")
    top = HEAD + TITLE / 2
    for name, rows in sections.items():
        write(GAP, top, name.replace("_", " "), size=13, weight="bold", va="center")
        write(GAP + 2.6, top, MEANING[name], size=11, color="#444444", va="center")
        top += TITLE / 2
        for row in rows:
            for column, scene in enumerate(row):
                left = GAP + column * (PICTURE + GAP)
                place = (left / width, 1 - (top + PICTURE) / height, PICTURE / width, PICTURE / height)
                show(figure.add_axes(place), scene)
                for n, (colour, line) in enumerate(_lines(scene)):
                    write(left, top + PICTURE + 0.12 + n * LINE, line, size=9.5, color=colour, va="top")
            top += _row_height(row)
        top += TITLE / 2
    buffer = BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=110)
    write_atomically(path, buffer.getvalue())
    return path


def _row_height(row: Sequence[Scene]) -> float:
    """Inches, with the texts."""
    return PICTURE + max(len(_lines(scene)) for scene in row) * LINE + GAP + 0.15


def _lines(scene: Scene) -> list[tuple[str, str]]:
    """Colour and text of each line: the caption, then the phrases, wrapped."""
    phrases = [(COLOURS[i], f"{i + 1}  {phrase.text}") for i, phrase in enumerate(scene.phrases)]
    items = [("black", f"“{scene.text}”"), *phrases]
    return [(colour, line) for colour, text in items for line in textwrap.wrap(text, WRAP, subsequent_indent="    ")]


def difficulty(world: World) -> str:
    """What makes the world harder than the default one: the fields that are not 0."""
    scenes, captions = world.scenes, world.captions
    rules = {
        f"drawn by {', '.join(styles.STYLES[s].family for s in world.styles)}": world.styles != styles.DEFAULT,
        f"turned by up to {scenes.rotation:g}°": scenes.rotation,
        f"of one category {scenes.alike:.0%}": scenes.alike,
        f"up to {scenes.clutter} shapes of clutter": scenes.clutter,
        f"up to {scenes.overlap:.0%} hidden": scenes.overlap,
        f"colours {captions.colours:.0%}": captions.colours,
        f"negation {captions.negation:.0%}": captions.negation,
        f"paraphrase {captions.paraphrase:.0%}": captions.paraphrase,
    }
    return ", ".join(rule for rule, share in rules.items() if share) or "calm scenes, plain captions"


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
