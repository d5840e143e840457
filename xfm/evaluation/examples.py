"""Single answers of a model, as plain data for figures: not chosen by whether they are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..config import RunConfig
from ..data.scenes import Scene, Split
from ..data.tokenizer import Tokenizer
from ..model import XFM
from .grounding import ENOUGH, iou_of, sought
from .imlm import SCENES as CAPTIONS
from .imlm import Blank, blanks, guesses
from .retrieval import checked_gallery, ranks, similarity
from .subject import Subject, examining

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


@dataclass(frozen=True, eq=False)
class Grounded:
    image: np.ndarray
    phrase: str
    predicted: Box
    true: Box
    iou: float

    @property
    def right(self) -> bool:
        return self.iou >= ENOUGH


@dataclass(frozen=True, eq=False)
class Masked:
    """A name was hidden in a caption, and guessed beside its picture and beside another."""

    image: np.ndarray
    other_image: np.ndarray
    caption: str  # with ____ for the word
    word: str
    guesses: tuple[Guess, ...]  # three, the likeliest first
    other_guesses: tuple[Guess, ...]


@dataclass(frozen=True)
class Examples:
    retrieval: tuple[Retrieved, ...]
    grounding: tuple[Grounded, ...]
    words: tuple[Masked, ...]


def examples(model: XFM, config: RunConfig, tokenizer: Tokenizer, split: Split = "test", n: int = 6, seed: int = 0
             ) -> Examples:  # fmt: skip
    """The first n answers of each task, to questions that `evaluate` asks too; the model's mode is restored."""
    subject = Subject(model, config, tokenizer, split, seed)
    with examining(model):
        return Examples(retrieved(subject, n), grounded(subject, n), masked(subject, n))


def retrieved(subject: Subject, n: int) -> tuple[Retrieved, ...]:
    gallery = checked_gallery(lambda i: subject.scene("retrieval", i))
    scores = similarity(subject, gallery)
    rank, near = ranks(scores), scores.topk(TOP, 1).indices.tolist()

    def example(i: int, scene: Scene) -> Retrieved:
        top = tuple((gallery[j].caption.text, scores[i, j].item(), j == i) for j in near[i])
        return Retrieved(scene.image, scene.caption.text, int(rank[i]), top)

    return tuple(example(i, scene) for i, scene in enumerate(gallery[:n]))


def grounded(subject: Subject, n: int) -> tuple[Grounded, ...]:
    """One phrase a picture, of pictures with several objects."""
    scenes = [s for s in subject.scenes("grounding", 4 * n + 16) if len(s.objects) > 1][:n]
    phrases, owner, true = sought(scenes)
    predicted = subject.boxes(scenes, phrases, owner)
    iou = iou_of(predicted, true).tolist()
    first = torch.searchsorted(owner, torch.arange(len(scenes))).tolist()
    return tuple(
        Grounded(s.image, phrases[r], tuple(predicted[r].tolist()), tuple(true[r].tolist()), iou[r])
        for s, r in zip(scenes, first, strict=True)
    )


def masked(subject: Subject, n: int) -> tuple[Masked, ...]:
    """Only names of one token: the others' guesses are no words."""
    scenes = subject.scenes("imlm", min(CAPTIONS, 4 * n + 16))
    found = [b for b in blanks(subject, scenes, "noun") if len(b.tokens) == 1][:n]
    tokens, probabilities = guesses(subject, scenes, found)

    def words(picture: int, i: int) -> tuple[Guess, ...]:
        rows = zip(tokens[picture, i, 0].tolist(), probabilities[picture, i, 0].tolist(), strict=True)
        return tuple((subject.tokenizer.decode([token]), p) for token, p in rows)

    def example(i: int, b: Blank, scene: Scene) -> Masked:
        text = scene.caption.text
        blank = text[: b.start] + BLANK + text[b.end :]
        return Masked(scene.image, scenes[b.other].image, blank, text[b.start : b.end], words(0, i), words(1, i))

    return tuple(example(i, b, scenes[b.scene]) for i, b in enumerate(found))
