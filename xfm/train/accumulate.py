"""A step's gradient, from its batch at once or in parts one after the other, which need the memory of one part.

Means over samples are those of the whole batch: each part's losses count by its share of what they are means over. ITC
contrasts, and ITM draws its negatives, within a part: their gradients need all of what they compare at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..model.batch import Batch, on_device, sent
from ..model.replicas import peers
from ..objectives import OBJECTIVES, Pretraining
from .gradient_interventions import UNSTEERED, Apart, Steering, summed
from .sharding import average_unsharded, is_sharded
from .shards import Losses, split


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

    def compute(on: Iterable[str], shuffled: bool = False) -> tuple[Losses, Losses]:
        with accelerator.autocast():
            return trained(batch, on, key, shuffled=shuffled)

    losses, report, apart = steering.backward(trained, compute, weights, accelerator.backward)
    if losses:  # a loss may join later
        steering.combine([apart], 1.0, key)
    if is_sharded(trained):
        average_unsharded(trained, accelerator)
    return losses, report


def in_parts(
    trained: nn.Module,
    count: int,
    accelerator: Accelerator,
    batch: Batch,
    weights: dict[str, float],
    key: tuple[object, ...],
    steering: Steering = UNSTEERED,
) -> tuple[Losses, Losses]:
    """As `in_one`, the batch in `count` parts: sums over them by their shares, without graphs. The batch is cut where
    it is: on the host, a GPU keeps nobody waiting."""
    trained.zero_grad()
    pretraining: Any = getattr(trained, "module", trained)  # without DDP's wrapper
    parts, apart = split(batch, count, even=True), Apart()
    shares = _shares(pretraining, parts, weights)
    parts = on_device(parts, accelerator.device)
    sums, sums_of_report = defaultdict[str, Any](float), defaultdict[str, Any](float)

    def compute(i: int, on: Iterable[str], shuffled: bool = False) -> tuple[Losses, Losses]:
        with accelerator.autocast():
            losses, report = trained(parts[i], on, (*key, i), count, shuffled=shuffled)
        return {name: loss * shares[name][i] for name, loss in losses.items()}, report

    for i in range(count):
        # the last one's backward pass averages all over processes; sharded, whole gradients would be kept until then
        at_once = i + 1 == count or is_sharded(trained)
        with nullcontext() if at_once else accelerator.no_sync(trained):
            losses, report, part = steering.backward(pretraining, partial(compute, i), weights, accelerator.backward)
        apart = summed([apart, part])  # at once, or their memory would grow with the parts
        with torch.no_grad():
            for name, loss in losses.items():
                sums[name] += loss
            for name, value in report.items():
                sums_of_report[name] += value * shares[name.rpartition("/")[0]][i]
    if sums:  # a loss may join later
        steering.combine([apart], 1.0, key)
    if is_sharded(trained):
        average_unsharded(trained, accelerator)
    return dict(sums), dict(sums_of_report)


def _shares(pretraining: Pretraining, parts: list[Batch], weights: dict[str, float]) -> dict[str, Tensor]:
    """By "stream/objective", of each part: a sum over parts with these is the mean over the batch of all processes."""
    names, counts = list[str](), list[Tensor]()
    for stream in parts[0]:
        fused = pretraining.fused(stream, len(parts)) or None
        for name in pretraining.model.objectives:
            if name in weights and stream in OBJECTIVES[name].streams:
                sizes = [torch.as_tensor(OBJECTIVES[name].count(part[stream], fused)) for part in parts]
                names.append(f"{stream}/{name}")
                counts.append(torch.stack(sizes))
    if not counts:
        return {}
    local = sent(torch.stack(counts), pretraining.model.device)
    rows = torch.stack(peers().gather(local)).sum(0).to(pretraining.model.dtype)
    return dict(zip(names, rows / rows.sum(1, keepdim=True).clamp(min=1), strict=True))
