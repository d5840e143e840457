"""Questions about relations: a picture of two things, its true caption, and the same with the relation exchanged.

Left against right and above against below alone, each as often: captions of one axis have as many tokens, so how long a
text is tells nothing, and pictures with the two objects' places exchanged along the axis make the false caption true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from xfm.base.fields import require
from xfm.data.source import Example, Split
from xfm.data.world.grammar import RELATIONS, Caption, Relation, Thing, compose
from xfm.data.world.objects import Object
from xfm.data.world.scenes import Scene, World
from xfm.tasks.context import EvalContext
from xfm.tasks.result import bootstrap_interval

Axis = Literal["horizontal", "vertical"]
AXES: dict[Axis, tuple[str, str]] = {
    "horizontal": ("to the left of", "to the right of"),
    "vertical": ("above", "below"),
}
Picture = Literal["right", "mirrored", "another", "none", "subject alone", "object alone"]
PLAIN = 225  # grey of the picture that shows nothing


class Row(NamedTuple):
    """One number, with its 95 % interval over questions."""

    part: str  # "masked", "probe", "patching", "head", "data"
    condition: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    baseline: float | None = None
    encoder: str = ""  # where states are read or patched: "vision", "language", "fusion" ...
    layer: int = -1  # ... 0: what enters the first layer
    position: str = ""


@dataclass(frozen=True, eq=False)
class Question:
    """Two things, subject and object, one clearly beside or above the other."""

    scene: Scene  # its caption is the true one
    exchanged: Caption  # the false one
    axis: Axis
    label: int  # 0: left of or above, 1: right of or below
    ids: tuple[list[int], list[int]]  # of the true caption and of the false one, equally long
    masked: list[int]  # of the true caption, all of the relation masked
    place: int  # the token that says which: the first at which `ids` differ
    spans: dict[str, range]  # tokens of "subject", "relation", "object"

    @property
    def things(self) -> tuple[Object, Object]:
        """The subject and the object."""
        by_name = {o.name: o for o in self.scene.objects}
        subject, other = (by_name[thing.name] for thing in self.scene.caption.things)
        return subject, other


def draw_questions(context: EvalContext, split: Split, count: int) -> list[Question]:
    """The same for every model that has the same tokenizer; half of them of each axis, and half of these with each
    answer. ConfigError where objects may overlap, and where the tokens of two relations are not equally many."""
    overlap = context.config.data.scenes.overlap
    require(not overlap, "data.scenes.overlap", overlap, "0: mirrored pictures are of objects beside each other")
    found: dict[Axis, list[Question]] = {axis: [] for axis in AXES}
    index = 0
    while min(map(len, found.values())) < count // 2:
        scene = context.scene("relations", index, split, objects=2, phrases=False)
        index += 1
        axis = _axis(*scene.objects)
        if scene.objects[0].name != scene.objects[1].name and axis and len(found[axis]) < count // 2:
            found[axis].append(_question(context, scene, axis, len(found[axis]) % 2))
    return [q for both in zip(*found.values(), strict=True) for q in both]


def _axis(a: Object, b: Object) -> Axis | None:
    """That of the larger gap between the two boxes; None where they overlap on both."""
    gaps = {
        "horizontal": max(b.x - a.x - a.width, a.x - b.x - b.width),
        "vertical": max(b.y - a.y - a.height, a.y - b.y - b.height),
    }
    axis: Axis = max(get_args(Axis), key=gaps.__getitem__)
    return axis if gaps[axis] >= 0 else None


def _question(context: EvalContext, scene: Scene, axis: Axis, label: int) -> Question:
    word, other = AXES[axis][label], AXES[axis][1 - label]
    a, b = scene.objects if RELATIONS[word](*scene.objects) else scene.objects[::-1]
    things = Thing(a.name), Thing(b.name)
    caption, exchanged = (compose(things, [Relation(0, w, 1)]) for w in (word, other))
    longest = context.config.model.text.positions - 2
    tokens = [context.tokenizer.encode_with_spans(c.text, c.spans, longest) for c in (caption, exchanged)]
    ids, spans = (tokens[0][0], tokens[1][0]), [range(*places) for places in tokens[0][1]]
    allowed = f"of a tokenizer that has as many tokens for {word!r} as for {other!r}"
    require(len(ids[0]) == len(ids[1]), "model.text.vocabulary", context.tokenizer.vocabulary, allowed)
    kinds = [kind for *_, kind in caption.spans]
    nouns, relation = [s for s, k in zip(spans, kinds, strict=True) if k == "noun"], spans[kinds.index("relation")]
    masked = [context.tokenizer.mask_id if i in relation else token for i, token in enumerate(ids[0])]
    place = next(i for i, (x, y) in enumerate(zip(*ids, strict=True)) if x != y)
    named = {"subject": nouns[0], "relation": relation, "object": nouns[1]}
    return Question(
        replace(_drawn(context.world, scene, scene.objects), caption=caption),
        exchanged,
        axis,
        label,
        ids,
        masked,
        place,
        named,
    )


def pictures(context: EvalContext, questions: Sequence[Question], which: Picture) -> list[Example]:
    """A picture for each question: "right", its own; "mirrored", with the objects' places mirrored along the axis, each
    upright as it was; "another", which shows neither thing; "none", a plain ground; one of the two objects alone."""
    if which == "right":
        return [q.scene for q in questions]
    if which == "none":
        return [replace(q.scene, image=np.full_like(q.scene.image, PLAIN)) for q in questions]
    if which == "another":
        return [_another(questions, i) for i in range(len(questions))]
    made = []
    for q in questions:
        objects = (
            [_mirrored(o, q.axis) for o in q.scene.objects] if which == "mirrored" else [q.things[which[0] == "o"]]
        )
        made.append(_drawn(context.world, q.scene, objects))
    return made


def _another(questions: Sequence[Question], i: int) -> Scene:
    names = {o.name for o in questions[i].scene.objects}
    others = (*questions[i + 1 :], *questions[:i])
    return next(q.scene for q in others if names.isdisjoint(o.name for o in q.scene.objects))


def _mirrored(o: Object, axis: Axis) -> Object:
    return replace(o, x=o.side - o.x - o.width) if axis == "horizontal" else replace(o, y=o.side - o.y - o.height)


def _drawn(world: World, scene: Scene, objects: Sequence[Object]) -> Scene:
    """The scene with these objects, on the one ground that all pictures of questions have."""
    name = objects[0].name
    return world.replace_object(replace(scene, objects=tuple(objects)), name, name)


def measured(part: str, condition: str, metric: str, scores: np.ndarray, *key: object, **rest: object) -> Row:
    """The mean of scores (n,), a question each, or (n, k): those of one question are resampled together."""
    scores = np.asarray(scores, float)
    groups = np.repeat(np.arange(len(scores)), scores[0].size)
    low, high = bootstrap_interval(scores.ravel(), groups, "relations", *key)
    return Row(part, condition, metric, float(scores.mean()), low, high, len(scores), **rest)  # type: ignore[arg-type]
