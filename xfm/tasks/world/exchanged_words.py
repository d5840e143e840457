"""Hard negatives (task "matching"): does the caption score above the same one with a single word exchanged?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...base.strings import CHANCE
from ...data.world.grammar import Kind
from ...data.world.hard_negatives import HARD_NEGATIVE_KINDS, hard_negative
from ...data.world.scenes import Scene
from ..context import EvalContext
from ..result import Result
from .masked_words import unrelated_scene

NEEDS = ("objects", "relations")
SCENES = 1000  # of several objects, from which captions are drawn
EACH = 200  # captions of a kind, at most
CONTROL = "ITM, another picture"
TASKS: dict[Kind, str] = {
    kind: f"matching ({'name' if kind == 'noun' else kind} exchanged)" for kind in HARD_NEGATIVE_KINDS
}


@dataclass(frozen=True)
class HardNegative:
    """A true caption and a false one that differ in a word."""

    scene: int  # the caption's own picture ...
    unrelated: int  # ... and another, which shows nothing that the caption names
    caption: str
    negative: str  # the caption with a word exchanged, false of the picture


def score(context: EvalContext) -> list[Result]:
    """Caption accuracy by kind of exchanged word: the share of captions that score above their negative, by ITC and,
    where the model has it, by ITM.

    Baseline: chance. The control condition pairs both texts with a picture that shows nothing the caption names; its
    accuracy measures what the texts alone give away. Kinds that the world's captions lack are left out.
    """
    scenes = context.scenes("matching", SCENES, objects=(2, 4))
    negatives_of = [(task, draw_negatives(context, scenes, kind)) for kind, task in TASKS.items()]
    by_task = {task: negatives for task, negatives in negatives_of if negatives}
    pairs = [pair for negatives in by_task.values() for pair in negatives]
    texts = [text for pair in pairs for text in (pair.caption, pair.negative)]
    right, unrelated = torch.tensor([(pair.scene, pair.unrelated) for pair in pairs]).T.repeat_interleave(2, 1)
    text = torch.arange(len(texts))
    by_itc = (context.image_features(scenes)[right] * context.text_features(texts)).sum(1)
    flat = {"ITC": by_itc}
    if "itm" in context.model.objectives:
        by_itm, without = (context.match_logits(scenes, texts, image, text) for image in (right, unrelated))
        flat = {"ITM": by_itm, "ITC": by_itc, CONTROL: without}
    scores = {condition: s.unflatten(0, (-1, 2)).T.numpy() for condition, s in flat.items()}  # captions, negatives
    task_of = np.repeat(list(by_task), [len(negatives) for negatives in by_task.values()])
    results = []
    for task in by_task:
        for condition, (caption, negative) in scores.items():
            correct = ((caption > negative) + 0.5 * (caption == negative))[task_of == task]  # a tie counts half
            better = "" if condition == CONTROL else "higher"
            results.append(context.result(task, condition, "accuracy", correct, (0.5, CHANCE), 1.0, better=better))
    return results


def draw_negatives(context: EvalContext, scenes: Sequence[Scene], kind: Kind) -> list[HardNegative]:
    """At most one a scene and EACH in all, of the first scenes that have one."""
    rng, negatives = context.rng("matching", kind), []
    for i, scene in enumerate(scenes):
        if len(negatives) == EACH:
            break
        negative, unrelated = hard_negative(scene.caption, scene, kind, context.world, rng), unrelated_scene(scenes, i)
        if negative and unrelated is not None:
            negatives.append(HardNegative(i, unrelated, scene.caption.text, negative.text))
    return negatives
