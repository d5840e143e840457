"""What the published protocols do around the models: texts, boxes and answers (github.com/zhangxinsong-nlp/XFM)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

_DROPPED = re.compile(r"[,.'!?\"()*#:;~]")
CAPTION_WORDS, QUESTION_WORDS = 30, 30  # in training; captioning keeps 40 words, tests 50 of a question
AGREEING = 3  # of the other annotators, from which an answer is wholly right
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
ARTICLES = {"a", "an", "the"}
DIGITS = {word: str(i) for i, word in enumerate("zero one two three four five six seven eight nine ten".split())}
DIGITS["none"] = "0"
# Each is written as well with any one of its apostrophes left out.
CONTRACTIONS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
y'all y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()
APOSTROPHES = {
    whole[:at] + whole[at + 1 :]: whole for whole in CONTRACTIONS for at, c in enumerate(whole) if c == "'"
} | {"somebody'd": "somebodyd"}  # as the official list has it
"""Contractions with an apostrophe left out -> whole."""


class Protocol(NamedTuple):
    """A published fine-tuning: AdamW with betas .9 and .999, eps 1e-6 and no weight decay, one rate for all weights,
    which falls linearly from the first step to 0."""

    lr: float
    epochs: int
    batch: int


def caption_text(text: str, words: int | None = CAPTION_WORDS) -> str:
    """A caption as the multimodal tasks read it: lower case, no punctuation, at most so many words (None: all)."""
    return " ".join(_without_marks(text).replace("<person>", "person").split()[:words])


def question_text(text: str, words: int | None = QUESTION_WORDS) -> str:
    """A question likewise; its runs of spaces stay, as published, and count as words."""
    return " ".join(_without_marks(text).rstrip(" ").split(" ")[:words])


def _without_marks(text: str) -> str:
    return _DROPPED.sub(" ", text.lower()).replace("-", " ").replace("/", " ")


def inclusive_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU of boxes (x, y, w, h) in pixels, as RefCOCO's code counts the intersection: both edges are part of a box, of
    the areas they are not."""
    left, top = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[0] + a[2] - 1, b[0] + b[2] - 1), min(a[1] + a[3] - 1, b[1] + b[3] - 1)
    shared = (right - left + 1) * (bottom - top + 1) if right > left and bottom > top else 0.0
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


@lru_cache(maxsize=1 << 16)
def normalised(answer: str) -> str:
    """An answer as the VQA challenge compares it (github.com/GT-Vision-Lab/VQA, vqaEval.py): in lower case, without
    punctuation, articles and needless spaces, its numbers up to ten as digits, its contractions with their apostrophes.
    What is of marks and articles alone stays, in lower case: "a" may be the letter that is asked for. Only what is
    blank becomes ""."""
    answer = re.sub(r"[\n\t]", " ", answer).strip()
    thousands = re.search(r"\d,\d", answer) is not None
    text = answer
    for mark in PUNCTUATION:
        beside = f"{mark} " in answer or f" {mark}" in answer
        text = text.replace(mark, "" if beside or thousands else " ")
    text = re.sub(r"\.(?!\d)", "", text)
    digits = (DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(APOSTROPHES.get(word, word) for word in digits if word not in ARTICLES) or answer.lower()


def soft_accuracy(answer: str, given: Sequence[str]) -> float:
    """How right an answer is, in [0, 1], by the normalised ones of the people who were asked (ten of them in VQA): the
    mean over these of min(how many of the others say the same / 3, 1). Of fewer than four people all others must agree,
    of a single one there are no others: 1 where the answer is that one's.

    The official code normalises the answer, leaves alone what people said where all said the same, and takes but the
    punctuation from the rest; so there it finds no answer right that people gave with an article or with a number as a
    word. Here all are normalised alike.
    """
    same = sum(other == answer for other in given)
    if len(given) == 1:
        return float(same)
    needed = min(AGREEING, len(given) - 1)
    leaving_out = (same - (other == answer) for other in given)
    return sum(min(others / needed, 1.0) for others in leaving_out) / len(given)
