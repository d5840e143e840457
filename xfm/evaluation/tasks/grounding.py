"""Grounding: the box of the object that a phrase names (X-FM, 4.2: accuracy at an IoU of 0.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.synthetic.scenes import MOST, Scene
from ...objectives.bbp import overlap
from ...recipes import LEVELS
from ..context import EvalContext
from ..result import Better, Result

HARDER = ("rotated", "alike", "cluttered", "occluded", "hard")
HARD_SCENES = 200  # of each level
SCENES = 560  # of one to four objects: about 420 have several
ENOUGH = 0.5  # the IoU from which a box is right


def score(subject: EvalContext) -> list[Result]:
    """Over all phrases; over those of pictures with several objects, where it matters which is meant; by size of the
    object, by number of objects, and on harder pictures than the model may have been trained on.

    Baselines: the best constant box, found on training scenes; the box of any object of the picture; the box for the
    phrase of another object of the picture. Phrases of one picture are resampled together.
    """
    constant = best_constant(sought(subject.scenes("grounding", SCENES, "train"))[2])
    asked = ask(subject, subject.scenes("grounding", SCENES))
    crowd = torch.tensor([len(s.objects) for s in asked.scenes])[asked.owner]
    big = torch.tensor([o.size == "big" for s in asked.scenes for o in s.objects])
    results = []
    for task, kept in (("grounding", crowd > 0), ("grounding (several objects)", crowd > 1)):
        accuracies = {"": asked.right, "any object's box": any_object(asked.owner, asked.true)}
        if task != "grounding":
            accuracies["swapped phrase"] = right(iou_of(asked.predicted[swapped(asked.owner)], asked.true))
        results += [
            row(subject, task, name, scores, asked, constant, kept, better="" if name else "higher")
            for name, scores in accuracies.items()
        ]
        results.append(row(subject, task, "", asked.iou, asked, constant, kept, "mean IoU"))
    parts = {"big object": big, "small object": ~big}
    parts |= {f"one of {n}" if n > 1 else "alone": crowd == n for n in range(1, MOST + 1)}
    for part, kept in parts.items():
        if kept.any():
            results.append(row(subject, "grounding (by size and number)", part, asked.right, asked, constant, kept))
    for level in HARDER:
        hard = subject.on(LEVELS[level])
        asked = ask(hard, hard.scenes("grounding", HARD_SCENES))
        results.append(row(subject, "grounding (harder pictures)", level, asked.right, asked, constant))
    return results


@dataclass(frozen=True)
class Asked:
    scenes: Sequence[Scene]
    owner: Tensor  # (R,) the scene of each phrase
    true: Tensor  # (R, 4)
    predicted: Tensor  # (R, 4)

    @property
    def iou(self) -> Tensor:
        return iou_of(self.predicted, self.true)

    @property
    def right(self) -> Tensor:
        return right(self.iou)


def ask(subject: EvalContext, scenes: Sequence[Scene]) -> Asked:
    phrases, owner, true = sought(scenes)
    return Asked(scenes, owner, true, subject.boxes(scenes, phrases, owner))


def row(
    subject: EvalContext,
    task: str,
    condition: str,
    scores: Tensor,
    asked: Asked,
    constant: Tensor,
    kept: Tensor | slice = slice(None),
    metric: str = "acc@0.5",
    better: Better = "higher",
) -> Result:
    """The result over the phrases `kept` (R,) bool, beside what the best constant box reaches on them."""
    always = iou_of(constant.expand_as(asked.true), asked.true)
    baseline = (always if metric == "mean IoU" else right(always))[kept].mean().item()
    return subject.result(
        task, condition, metric, scores[kept], baseline, "best constant box", 1.0, asked.owner[kept], better
    )


def sought(scenes: Sequence[Scene]) -> tuple[list[str], Tensor, Tensor]:
    """All phrases (R) of the scenes, the scene of each (R,), the box that each names (R, 4)."""
    owner = torch.tensor([i for i, s in enumerate(scenes) for _ in s.objects])
    return [p.text for s in scenes for p in s.phrases], owner, torch.tensor([o.box for s in scenes for o in s.objects])


def swapped(owner: Tensor) -> Tensor:
    """(R,) for each phrase the next one of the same picture, after its last its first."""
    place = torch.arange(len(owner))
    first = torch.searchsorted(owner, owner)
    last = torch.searchsorted(owner, owner, right=True) - 1
    return torch.where(place < last, place + 1, first)


def any_object(owner: Tensor, true: Tensor) -> Tensor:
    """(R,) the chance of being right with the box of any object of the picture, drawn evenly."""
    pictures = [true[owner == i] for i in owner.unique()]
    return torch.cat([right(iou_of(boxes[:, None], boxes)).mean(1) for boxes in pictures])


def best_constant(boxes: Tensor) -> Tensor:
    """(4,) the one box that is right most often for boxes (R, 4), of a grid of places and sizes."""
    centre, size = torch.linspace(0.14, 0.86, 10), torch.linspace(0.2, 0.6, 9)
    grid = torch.cartesian_prod(centre, centre, size, size)
    return grid[torch.cat([right(iou_of(some[:, None], boxes)).mean(1) for some in grid.split(2048)]).argmax()]


def iou_of(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes (..., 4), broadcast -> (...)"""
    return overlap(*torch.broadcast_tensors(a, b))[0]


def right(iou: Tensor) -> Tensor:
    return (iou >= ENOUGH).float()
