"""Attributions: a number for each word piece and each patch, by one method.

def contrast(inputs: AttributionInputs) -> Attribution:  # a method
    return Attribution.of(inputs, text=..., patches=...)

explain.attribute(inputs, contrast)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base.html_card import card, clipped, picture, table
from ..base.numbers import significant
from .inputs import AttributionInputs
from .token_axes import PatchAxis, TokenAxis

TARGET = "the target's unit"  # a part of the target's score, or of its change
SHARE = "share of attention"
_BLUE, _ORANGE = (0, 114, 178), (194, 84, 0)  # for and against, as in every figure
_TOP = 5  # words and patches of a card


@dataclass(frozen=True, repr=False)
class Attribution:
    """Attribution of one target by one method: a number for each word piece (L,) and each patch (P,).

    A method returns `Attribution.of(inputs, text, patches)`; `explain.attribute` adds the method's name, the target,
    the costs and the score.
    """

    method: str
    target: str
    text: Tensor  # (L,) a number a word piece, float32 on the CPU
    patches: Tensor  # (P,) a number a patch
    words: TokenAxis
    grid: PatchAxis
    signed: bool = False  # whether below 0 means: against the target
    seconds: float = 0.0
    pairings: int = 0  # image-text pairs that the model scored
    score: float = math.nan  # of the target
    gap: float | None = None  # completeness: the sum of all numbers minus `AttributionInputs.total_effect`
    unit: str = ""  # of the numbers: TARGET, SHARE; "": the method's own, to be compared with no other
    complete: bool = False  # whether the numbers should sum to `AttributionInputs.total_effect`
    picture: np.ndarray | None = None  # (side, side, 3) uint8
    credit: str = ""  # what figures of the picture must say
    function: Method | None = None  # what computed it

    @classmethod
    def of(
        cls,
        inputs: AttributionInputs,
        text: Any,
        patches: Any,
        *,
        signed: bool = False,
        unit: str = "",
        complete: bool = False,
    ) -> Attribution:
        """Build what a method returns.

        Args:
            text: a number a word piece, (L,); a tensor, an array or a list.
            patches: a number a patch, (P,).
            signed: whether below 0 means: against the target.
            unit: TARGET for parts of the target's score, SHARE for shares of attention, "" for the method's own.
            complete: whether all numbers should sum to `inputs.total_effect()`.
        """
        known: Any = {"picture": inputs.image, "credit": inputs.credit}
        return cls("", inputs.target.name, text, patches, inputs.words, inputs.grid, signed, unit=unit,
                   complete=complete, **known)  # fmt: skip

    @property
    def image(self) -> Tensor:
        """(side, side): each pixel has its patch's number."""
        return self.grid.pixels(self.patches)

    def by_word(self) -> dict[str, float]:
        """The sum over each word's pieces; a word that occurs twice is followed by its place, "a (4)"."""
        values = self.words.joined(self.text).tolist()
        names = [f"{w} ({i})" if self.words.words.count(w) > 1 else w for i, w in enumerate(self.words.words)]
        return dict(zip(names, values, strict=True))

    def __repr__(self) -> str:
        text = f"{clipped(self.method)} of {clipped(self.target)}, score {significant(self.score)}"
        return f"Attribution({text}, {len(self.words.words)} words, {len(self.patches)} patches)"

    def _repr_html_(self) -> str:
        strongest = sorted(self.by_word().items(), key=lambda pair: -abs(pair[1]))[:_TOP]
        words = table(("word", "number"), [(word, significant(value)) for word, value in strongest])
        order = self.patches.abs().argsort(descending=True, stable=True)[:_TOP].tolist()
        places = [(f"row {i // self.grid.grid}, column {i % self.grid.grid}", self.patches[i].item()) for i in order]
        patches = table(("patch", "number"), [(place, significant(value)) for place, value in places])
        heading = f"{self.method} of {self.target}, score {significant(self.score)}"
        return card(heading, picture(_overlaid(self), self.credit), words, patches)


Method = Callable[..., Attribution]  # of `AttributionInputs`; and of `seed` and `progress`, where it names them


def _overlaid(one: Attribution) -> np.ndarray:
    """(side, side, 3) uint8: the picture in grey under its patches' numbers, positive blue and negative orange."""
    numbers = one.image.numpy()
    below = np.full((*numbers.shape, 3), 255.0) if one.picture is None else one.picture.mean(-1, keepdims=True)
    cover = 0.75 * np.abs(numbers)[..., None] / max(float(np.abs(numbers).max()), 1e-12)
    colour = np.where(numbers[..., None] < 0, _ORANGE, _BLUE)
    return (cover * colour + (1 - cover) * below).round().astype(np.uint8)


def normalise_positive(values: Tensor) -> Tensor:
    """The positive part, summing to 1; 0 everywhere where there is none."""
    positive = values.clamp_min(0)
    return positive / positive.sum().clamp_min(torch.finfo(positive.dtype).tiny)


ALIKE = "all alike"  # of infidelity, the numbers that explain how much is masked and no more


@dataclass(frozen=True)
class Score:
    """One faithfulness score."""

    description: str
    higher_is_better: bool = True
    truth: bool = False  # needs ground truth


SCORES: dict[str, Score] = {
    "pointing game": Score("share of the pixels of the largest number that are in the object", truth=True),
    "mass in mask": Score("share of the positive numbers that is in the object", truth=True),
    "average precision": Score("pixels ranked by their number, those of the object as positives", truth=True),
    "mass on name": Score("share of the positive numbers that is on the words that name the object", truth=True),
    "insertion, image": Score("mean score while patches are inserted, largest number first"),
    "deletion, image": Score("mean score while patches are masked, largest number first", False),
    "insertion, text": Score("the same with word pieces"),
    "deletion, text": Score("the same with word pieces", False),
    "infidelity": Score("share of the score's changes under masking that the numbers do not explain", False),
    "sensitivity": Score("largest relative change of the numbers when the inputs are shifted a little", False),
}
