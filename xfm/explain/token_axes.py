"""Axes of explanations: word pieces, joined to words, and patches, with their pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import repeat
from torch import Tensor

from ..base.fields import require
from ..data.tokenizer import Tokenizer


@dataclass(frozen=True)
class TokenAxis:
    """The axis of word pieces."""

    pieces: tuple[str, ...]  # "<s>", "a", "li", "on", "</s>"
    owner: tuple[int, ...]  # of each piece, its word; -1: none, as of <s>
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        """ConfigError for what is no text, and for owners that are no words."""
        for name in ("pieces", "words"):
            for i, text in enumerate(getattr(self, name)):
                require(isinstance(text, str), f"{name}[{i}]", text, "of type str")
        allowed = range(-1, len(self.words))
        fits = len(self.owner) == len(self.pieces) and all(owner in allowed for owner in self.owner)
        require(fits, "owner", self.owner, f"{len(self.pieces)} numbers of words, from -1 to {len(self.words) - 1}")

    @property
    def members(self) -> Tensor:
        """(words, pieces) bool"""
        return torch.tensor([[owner == word for owner in self.owner] for word in range(len(self.words))])

    def joined(self, values: Tensor) -> Tensor:
        """(..., pieces) -> (..., words): the sum over each word's pieces."""
        return values @ self.members.T.to(values.dtype)


@dataclass(frozen=True)
class PatchAxis:
    """The axis of image tokens: the pooled token of the image, then its patches, row by row."""

    grid: int  # patches a side
    size: int  # pixels a patch's side

    def rectangle(self, patch: int) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels of patch 0, 1, ... (token 1, 2, ...)."""
        row, column = divmod(patch, self.grid)
        return column * self.size, row * self.size, self.size, self.size

    def pixels(self, values: Tensor) -> Tensor:
        """(..., patches) -> (..., side, side): each pixel has its patch's value."""
        return repeat(values, "... (y x) -> ... (y p) (x q)", y=self.grid, p=self.size, q=self.size)

    def shares(self, mask: Tensor) -> Tensor:
        """(side, side) numbers, or a mask -> (patches,): the mean in each patch, of a mask the share that it covers."""
        return mask.float().unfold(0, self.size, self.size).unfold(1, self.size, self.size).mean((-1, -2)).flatten()


def token_axis(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> TokenAxis:
    """The pieces of a text, and the words, numbers and punctuation marks that they belong to."""
    pieces = ["<s>", *(tokenizer.decode([i]) for i in ids[1:-1]), "</s>"]
    return axis(text, pieces, [(0, 0), *tokenizer.backend.encode(text).offsets, (0, 0)])


def axis(text: str, pieces: Sequence[str], spans: Sequence[tuple[int, int]]) -> TokenAxis:
    """Pieces with the characters that each is, from and to: what has none, or white space, is of no word."""
    words = word_spans(text)
    owner = []
    for start, end in spans:
        inside = [word for word, (first, last) in enumerate(words) if first < end and last > start]
        owner.append(inside[0] if inside else -1)
    return TokenAxis(tuple(pieces), tuple(owner), tuple(text[first:last] for first, last in words))


def word_spans(text: str) -> list[tuple[int, int]]:
    """Words, numbers and punctuation marks: from and to which character."""
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
