"""A scene in a figure: what the model sees and reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..data.world import styles
from ..data.world.objects import Object
from ..data.world.scenes import Scene, World
from .palette import BLUE, GREEN, ORANGE, PURPLE
from .style import Card, Line

COLOURS = (BLUE, ORANGE, GREEN, PURPLE)  # each box has a line style and a number as well
STYLES = ("-", "--", "-.", ":")


def scene_card(scene: Scene) -> Card:
    """A scene with numbered boxes, its caption and the phrase of each object."""
    phrases = [Line(f"{i + 1} {p.text}", COLOURS[i]) for i, p in enumerate(scene.phrases)]
    return Card(partial(show, scene=scene), [Line(f"“{scene.text}”"), *phrases])


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


def show(axes: Axes, scene: Scene) -> None:
    """The picture, every pixel a square, with numbered boxes."""
    axes.imshow(scene.image, interpolation="nearest")
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
