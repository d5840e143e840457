"""Visual grounding: the box of the object that a phrase names (X-FM, 4.2: accuracy at an IoU of 0.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...data.source import Example
from ...data.world.scenes import MOST, Scene
from ...objectives.bbp import overlap
from ...recipes import LEVELS
from ..baselines import best_constant_box
from ..context import EvalContext
from ..result import Result

NEEDS = ("boxes",)
HARDER = ("rotated", "alike", "cluttered", "occluded", "hard")
HARD_SCENES = 200  # of each level
SCENES = 560  # of one to four objects: about 420 have several
IOU = 0.5  # at which a box counts as correct


def score(context: EvalContext) -> list[Result]:
    """Accuracy and mean IoU over all phrases and over those of pictures with several objects; accuracy by size of the
    object, by number of objects, and on harder pictures than the model may have been trained on.

    The baseline is the constant box that is best on training scenes. Control conditions: the box of any object of the
    picture, and the box for the phrase of another object of the picture; phrases of equal boxes are of one object.
    Phrases of one picture are resampled together. The upper bound is 1, and unknown where a picture has one phrase for
    several objects. No results where there are no phrases.
    """
    train, scenes = (list(context.examples("grounding", SCENES, "boxes", split)) for split in ("train", context.split))
    if not any(s.regions for s in train) or not any(s.regions for s in scenes):
        return []
    full = [s for s in scenes if isinstance(s, Scene)]  # what only the drawn world knows and can change
    constant = _best_constant(torch.tensor([region.box for s in train for region in s.regions]), grid_alone=bool(full))
    phrases, owner, true, predicted = predict(context, scenes)
    thing, number = objects(owner, true)
    boxes_of = len({*zip(owner.tolist(), phrases, thing.tolist(), strict=True)})
    most = 1.0 if boxes_of == len({*zip(owner.tolist(), phrases, strict=True)}) else None

    def row(task: str, condition: str, scores: Tensor, rows: Tensor, metric: str = "acc@0.5", **more: Any) -> Result:
        """Over the phrases `rows` (R,) bool."""
        baseline = box_iou(constant, true[rows])
        level = (baseline if metric == "mean IoU" else is_correct(baseline)).mean().item(), "best constant box"
        return context.result(task, condition, metric, scores[rows], level, most, owner[rows], **more)

    iou = box_iou(predicted, true)
    correct, swapped = is_correct(iou), is_correct(box_iou(predicted[swap(owner, thing)], true))
    any_object = any_object_box(owner, true)
    results = []
    for task, rows in (("grounding", number > 0), ("grounding (several objects)", number > 1)):
        if rows.any():
            results += [row(task, "", correct, rows), row(task, "any object's box", any_object, rows, better="")]
            if task != "grounding":
                results.append(row(task, "swapped phrase", swapped, rows, better=""))
            results.append(row(task, "", iou, rows, "mean IoU"))
    big = torch.tensor([o.size == "big" for s in full for o in s.objects])
    subsets = {"big object": big, "small object": ~big} if full else {}
    subsets |= {f"one of {n}" if n > 1 else "alone": number == n for n in range(1, MOST + 1)}
    results += [
        row("grounding (by size and number)", part, correct, rows) for part, rows in subsets.items() if rows.any()
    ]
    for level in HARDER if full else ():
        harder = context.with_data(LEVELS[level])
        _, owner, true, predicted = predict(harder, harder.scenes("grounding", HARD_SCENES))
        correct = is_correct(box_iou(predicted, true))
        results.append(row("grounding (harder pictures)", level, correct, torch.ones(len(owner), dtype=torch.bool)))
    return results


def predict(context: EvalContext, scenes: Sequence[Example]) -> tuple[list[str], Tensor, Tensor, Tensor]:
    """All R phrases of the scenes, the scene of each (R,), the box that it names and the model's (R, 4), as
    (cx, cy, w, h) in shares of the picture's sides."""
    phrases, owner, true = questions(scenes)
    return phrases, owner, true, context.boxes(scenes, phrases, owner)


def questions(scenes: Sequence[Example]) -> tuple[list[str], Tensor, Tensor]:
    """All R phrases of the scenes, the scene of each (R,), and the box that it names (R, 4)."""
    owner = torch.tensor([i for i, s in enumerate(scenes) for _ in s.regions])
    phrases, true = zip(*((region.text, region.box) for s in scenes for region in s.regions), strict=True)
    return list(phrases), owner, torch.tensor(true)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes (..., 4) as (cx, cy, w, h), broadcast -> (...)"""
    return overlap(*torch.broadcast_tensors(a, b))[0]


def is_correct(iou: Tensor) -> Tensor:
    """1.0 where the overlap suffices, else 0.0."""
    return (iou >= IOU).float()


def objects(owner: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Of each phrase (R,) which object it is of, equal for equal boxes of one picture, and how many its picture has."""
    rows, thing = torch.cat([owner[:, None].to(true), true], 1).unique(dim=0, return_inverse=True)
    return thing, torch.bincount(rows[:, 0].long())[owner]


def swap(owner: Tensor, thing: Tensor) -> Tensor:
    """(R,) for each phrase the next one of the same picture that is of another object, after the last from the first
    on; itself where there is none."""
    order, things = list[int](), thing.tolist()
    for first, count in zip(*_runs(owner), strict=True):
        for r in range(first, first + count):
            after = (first + (r - first + step) % count for step in range(1, count))
            order.append(next((other for other in after if things[other] != things[r]), r))
    return torch.tensor(order)


def any_object_box(owner: Tensor, true: Tensor) -> Tensor:
    """(R,) the accuracy of the box of an object of the picture drawn at random."""
    boxes_of = true.split(_runs(owner)[1])
    return torch.cat([is_correct(box_iou(boxes[:, None], boxes.unique(dim=0))).mean(1) for boxes in boxes_of])


def _runs(owner: Tensor) -> tuple[list[int], list[int]]:
    """Where the phrases of each picture begin, and how many they are."""
    counts = owner.unique_consecutive(return_counts=True)[1]
    return (counts.cumsum(0) - counts).tolist(), counts.tolist()


def _best_constant(boxes: Tensor, grid_alone: bool) -> Tensor:
    """(4,) the best constant box of a grid of positions and sizes, which has those of the drawn world, and of the boxes
    (R, 4) themselves unless the `grid_alone` is asked for."""
    centre, size = torch.linspace(0.14, 0.86, 10), torch.linspace(0.2, 0.6, 9)
    grid = torch.cartesian_prod(centre, centre, size, size)
    return best_constant_box(grid if grid_alone else torch.cat([grid, boxes]), boxes, IOU)
