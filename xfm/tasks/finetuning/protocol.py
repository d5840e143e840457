"""What the published protocols do around the models: texts, boxes, learning rates (github.com/zhangxinsong-nlp/XFM)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

__all__ = ["caption_text", "cosine_rate", "inclusive_iou", "linear_rate", "question_text"]

_DROPPED = re.compile(r"[,.'!?\"()*#:;~]")
CAPTION_WORDS, QUESTION_WORDS = 30, 30  # in training; captioning keeps 40 words, tests 50 of a question


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


def linear_rate(step: int, steps: int, warmup: float = 0.1) -> float:
    """Share of the peak learning rate: 0 at step 0, the peak after `warmup` of all steps, 0 at the end."""
    warm = int(warmup * steps)
    return step / warm if step < warm else max(0.0, (steps - step) / (steps - warm))


def cosine_rate(
    epoch: float, epochs: float = 100, warmup: float = 10, peak: float = 4e-5, least: float = 1e-7
) -> float:
    """The learning rate of ImageNet fine-tuning; `epoch` may be a fraction."""
    if epoch < warmup:
        return peak * epoch / warmup
    return least + (peak - least) / 2 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))
