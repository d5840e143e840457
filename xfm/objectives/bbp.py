"""Bounding-box prediction: the box that a phrase names, from the whole picture (X-VLM; X-FM, 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..config import RunConfig
from ..flow import Flow
from ..model.batch import FusionBatch, LossOut
from ..model.blocks import two_layer_head
from .base import Level, Objective, mean_over, widen

SMALLEST_STEP = 1e-3  # of the search for the best constant box, as a share of the picture's side


def corners(box: Tensor) -> Tensor:
    """(..., 4) as (cx, cy, w, h) -> (x1, y1, x2, y2)"""
    centre, size = box[..., :2], box[..., 2:]
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes (R, 4) as (cx, cy, w, h), pair by pair -> (R,) each.

    A box without area is compared as it stands; the published code zeroes the whole batch's GIoU for one such box.
    """
    area_a, area_b = (t[..., 2:].prod(-1) for t in (a, b))
    a, b = corners(a), corners(b)
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = area_a + area_b - shared
    tiny = torch.finfo(union.dtype).tiny
    iou = shared / union.clamp(min=tiny)
    return iou, iou - (hull - union) / hull.clamp(min=tiny)


def constant_box(boxes: Tensor) -> tuple[Tensor, float]:
    """The box (4,) that predicts boxes (R, 4) best wherever it is asked, and the loss that it has. A pattern search:
    from the median box along one axis at a time, by steps that halve where none is better."""

    def losses(constant: Tensor) -> Tensor:  # (N, 4) -> (N,)
        a, b = torch.broadcast_tensors(constant[:, None], boxes[None])
        return ((a - b).abs().sum(-1) + 1 - overlap(a, b)[1]).mean(1)

    best, step = boxes.sort(0).values[len(boxes) // 2], 0.1  # torch.median errs where memory is shared
    loss = losses(best[None]).item()
    while step > SMALLEST_STEP:
        around = (best + step * torch.cat([torch.eye(4), -torch.eye(4)]).to(best)).clamp(0, 1)
        least, at = losses(around).min(0)
        if least.item() < loss:
            best, loss = around[at], least.item()
        else:
            step /= 2
    return best, loss


class BBP(Objective):
    """L1 and generalised-IoU loss of the box that is read off the fused text's token 0."""

    title = "bounding-box prediction"
    streams = ("regions",)
    reads = ("text", "image", "fused")
    text_gradient = 0.0
    unit = "L1 + (1 − GIoU)"
    accuracy_key, accuracy_name = "iou", "mean IoU"
    constant_of = 512

    def __init__(self, config: RunConfig):
        super().__init__()
        self.head = two_layer_head(config.model.text.width, 4)

    @classmethod
    def constant(cls, batches: Sequence[Any]) -> Level | None:
        boxes = torch.cat([batch.box[~batch.is_image] for batch in batches])
        return (constant_box(boxes.double())[1], "best constant box") if len(boxes) else None

    @classmethod
    def count(cls, batch: Any, fused: int | None) -> Tensor:
        return (~batch.is_image).sum()

    def pairing(self, flow: Flow) -> FusionBatch:
        owner = flow.batch.owner
        return FusionBatch(flow.text, flow.batch.tokens.mask, len(owner) + owner)  # whole pictures follow the regions

    def boxes(self, fused: Tensor) -> Tensor:
        """Fusion outputs (R, L, D) -> (R, 4) as (cx, cy, w, h) in [0, 1]"""
        return widen(self.head(fused[:, 0])).sigmoid()

    def terms(self, flow: Flow) -> tuple[Tensor, Tensor, Tensor]:
        """L1 and generalised-IoU loss, and the mean IoU, over regions that are no whole pictures."""
        predicted = self.boxes(flow.fused["bbp"])
        target, counts = flow.batch.box.to(predicted.dtype), (~flow.batch.is_image).to(predicted.dtype)
        iou, giou = overlap(predicted, target)
        l1 = (predicted - target).abs().sum(-1)
        return tuple(mean_over((v * counts).sum(), counts.sum()) for v in (l1, 1 - giou, iou))  # type: ignore[return-value]

    def forward(self, flow: Flow) -> LossOut:
        l1, giou, iou = self.terms(flow)
        return LossOut(l1 + giou, {"l1": l1, "giou": giou, "iou": iou})
