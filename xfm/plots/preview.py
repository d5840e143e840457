"""A contact sheet of scenes: what the model sees and reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..base.fields import require
from ..config import RunConfig
from ..data import dataset
from ..data.source import SPLITS, Split
from ..data.world import styles
from ..data.world.objects import Object
from ..data.world.scenes import Scene, World
from .palette import BLUE, GREEN, ORANGE, PURPLE
from .style import Card, Figure, Line, sheet, styled

COLOURS = (BLUE, ORANGE, GREEN, PURPLE)  # each box has a line style and a number as well
STYLES = ("-", "--", "-.", ":")
KINDS = (".png", ".pdf", ".svg")
ONE_SPLIT = (1, 1, 1, 1, 2, 3, 4, 2, 3, 4, 2, 4)  # objects of the scenes of one split, four a row ...
ALL_SPLITS = (1, 2, 3, 4, 2)  # ... and of each of all, a row
MEANING: dict[Split, str] = {
    "train": "for learning",
    "validation": "the same concepts in other scenes, for choices made while training",
    "test": "the same concepts in other scenes, for results",
    "unseen_combinations": "pairs of concepts that no other split shows together",
    "unseen_concepts": "concepts that no other split shows",
}


def preview(config: RunConfig, path: Path | str, split: Split | None = None, seed: int | None = None) -> Path:
    """Writes a PNG, PDF or SVG of scenes with captions, boxes and the phrases that refer to them; returns its path.

    Args:
        split: twelve scenes of this split; None: a row of every split that the world has.
        seed: of the scenes; None: the config's.

    Raises:
        ConfigError: for another kind of file.
        ValueError: for an unknown or an empty split, and for a dataset without the drawn world.
        FileError: where the system refuses the file; an old one is kept then.
    """
    path = Path(path)
    require(path.suffix.lower() in KINDS, "out", str(path), f"a file's name that ends in {', '.join(KINDS)}")
    figure = _contact_sheet(dataset(config).world, split, config.seed if seed is None else seed)
    figure.savefig(path, format=path.suffix[1:].lower(), dpi=110)
    return path


@styled
def _contact_sheet(world: World, split: Split | None, seed: int) -> Figure:
    counts, cards = ONE_SPLIT if split else ALL_SPLITS, []
    splits: list[Split] = [split] if split else [s for s in SPLITS if world.pool(s)]
    for name in splits:
        least = 2 if name == "unseen_combinations" else 1
        for i, count in enumerate(counts):
            heading = f"{name.replace('_', ' ')}: {MEANING[name]}" if not i else ""
            cards.append(scene_card(world.scene(name, i, max(count, least), seed), heading))
    title = f"{world.concepts} concepts, {world.image_size} px: {difficulty(world)}"
    return sheet(cards, 4 if split else len(ALL_SPLITS), title, world.credit)


def scene_card(scene: Scene, heading: str = "") -> Card:
    """A scene with numbered boxes, its caption and the phrase of each object."""
    phrases = [Line(f"{i + 1} {p.text}", COLOURS[i]) for i, p in enumerate(scene.phrases)]
    return Card(partial(show, scene=scene, heading=heading), [Line(f"“{scene.text}”"), *phrases])


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
        f"phrases without “the” {captions.articles:.0%}": captions.articles,
    }
    return ", ".join(rule for rule, share in rules.items() if share) or "calm scenes, plain captions"


def show(axes: Axes, scene: Scene, heading: str = "") -> None:
    """The picture, every pixel a square, with numbered boxes."""
    axes.imshow(scene.image, interpolation="nearest")
    if heading:  # as high as a title, but no wider than the picture
        axes.set_title(" ")
        text = axes.annotate(heading, (0, 1), (0, 6), "axes fraction", "offset points", weight="bold")
        text.set_in_layout(False)
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
