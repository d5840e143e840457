"""Faithfulness scores: what each measures, and which direction is better. `faithfulness.py` computes them."""

from __future__ import annotations

from dataclasses import dataclass

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
