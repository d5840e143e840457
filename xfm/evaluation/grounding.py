"""Grounding: the box of the object that a phrase names (X-FM, 4.2: accuracy at an IoU of 0.5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..data.scenes import Scene
from ..objectives.bbp import overlap
from .result import Result
from .subject import Subject

SCENES = 560  # of one to four objects: about 420 have several
ENOUGH = 0.5  # the IoU from which a box is right


def score(subject: Subject) -> list[Result]:
    """Over all phrases, and over those of pictures with several objects, where it matters which is meant.

    Controls: the best constant box, found on training scenes; the box of any object of the picture; the box for the
    phrase of another object of the picture. Phrases of one picture are resampled together.
    """
    scenes = subject.scenes("grounding", SCENES)
    phrases, owner, true = sought(scenes)
    predicted = subject.boxes(scenes, phrases, owner)
    constant = best_constant(sought(subject.scenes("grounding", SCENES, "train"))[2])
    several = torch.tensor([len(s.objects) for s in scenes])[owner] > 1
    other = swapped(owner)
    results = []
    for task, kept in (("grounding", torch.ones_like(several)), ("grounding (several objects)", several)):
        ours, theirs, target, group = predicted[kept], predicted[other][kept], true[kept], owner[kept]
        iou, always = iou_of(ours, target), iou_of(constant.expand_as(target), target)
        accuracies = {"": right(iou), "any object's box": any_object(owner, true)[kept]}
        if kept is several:
            accuracies["swapped phrase"] = right(iou_of(theirs, target))
        control, name = right(always).mean().item(), "best constant box"
        results += [
            subject.result(task, condition, "acc@0.5", scores, control, name, 1.0, group)
            for condition, scores in accuracies.items()
        ]
        results.append(subject.result(task, "", "mean IoU", iou, always.mean().item(), name, 1.0, group))
    return results


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
