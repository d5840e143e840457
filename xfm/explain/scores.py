"""What attributions are scored by (`faithfulness.py`): names, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    says: str
    higher_is_better: bool = True
    truth: bool = False  # needs to know what the text is about


SCORES: dict[str, Score] = {
    "pointing game": Score("share of the largest number's pixels that are in the object", truth=True),
    "mass in mask": Score("share of the positive numbers that are in the object", truth=True),
    "average precision": Score("pixels ranked by number, those of the object as right", truth=True),
    "mass on name": Score("share of the positive numbers that are on the words that name the object", truth=True),
    "insertion, image": Score("mean score while patches are put in, largest number first"),
    "deletion, image": Score("mean score while patches are taken away, largest number first", False),
    "insertion, text": Score("the same with word pieces"),
    "deletion, text": Score("the same with word pieces", False),
    "infidelity": Score("share of the score's changes, when parts go, that the numbers do not explain", False),
    "sensitivity": Score("largest relative change of the numbers when the inputs are moved a little", False),
}
