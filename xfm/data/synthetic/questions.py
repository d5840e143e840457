"""Questions about a drawn scene, and statements about two of them, with answers that follow from what was drawn.

Yes and no are equally likely whatever is asked about, and so are the true and the false statements: who sees no picture
does no better than a coin there. Nothing is asked that the picture leaves open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ... import seeding
from ..source import Split
from .grammar import RELATIONS, article, plural
from .objects import Object
from .scenes import MOST, Scene, World

__all__ = ["KINDS", "NUMBERS", "Question", "QuestionKind", "Statement", "answers", "ask", "question", "statement"]

QuestionKind = Literal["presence", "number", "size", "place", "neighbour"]
KINDS: tuple[QuestionKind, ...] = get_args(QuestionKind)
NUMBERS = ("zero", "one", "two", "three", "four")
SIDES = ("to the left of", "to the right of", "above", "below")
OPPOSITE: dict[str, str] = dict(zip(SIDES, ("to the right of", "to the left of", "below", "above"), strict=True))
TRIES = 5000
PATIENCE = 64  # right pictures that are tried beside a left one


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of a scene, and its one right answer."""

    scene: Scene
    text: str
    answer: str
    kind: QuestionKind


@dataclass(frozen=True, eq=False)
class Statement:
    """What is said of two scenes (NLVR2), and whether it is true."""

    left: Scene
    right: Scene
    text: str
    true: bool


def answers(world: World) -> tuple[str, ...]:
    """All that may be answered in a world: the list that a model ranks."""
    return ("yes", "no", "big", "small", *NUMBERS, *world.names, *world.unseen_names)


def question(world: World, split: Split, index: int, seed: int = 0, kind: QuestionKind | None = None) -> Question:
    """Question `index` of a split, a function of (seed, split, index); of one `kind`, or of all, equally likely.
    ValueError as `World.scene` raises it."""
    rng = seeding.rng("question", seed, split, index, kind)
    chosen = kind or KINDS[int(rng.random() * len(KINDS))]
    for attempt in range(TRIES):
        scene = world.scene(split, seeding.seed("question", index, attempt), seed=seed, phrases=False)
        if (asked := ask(scene, world, chosen, rng)) is not None:
            return asked
    raise RuntimeError(f"no question of kind {chosen!r} in {TRIES} scenes of {split!r}")


def ask(scene: Scene, world: World, kind: QuestionKind, rng: np.random.Generator) -> Question | None:
    """A question of a kind about a scene; None where it has nothing of the kind."""
    asked = _ASK[kind](scene, world, rng)
    return asked and Question(scene, *asked, kind)


def _presence(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, str]:
    shown = sorted({o.name for o in scene.objects})
    if rng.random() < 0.5:
        name, answer = shown[int(rng.random() * len(shown))], "yes"
    else:
        name, answer = _absent(shown, world, rng), "no"
    return f"is there {article(name, name)} {name}?", answer


def _number(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, str]:
    shown = sorted({o.name for o in scene.objects})
    counts = {name: sum(o.name == name for o in scene.objects) for name in shown}
    repeated = [name for name in shown if counts[name] > 1]
    if repeated and rng.random() < 0.5:
        name = repeated[int(rng.random() * len(repeated))]
    elif rng.random() < 1 / MOST:
        name = _absent(shown, world, rng)
    else:
        name = shown[int(rng.random() * len(shown))]
    return f"how many {plural(name)} are there?", NUMBERS[counts.get(name, 0)]


def _size(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, str] | None:
    single = _single(scene)
    if not single:
        return None
    asked = single[int(rng.random() * len(single))]
    return f"is the {asked.name} big or small?", asked.size


def _place(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, str] | None:
    pairs = [(a, b, word) for a, b, word in _related(_single(scene)) if word in SIDES]
    if not pairs:
        return None
    a, b, word = pairs[int(rng.random() * len(pairs))]
    yes = rng.random() < 0.5
    return f"is the {a.name} {word if yes else OPPOSITE[word]} the {b.name}?", "yes" if yes else "no"


def _neighbour(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, str] | None:
    """Where one thing alone is on that side of another."""
    found = []
    for b in _single(scene):
        for word in SIDES:
            there = {a.name for a in scene.objects if a is not b and RELATIONS[word](a, b)}
            if len(there) == 1:
                found.append((there.pop(), word, b.name))
    if not found:
        return None
    name, word, other = found[int(rng.random() * len(found))]
    return f"what is {word} the {other}?", name


_ASK: dict[QuestionKind, Callable[[Scene, World, np.random.Generator], tuple[str, str] | None]] = {
    "presence": _presence, "number": _number, "size": _size, "place": _place, "neighbour": _neighbour,
}  # fmt: skip


def _single(scene: Scene) -> list[Object]:
    """The objects whose names occur once: "the cat" is clear."""
    names = [o.name for o in scene.objects]
    return [o for o in scene.objects if names.count(o.name) == 1]


def _related(objects: Sequence[Object]) -> Iterator[tuple[Object, Object, str]]:
    for a in objects:
        for b in objects:
            if a is not b:
                yield from ((a, b, word) for word in SIDES if RELATIONS[word](a, b))


def _absent(shown: Sequence[str], world: World, rng: np.random.Generator) -> str:
    """A name of those that may be shown beside these, and is not."""
    pool = [n for n in (world.unseen_names if {*shown} & {*world.unseen_names} else world.names) if n not in shown]
    return pool[int(rng.random() * len(pool))]


def statement(world: World, split: Split, index: int, seed: int = 0) -> Statement:
    """Statement `index` of a split about two of its scenes, a function of (seed, split, index). ValueError as
    `World.scene` raises it."""
    rng = seeding.rng("statement", seed, split, index)
    form, wanted = FORMS[int(rng.random() * len(FORMS))], bool(rng.random() < 0.5)
    left = _scene(world, split, seed, index, "left", 0)
    for attempt in range(1, TRIES):
        right = _scene(world, split, seed, index, "right", attempt)
        for name in sorted({o.name for scene in (left, right) for o in scene.objects}, key=lambda _: rng.random()):
            here, there = (sum(o.name == name for o in scene.objects) for scene in (left, right))
            text, true = form(name, here, there)
            if true == wanted:
                return Statement(left, right, text, true)
        if attempt % PATIENCE == 0:  # some scenes are like no other
            left = _scene(world, split, seed, index, "left", attempt)
    raise RuntimeError(f"no {wanted} statement in {TRIES} pairs of {split!r}")


def _scene(world: World, split: Split, seed: int, *key: object) -> Scene:
    return world.scene(split, seeding.seed("statement", *key), seed=seed, phrases=False)


def _a(name: str) -> str:
    return f"{article(name, name)} {name}"


# Of a name and how often it is in the left and in the right picture: what is said, and whether it is true.
FORMS: tuple[Callable[[str, int, int], tuple[str, bool]], ...] = (
    lambda name, here, there: (f"both pictures show {_a(name)}", here > 0 and there > 0),
    lambda name, here, there: (f"only one picture shows {_a(name)}", (here > 0) != (there > 0)),
    lambda name, here, there: (f"the left picture shows {_a(name)}", here > 0),
    lambda name, here, there: (f"the right picture shows {_a(name)}", there > 0),
    lambda name, here, there: (f"there are two {plural(name)} in all", here + there == 2),
)
