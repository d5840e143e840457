"""Answers as the VQA challenge compares them (github.com/GT-Vision-Lab/VQA, vqaEval.py): normalised, then counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

AGREEING = 3  # of the others, from which an answer is wholly right
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
ARTICLES = {"a", "an", "the"}
NUMBERS = "zero one two three four five six seven eight nine ten".split()
DIGITS = {word: str(i) for i, word in enumerate(NUMBERS)} | {"none": "0"}
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


@lru_cache(maxsize=1 << 16)
def normalised(answer: str) -> str:
    """An answer in lower case, without punctuation, articles and needless spaces, its numbers up to ten as digits, its
    contractions with their apostrophes. What is of marks and articles alone stays, in lower case: "a" may be the letter
    that is asked for. Only what is blank becomes ""."""
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
    punctuation from the rest. The published annotations are not normalised, so that there it finds no answer right that
    people gave with an article or with a number as a word. Here all are normalised alike.
    """
    same = sum(other == answer for other in given)
    if len(given) == 1:
        return float(same)
    needed = min(AGREEING, len(given) - 1)
    leaving_out = (same - (other == answer) for other in given)
    return sum(min(others / needed, 1.0) for others in leaving_out) / len(given)
