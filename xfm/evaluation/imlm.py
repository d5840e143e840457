"""Masked words of captions: guessed with the right picture, and with one that shows nothing the caption names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..data.grammar import Caption, Kind
from ..data.scenes import Scene
from .result import Result
from .subject import Subject

SCENES = 1000
KINDS: tuple[Kind, ...] = ("noun", "size", "count", "relation")
TASKS = {"noun": "masked names", "size": "masked sizes", "count": "masked counts", "relation": "masked relations"}


@dataclass(frozen=True)
class Blank:
    """One caption with all tokens of one span hidden, and nothing else."""

    scene: int  # its picture ...
    other: int  # ... and another, which shows nothing that the caption names
    text: tuple[int, int]  # the characters hidden
    masked: list[int]  # token ids
    places: list[int]  # of the hidden tokens
    tokens: list[int]  # what stood there


def imlm(subject: Subject) -> list[Result]:
    """A word is right when all its tokens are, guessed at once; "first token" asks for the first alone."""
    scenes = subject.scenes("imlm", SCENES)
    results = []
    for kind in KINDS:
        task = TASKS[kind]
        if not (found := blanks(subject, scenes, kind)):
            continue
        right, wrong = (answers(subject, scenes, found, other) for other in (False, True))
        for i, metric in enumerate(("accuracy", "first token") if kind == "noun" else ("accuracy",)):
            control = wrong[:, i].mean()
            results += [
                subject.result(task, "right picture", metric, right[:, i], control, "wrong picture", 1.0),
                subject.result(task, "wrong picture", metric, wrong[:, i]),
                subject.result(task, "right - wrong", metric, right[:, i] - wrong[:, i], 0.0, "no effect"),
            ]
    return results


def blanks(subject: Subject, scenes: Sequence[Scene], kind: Kind) -> list[Blank]:
    """One a caption, of its spans of that kind; a name that the caption says twice is no blank: the other says it."""
    rng, found = subject.rng("imlm", kind), []
    for i, scene in enumerate(scenes):
        spans = [s for s in scene.caption.spans if s[2] == kind and not (kind == "noun" and said_twice(scene.caption, s))]
        ids, ranges = subject.tokenizer.encode_with_spans(scene.caption.text, spans, subject.config.data.caption_tokens)
        whole = [(s, r) for s, r in zip(spans, ranges, strict=True) if r[1] > r[0]]  # not cut off
        other = stranger(scenes, i)
        if whole and other is not None:
            (start, end, _), places = whole[int(rng.random() * len(whole))]
            masked = [subject.tokenizer.mask_id if places[0] <= p < places[1] else t for p, t in enumerate(ids)]
            found.append(Blank(i, other, (start, end), masked, list(range(*places)), ids[slice(*places)]))
    return found


def said_twice(caption: Caption, span: tuple[int, int, Kind]) -> bool:
    nouns = [s for s in caption.spans if s[2] == "noun"]
    names = [thing.name for thing, _ in zip(caption.things, nouns, strict=True)]
    ...
