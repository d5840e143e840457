"""Single predictions of a model as plain data for figures, in the order of the samples, whether right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
import torch

from ..base.workers import gather
from ..config import RunConfig
from ..data.source import Box, Split
from ..data.tokenizer import Tokenizer
from ..model import XFM
from .context import EvalContext, NothingToAsk, reproducibly
from .task_registry import why_not
from .world import grounding, masked_words, retrieval

TOP = 3
BLANK = "____"
Guess = tuple[str, float]  # a word, its probability


@dataclass(frozen=True, eq=False)
class Retrieved:
    """The captions that are nearest to a picture, among 256."""

    image: np.ndarray  # (side, side, 3) uint8
    caption: str  # its own
    rank: int  # of that; 0 is right
    top: tuple[tuple[str, float, bool], ...]  # the three nearest: caption, cosine, whether it is the right one

    @property
    def right(self) -> bool:
        return self.rank == 0


@dataclass(frozen=True, eq=False)
class Grounded:
    """A phrase with its predicted and its true box (cx, cy, w, h), shares of the picture's sides."""

    image: np.ndarray
    phrase: str
    predicted: Box
    true: Box
    iou: float

    @property
    def right(self) -> bool:
        return self.iou >= grounding.IOU


@dataclass(frozen=True, eq=False)
class Masked:
    """A name masked in a caption, and its prediction with the right picture and with an unrelated one."""

    image: np.ndarray
    other_image: np.ndarray
    caption: str  # with ____ for the word
    word: str
    guesses: tuple[Guess, ...]  # three, the most probable first
    other_guesses: tuple[Guess, ...]

    @property
    def right(self) -> bool:
        """With the right picture."""
        return self.guesses[0][0].strip() == self.word


@dataclass(frozen=True)
class Examples:
    """Empty where the data source, or the model, lacks what the task needs."""

    retrieval: tuple[Retrieved, ...]
    grounding: tuple[Grounded, ...]
    words: tuple[Masked, ...]


P = TypeVar("P", Retrieved, Grounded, Masked)


def right_and_wrong(predictions: Sequence[P], n: int = 4) -> tuple[list[P], list[P]]:
    """The first n that are right and the first n that are wrong, or as many as there are."""
    return [p for p in predictions if p.right][:n], [p for p in predictions if not p.right][:n]


def examples(
    model: XFM, config: RunConfig, tokenizer: Tokenizer, split: Split = "test", n: int = 6, seed: int = 0
) -> Examples:
    """Predictions for the first n test samples of each task, the samples of `evaluate` (at most 256 of retrieval, about
    420 of grounding, 1000 of masked names). The model's mode is restored."""
    context = EvalContext(model, config, tokenizer, split, seed)
    with reproducibly(model):
        tasks = {"retrieval": _retrieved, "grounding": _grounded, "imlm": _masked}
        available = [task for task in tasks if not why_not(task, config, context.source)]
        calls = {task: partial(tasks[task], context, n) for task in available}
        shown = dict(zip(calls, gather([*calls.values()]), strict=True))
        return Examples(*(shown.get(task, ()) for task in tasks))


def _retrieved(context: EvalContext, n: int) -> tuple[Retrieved, ...]:
    try:
        pairs = retrieval.distinct_pairs(context.examples("retrieval", retrieval.ATTEMPTS))
    except NothingToAsk:
        return ()
    scores = retrieval.similarities(context, pairs)
    rank, nearest = retrieval.ranks(scores), scores.topk(min(TOP, len(pairs)), 1).indices.tolist()
    tops = [tuple((pairs[j].text, scores[i, j].item(), j == i) for j in row) for i, row in enumerate(nearest)]
    return tuple(Retrieved(p.image, p.text, int(rank[i]), tops[i]) for i, p in enumerate(pairs[:n]))


def _grounded(context: EvalContext, n: int) -> tuple[Grounded, ...]:
    """The first phrase of each picture with several objects."""
    drawn = context.examples("grounding", grounding.SCENES, "boxes")
    scenes = list(islice((s for s in drawn if len({region.box for region in s.regions}) > 1), n))
    if not scenes:
        return ()
    phrases, owner, true, predicted = grounding.predict(context, scenes)
    iou = grounding.box_iou(predicted, true).tolist()
    first = torch.searchsorted(owner, torch.arange(len(scenes))).tolist()
    return tuple(
        Grounded(s.image, phrases[r], tuple(predicted[r].tolist()), tuple(true[r].tolist()), iou[r])
        for s, r in zip(scenes, first, strict=True)
    )


def _masked(context: EvalContext, n: int) -> tuple[Masked, ...]:
    """Only names of one token: the parts of others are no words."""
    scenes = context.scenes("imlm", min(masked_words.SCENES, 4 * n + 16))
    spans = [s for s in masked_words.mask_spans(context, scenes, "noun") if len(s.tokens) == 1][:n]
    tokens, probabilities = masked_words.predict(context, scenes, spans)

    def guesses(picture: int, i: int) -> tuple[Guess, ...]:
        rows = zip(tokens[picture, i, 0].tolist(), probabilities[picture, i, 0].tolist(), strict=True)
        return tuple((context.tokenizer.decode([token]), p) for token, p in rows)

    masked = []
    for i, span in enumerate(spans):
        scene, unrelated = scenes[span.scene], scenes[span.unrelated]
        blanked = scene.text[: span.start] + BLANK + scene.text[span.end :]
        word = scene.text[span.start : span.end]
        masked.append(Masked(scene.image, unrelated.image, blanked, word, guesses(0, i), guesses(1, i)))
    return tuple(masked)
