"""What the published protocols do around the models: texts and boxes (github.com/zhangxinsong-nlp/XFM)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_DROPPED = re.compile(r"[,.'!?\"()*#:;~]")
CAPTION_WORDS, QUESTION_WORDS = 30, 30  # in training; captioning keeps 40 words, tests 50 of a question


class Protocol(NamedTuple):
    """A published fine-tuning: AdamW with betas .9 and .999, eps 1e-6 and no weight decay, one rate for all weights,
    which falls linearly from the first step to 0."""

    lr: float
    epochs: int
    batch: int


def caption_text(text: str, words: int | None = CAPTION_WORDS) -> str:
    """A caption as the multimodal tasks read it: lower case, no punctuation, at most so many words (None: all)."""
    text = _DROPPED.sub(" ", text.lower()).replace("-", " ").replace("/", " ").replace("<person>", "person")
    return " ".join(text.split()[:words])


def question_text(text: str, words: int | None = QUESTION_WORDS) -> str:
    """A question likewise; its runs of spaces stay, as published, and count as words."""
    text = _DROPPED.sub(" ", text.lower()).replace("-", " ").replace("/", " ").rstrip(" ")
    return " ".join(text.split(" ")[:words])


def inclusive_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU of boxes (x, y, w, h) in pixels, as RefCOCO's code counts the intersection: both edges are part of a box, of
    the areas they are not."""
    left, top = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2] - 1, b[0] + b[2] - 1), min(a[1] + a[3] - 1, b[1] + b[3] - 1)
    shared = (right - left + 1) * (bottom - top + 1) if right > left and bottom > top else 0.0
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)
