"""Hard negatives: is the picture's caption told from one in which a single word was exchanged, and which words are?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...data.synthetic.grammar import Kind
from ...data.synthetic.hard_negatives import hard_negative
from ...data.synthetic.scenes import Scene
from ..context import EvalContext
from ..result import Result
from .masked_words import stranger

SCENES = 1000  # looked through, of several objects
EACH = 200  # captions of a kind, at most
CONTROL = "ITM, another picture"
KINDS: dict[Kind, str] = {"noun": "name", "size": "size", "colour": "colour", "count": "count",
                          "relation": "relation", "negation": "negation"}  # fmt: skip


def score(subject: EvalContext) -> list[Result]:
    """By kind of the word exchanged: how often the caption scores above its false twin, for ITM and for ITC.

    Baseline: a coin. "Another picture" shows nothing that the caption names: what is reached there is known from the
    sentences alone. Kinds that the world's captions do not have are left out.
    """
    scenes = subject.scenes("matching", SCENES, objects=(2, 4))
    by_kind: dict[Kind, list[Twin]] = {}
    for k in KINDS:
        if some := twins(subject, scenes, k):
            by_kind[k] = some
    every = [twin for some in by_kind.values() for twin in some]
    texts = [text for twin in every for text in (twin.caption, twin.false)]
    own, other = (torch.tensor([getattr(t, w) for t in every]).repeat_interleave(2) for w in ("scene", "other"))
    text = torch.arange(len(texts))
    scores = {
        "ITM": subject.matches(scenes, texts, own, text),
        "ITC": (subject.image_features(scenes)[own] * subject.text_features(texts)).sum(1),
        CONTROL: subject.matches(scenes, texts, other, text),
    }
    kind = np.repeat(list(by_kind), [len(some) for some in by_kind.values()])
    return [
        subject.result(
            f"matching ({KINDS[k]} exchanged)",
            condition,
            "accuracy",
            right[kind == k],
            0.5,
            "a coin",
            1.0,
            better="" if condition == CONTROL else "higher",
        )
        for k in by_kind
        for condition, right in {name: told(s.numpy()) for name, s in scores.items()}.items()
    ]


@dataclass(frozen=True)
class Twin:
    scene: int  # the caption's own picture ...
    other: int  # ... and another, which shows nothing that the caption names
    caption: str
    false: str


def twins(subject: EvalContext, scenes: Sequence[Scene], kind: Kind) -> list[Twin]:
    """One a scene, of so many scenes as there are wanted and have one."""
    rng, found = subject.rng("matching", kind), []
    for i, scene in enumerate(scenes):
        if len(found) == EACH:
            break
        false, other = hard_negative(scene.caption, scene, kind, subject.world, rng), stranger(scenes, i)
        if false and other is not None:
            found.append(Twin(i, other, scene.caption.text, false.text))
    return found


def told(scores: np.ndarray) -> np.ndarray:
    """(2 n,) scores, by turns of caption and twin -> (n,): 1 where the caption's is higher, half where equal"""
    caption, twin = scores[::2], scores[1::2]
    return (caption > twin) + 0.5 * (caption == twin)
