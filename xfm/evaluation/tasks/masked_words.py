"""Masked words of captions, by part of speech: guessed with the right picture, with one that shows nothing the caption
names, and with none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...batch import IGNORE
from ...data.streams import filled
from ...data.synthetic.grammar import Caption, Kind, Span, plural
from ...data.synthetic.scenes import Scene
from ..context import EvalContext
from ..result import Result

SCENES = 1000
KINDS: dict[Kind, str] = {"noun": "masked names", "size": "masked sizes", "colour": "masked colours",
                          "count": "masked counts", "relation": "masked relations"}  # fmt: skip
CONTROLS = ("wrong picture", "no picture")
PICTURES = ("right picture", *CONTROLS)
PLAIN = 225  # grey of a ground that shows nothing


@dataclass(frozen=True)
class Blank:
    """One caption with all tokens of one span hidden, and nothing else."""

    scene: int  # its picture ...
    other: int  # ... and another, which shows nothing that the caption names
    kind: Kind
    start: int  # the characters hidden
    end: int
    masked: list[int]  # token ids
    places: list[int]  # of the hidden tokens
    tokens: list[int]  # what stood there


def score(subject: EvalContext) -> list[Result]:
    """Accuracy: a word is right when all its tokens are, guessed at once. "No picture" is a plain ground: the model
    always sees something. Kinds that the world's captions do not have are left out."""
    scenes = subject.scenes("imlm", SCENES)
    found = [blank for kind in KINDS for blank in blanks(subject, scenes, kind)]
    scores = answers(subject, scenes, found)
    results = []
    for kind, task in KINDS.items():
        right, wrong, none = scores[:, [b.kind == kind for b in found]]
        if not right.size:
            continue
        rows = {"right picture": (right, wrong.mean(), "wrong picture", 1.0), "wrong picture": (wrong,),
                "no picture": (none,), "right - wrong": (right - wrong, 0.0, "no effect"),
                "right - none": (right - none, 0.0, "no effect")}  # fmt: skip
        results += [
            subject.result(task, condition, "accuracy", *row, better="" if condition in CONTROLS else "higher")
            for condition, row in rows.items()
        ]
    return results


def blanks(subject: EvalContext, scenes: Sequence[Scene], kind: Kind) -> list[Blank]:
    """One a caption, drawn from its spans of that kind. A name that the caption says twice is no blank: the other
    mention gives it away."""
    rng, longest, found = subject.rng("imlm", kind), subject.config.data.caption_tokens, []
    for i, scene in enumerate(scenes):
        spans = [s for s in scene.caption.spans if s[2] == kind and not said_twice(scene.caption, s)]
        ids, ranges = subject.tokenizer.encode_with_spans(scene.caption.text, spans, longest)
        whole = [(s, r) for s, r in zip(spans, ranges, strict=True) if r[1] < longest - 1]  # not cut off
        other = stranger(scenes, i)
        if whole and other is not None:
            (start, end, _), places = whole[int(rng.random() * len(whole))]
            masked = [subject.tokenizer.mask_id if places[0] <= p < places[1] else t for p, t in enumerate(ids)]
            found.append(Blank(i, other, kind, start, end, masked, list(range(*places)), ids[slice(*places)]))
    return found


def said_twice(caption: Caption, span: Span) -> bool:
    """Whether it is a name that the caption says elsewhere too."""
    word = caption.text[slice(*span[:2])]
    return sum(word in (thing.name, plural(thing.name)) for thing in caption.things) > 1


def stranger(scenes: Sequence[Scene], i: int) -> int | None:
    """The next scene, round the list, that shows none of the names that the caption of scene i says."""
    names = {thing.name for thing in scenes[i].caption.things}
    for j in (*range(i + 1, len(scenes)), *range(i)):
        if names.isdisjoint(o.name for o in scenes[j].objects):
            return j
    return None


def answers(subject: EvalContext, scenes: Sequence[Scene], found: Sequence[Blank]) -> np.ndarray:
    """(3, n) beside each of PICTURES: 1 where all tokens are right."""
    tokens, _ = guesses(subject, scenes, found)
    tokens, true = tokens[..., 0].numpy(), filled([b.tokens for b in found], IGNORE).numpy()
    return ((tokens == true) | (true == IGNORE)).all(-1).astype(float)


def guesses(subject: EvalContext, scenes: Sequence[Scene], found: Sequence[Blank]) -> tuple[Tensor, Tensor]:
    """(3, n, M, 3) each: the likeliest tokens, and their probabilities, beside each of PICTURES."""
    plain = np.full_like(scenes[0].image, PLAIN)
    nothing = replace(scenes[0], image=plain, objects=(), caption=Caption("", ()), phrases=())
    picture = torch.tensor([[b.scene for b in found], [b.other for b in found], [len(scenes)] * len(found)])
    text = torch.arange(len(found)).repeat(len(PICTURES))
    beside = [*scenes, nothing]
    out = subject.guesses(beside, [b.masked for b in found], [b.places for b in found], picture.flatten(), text)
    tokens, probabilities = (t.unflatten(0, (len(PICTURES), -1)) for t in out)
    return tokens, probabilities
