"""A step's gradient, from its batch at once or in parts one after the other, which need the memory of one part.

Means over samples are those of the whole batch: each part's losses count by its share of what they are means over. ITC
contrasts, and ITM draws its negatives, within a part: their gradients need all of what they compare at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..model.batch import Batch, on_device, sent
from ..model.replicas import peers
from ..objectives import OBJECTIVES, Pretraining
from .gradient_interventions import UNSTEERED, Apart, Steering, summed
from .sharding import average_unsharded, is_sharded
from .shards import Losses, split

__all__ = ["in_one", "in_parts"]


def in_one(
    trained: nn.Module,
    accelerator: Accelerator,
    batch: Batch,
    weights: dict[str, float],
    key: tuple[object, ...],
    steering: Steering = UNSTEERED,
) -> tuple[Losses, Losses]:
    """(losses, report) of a step; the gradient of the losses' weighted sum is left in `.grad`, as `steering` has it.
    The batch may be on the host."""
    trained.zero_grad()
    batch = on_device(batch, accelerator.device)
    with accelerator.autocast():
        losses, report = trained(batch, weights, key)

    def recompute_losses(on: Iterable[str]) -> Losses:
        with accelerator.autocast():
            return trained(batch, on, key, shuffled=True)[0]

    if losses:  # a loss may join later
        apart = steering.backward(trained, losses, weights, recompute_losses, accelerator.backward)
        steering.combine([apart], 1.0, key)
    if is_sharded(trained):
        average_unsharded(trained, accelerator)
    return losses, report


def in_parts(
    trained: nn.Module,
    pretraining: Pretraining,
    count: int,
    accelerator: Accelerator,
    batch: Batch,
    weights: dict[str, float],
    key: tuple[object, ...],
    steering: Steering = UNSTEERED,
) -> tuple[Losses, Losses]:
    """As `in_one`, the batch in `count` parts: sums over them by their shares, without graphs. `pretraining`: what
    accelerate has wrapped as `trained`. The batch is cut where it is: on the host, a GPU keeps nobody waiting."""
    trained.zero_grad()
    parts, apart = split(batch, count, even=True), Apart()
    shares = _shares(pretraining, parts, weights)
    parts = on_device(parts, accelerator.device)
    sums: tuple[Losses, Losses] = defaultdict(float), defaultdict(float)  # type: ignore[assignment]
    trained_any = False  # a loss may join later
    for i, part in enumerate(parts):
        # the last one's backward pass averages all over processes; sharded, whole gradients would be kept until then
        at_once = i + 1 == count or is_sharded(trained)
        with nullcontext() if at_once else accelerator.no_sync(trained):
            with accelerator.autocast():
                losses, report = trained(part, weights, (*key, i), count)
            losses = {name: loss * shares[name][i] for name, loss in losses.items()}

            def recompute_losses(on: Iterable[str], part: Batch = part, i: int = i) -> Losses:
                with accelerator.autocast():
                    shuffled = trained(part, on, (*key, i), count, shuffled=True)[0]
                return {name: loss * shares[name][i] for name, loss in shuffled.items()}

            if losses:
                own = steering.backward(pretraining, losses, weights, recompute_losses, accelerator.backward)
                apart = summed([apart, own])  # at once, or their memory would grow with the parts
        trained_any |= bool(losses)
        with torch.no_grad():
            for name, loss in losses.items():
                sums[0][name] += loss
            for name, value in report.items():
                sums[1][name] += value * shares[name.rpartition("/")[0]][i]
    if trained_any:
        steering.combine([apart], 1.0, key)
    if is_sharded(trained):
        average_unsharded(trained, accelerator)
    return dict(sums[0]), dict(sums[1])


def _shares(pretraining: Pretraining, parts: list[Batch], weights: dict[str, float]) -> dict[str, Tensor]:
    """By "stream/objective", of each part: a sum over parts with these is the mean over the batch of all processes."""
    names, counts = list[str](), list[Tensor]()
    for stream in parts[0]:
        fused = pretraining.fused(stream, len(parts)) or None
        for name in pretraining.model.objectives:
            if name in weights and stream in OBJECTIVES[name].streams:
                each = [torch.as_tensor(OBJECTIVES[name].count(part[stream], fused)) for part in parts]
                names.append(f"{stream}/{name}")
                counts.append(torch.stack(each))
    if not counts:
        return {}
    own = sent(torch.stack(counts), pretraining.model.device)
    rows = torch.stack(peers().gather(own)).sum(0).to(pretraining.model.dtype)
    return dict(zip(names, rows / rows.sum(1, keepdim=True).clamp(min=1), strict=True))
