"""Alignment: whether the fusion encoder's cross-attention lies where the phrase's object is, which no loss asks for."""

from __future__ import annotations

import torch
from torch import Tensor

from ...objectives.bbp import corners
from ..context import EvalContext
from ..result import Better, Result
from . import grounding

NEEDS = grounding.NEEDS
QUERIES = ("<s>", "words")  # what attends: the token that BBP reads its box from, or the phrase's words


def score(context: EvalContext) -> list[Result]:
    """Attention mass and pointing game of phrases, over all and over those of pictures with several objects: the share
    of the cross-attention, mean over layers and heads, that is on the true box (of a patch as much as the box covers of
    it; the pooled token is in no box); and how much of the patch with most of it is in the box.

    The baseline is attention that is equal everywhere. Control condition: the box of another object of the picture,
    which attention to whatever is drawn hits as often. Phrases of one picture are resampled together. No results where
    the fusion encoder has no layers or there are no phrases, and of several objects where no picture has several.
    """
    if context.model.config.fusion_depth == 0:
        return []
    scenes = list(context.examples("grounding", grounding.SCENES, "boxes"))
    if not any(s.regions for s in scenes):
        return []
    phrases, owner, true = grounding.questions(scenes)
    weights, (thing, number) = context.cross_attention(scenes, phrases, owner), grounding.objects(owner, true)
    inside = coverage(true, context.model.config.vision.grid)
    results = []
    for task, among in (("alignment", number > 0), ("alignment (several objects)", number > 1)):
        if not among.any():
            continue
        boxes: dict[str, tuple[Tensor, Better]] = {"": (inside, "higher")}
        if task != "alignment":
            boxes["another object's box"] = inside[grounding.swap(owner, thing)], ""
        for (i, query), (box, (covered, better)) in ((q, b) for q in enumerate(QUERIES) for b in boxes.items()):
            attended = weights[among, i]
            measured = {
                "mass on the box": ((attended[:, 1:] * covered[among]).sum(-1), covered.shape[1] / attended.shape[1]),
                "pointing game": (pointed(attended[:, 1:], covered[among]), 1.0),
            }
            for metric, (scores, of_patches) in measured.items():
                level = of_patches * covered[among].mean().item(), "equal attention"
                condition = ", ".join(filter(None, (query, box)))
                results.append(
                    context.result(task, condition, metric, scores, level, groups=owner[among], better=better)
                )
    return results


def coverage(boxes: Tensor, grid: int) -> Tensor:
    """Boxes (R, 4) as (cx, cy, w, h) -> (R, P): the share of each patch's area that is in the box"""
    edges = torch.arange(grid) / grid
    low, high = corners(boxes).split(2, -1)  # (R, 2) each: x, y
    inside = torch.minimum(high[..., None], edges + 1 / grid) - torch.maximum(low[..., None], edges)
    x, y = (inside.clamp(min=0) * grid).unbind(1)
    return (y[:, :, None] * x[:, None, :]).flatten(1)


def pointed(weights: Tensor, covered: Tensor) -> Tensor:
    """(R, P) each -> (R,): the covered share of the patch with most weight (Zhang et al., 2016; ties count evenly)"""
    most = (weights == weights.amax(-1, keepdim=True)).float()
    return (most * covered).sum(-1) / most.sum(-1)
