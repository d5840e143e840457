"""Single answers of a model, as plain data for figures: in the order of the questions, whether right or wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
import torch

from ..config import RunConfig
from ..data.synthetic.scenes import Scene, Split
from ..data.tokenizer import Tokenizer
from ..model import XFM
from .context import EvalContext, inference_mode
from .tasks import grounding, masked_words, retrieval

TOP = 3
BLANK = "____"
Box = tuple[float, float, float, float]  # (cx, cy, w, h), shares of the picture's sides
Guess = tuple[str, float]  # a word, its probability


@dataclass(frozen=True, eq=False)
class Retrieved:
    """A picture sought its caption among 256."""

    image: np.ndarray  # (side, side, 3) uint8
    caption: str
    rank: int  # of it; 0 is right
    top: tuple[tuple[str, float, bool], ...]  # the three nearest: caption, cosine, whether it is the right one

    @property
    def right(self) -> bool:
        return self.rank == 0


@dataclass(frozen=True, eq=False)
class Grounded:
    image: np.ndarray
    phrase: str
    predicted: Box
    true: Box
    iou: float

    @property
    def right(self) -> bool:
        return self.iou >= grounding.ENOUGH


@dataclass(frozen=True, eq=False)
class Masked:
    """A name was hidden in a caption, and guessed beside its picture and beside another."""

    image: np.ndarray
    other_image: np.ndarray
    caption: str  # with ____ for the word
    word: str
    guesses: tuple[Guess, ...]  # three, the likeliest first
    other_guesses: tuple[Guess, ...]

    @property
    def right(self) -> bool:
        """Beside its picture."""
        return self.guesses[0][0].strip() == self.word


@dataclass(frozen=True)
class Examples:
    retrieval: tuple[Retrieved, ...]
    grounding: tuple[Grounded, ...]
    words: tuple[Masked, ...]


class Answer(Protocol):
    @property
    def right(self) -> bool: ...


A = TypeVar("A", bound=Answer)


def right_and_wrong(answers: Sequence[A], n: int = 4) -> tuple[list[A], list[A]]:
    """The first n that are right and the first n that are wrong, or as many as there are."""
    return [a for a in answers if a.right][:n], [a for a in answers if not a.right][:n]


def examples(
    model: XFM, config: RunConfig, tokenizer: Tokenizer, split: Split = "test", n: int = 6, seed: int = 0
) -> Examples:
    """The answers to the first n questions of each task that `evaluate` asks too, or to all where those are fewer (256
    of retrieval, about 420 of grounding, 1000 of hidden names). The model's mode is restored."""
    subject = EvalContext(model, config, tokenizer, split, seed)
    with inference_mode(model):
        return Examples(retrieved(subject, n), grounded(subject, n), masked(subject, n))


def retrieved(subject: EvalContext, n: int) -> tuple[Retrieved, ...]:
    gallery = retrieval.checked_gallery(lambda i: subject.scene("retrieval", i), retrieval.GALLERY)
    scores = retrieval.similarity(subject, gallery)
    rank, near = retrieval.ranks(scores), scores.topk(TOP, 1).indices.tolist()

    def example(i: int, scene: Scene) -> Retrieved:
        top = tuple((gallery[j].caption.text, scores[i, j].item(), j == i) for j in near[i])
        return Retrieved(scene.image, scene.caption.text, int(rank[i]), top)

    return tuple(example(i, scene) for i, scene in enumerate(gallery[:n]))


def grounded(subject: EvalContext, n: int) -> tuple[Grounded, ...]:
    """One phrase a picture, of pictures with several objects."""
    scenes = list(islice((s for s in drawn(subject, "grounding", grounding.SCENES) if len(s.objects) > 1), n))
    phrases, owner, true = grounding.sought(scenes)
    predicted = subject.boxes(scenes, phrases, owner)
    iou = grounding.iou_of(predicted, true).tolist()
    first = torch.searchsorted(owner, torch.arange(len(scenes))).tolist()
    return tuple(
        Grounded(s.image, phrases[r], tuple(predicted[r].tolist()), tuple(true[r].tolist()), iou[r])
        for s, r in zip(scenes, first, strict=True)
    )


def drawn(subject: EvalContext, task: str, most: int) -> Iterator[Scene]:
    return (subject.scene(task, i) for i in range(most))


def masked(subject: EvalContext, n: int) -> tuple[Masked, ...]:
    """Only names of one token: the others' guesses are no words."""
    scenes = list(islice(drawn(subject, "imlm", masked_words.SCENES), 4 * n + 16))
    found = [b for b in masked_words.blanks(subject, scenes, "noun") if len(b.tokens) == 1][:n]
    tokens, probabilities = masked_words.guesses(subject, scenes, found)

    def words(picture: int, i: int) -> tuple[Guess, ...]:
        rows = zip(tokens[picture, i, 0].tolist(), probabilities[picture, i, 0].tolist(), strict=True)
        return tuple((subject.tokenizer.decode([token]), p) for token, p in rows)

    def example(i: int, b: masked_words.Blank, scene: Scene) -> Masked:
        text = scene.caption.text
        blank = text[: b.start] + BLANK + text[b.end :]
        return Masked(scene.image, scenes[b.other].image, blank, text[b.start : b.end], words(0, i), words(1, i))

    return tuple(example(i, b, scenes[b.scene]) for i, b in enumerate(found))
