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
    """Over all phrases, and over those of pictures with several objects, where it has to be found out which is meant.

    Controls: the best constant box, found on training scenes; any object of the picture; the phrase of another object.
    """
    scenes = subject.scenes("grounding", SCENES)
    phrases, owner, true = sought(scenes)
    predicted = subject.boxes(scenes, phrases, owner)
    constant = best_constant(sought(subject.scenes("grounding", SCENES, "train"))[2])
    several = torch.tensor([len(s.objects) for s in scenes])[owner] > 1
    other = swapped(owner)
    results = []
    for task, kept in (("grounding", several | True), ("grounding (several objects)", several)):
        ours, theirs, target, group = predicted[kept], predicted[other][kept], true[kept], owner[kept]
        iou = overlap(ours, target)[0]
        control = (overlap(constant.expand_as(target), target)[0] >= ENOUGH).float().mean()
        any_object = right_object(owner, true)[kept]
        rows = [("", "acc@0.5", iou >= ENOUGH), ("", "mean IoU", iou), ("any object's box", "acc@0.5", any_object)]
        if kept is several:
            rows.append(("swapped phrase", "acc@0.5", overlap(theirs, target)[0] >= ENOUGH))
        for condition, metric, scores in rows:
            shown = (control.item(), "best constant box") if metric == "acc@0.5" else (None, "")
            results.append(subject.result(task, condition, metric, scores.numpy(), *shown, 1.0, group.numpy()))
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


def right_object(owner: Tensor, true: Tensor) -> Tensor:
    """(R,) the chance of being right with the box of any object of the picture, drawn evenly."""
    same = owner[:, None] == owner
    right = overlap(true[:, None].expand(-1, len(true), -1), true[None].expand(len(true), -1, -1))[0] >= ENOUGH
    return (same & right).sum(1) / same.sum(1)


def best_constant(boxes: Tensor) -> Tensor:
    """(4,) the one box that is right most often for boxes (R, 4), of a grid of places and sizes."""
    centre, size = torch.linspace(0.14, 0.86, 10), torch.linspace(0.2, 0.6, 9)
    grid = torch.cartesian_prod(centre, centre, size, size)
    right = [(overlap(g.expand(len(boxes), -1, -1).transpose(0, 1), boxes.expand(len(g), -1, -1))[0] >= ENOUGH).sum(1)
             for g in grid.split(2048)]  # fmt: skip
    return grid[torch.cat(right).argmax()]
