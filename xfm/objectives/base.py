"""What every objective is: a module that owns its head and turns a Flow into a loss."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..batch import IGNORE, LossOut
from ..flow import Flow


class Objective(nn.Module):
    """One head, one loss. A fusion objective also says which texts meet which images (`pairing`)."""

    def forward(self, flow: Flow) -> LossOut:
        raise NotImplementedError  # by each objective


def mean_over(total: Tensor, count: Tensor | int) -> Tensor:
    """total / count over all processes: what the mean would be in one process with every process's samples.

    Gradients are averaged over processes, so each divides its own total by the mean count. Nothing to average is a loss
    of 0, not NaN (a deviation from the published code's box loss, which gives NaN where no text has a box).
    """
    count = torch.as_tensor(count, dtype=total.dtype, device=total.device)
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(count)
        count = count / dist.get_world_size()
    return total / count.clamp(min=1e-12)


def masked_language_loss(logits: Tensor, labels: Tensor) -> LossOut:
    """Cross-entropy over the hidden tokens of all texts together: logits (B, M, V), labels (B, M), IGNORE where padded."""
    logits, labels = widen(logits.flatten(0, 1)), labels.flatten()
    known = labels != IGNORE
    total = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
    right = ((logits.argmax(-1) == labels) & known).sum()
    return LossOut(mean_over(total, known.sum()), {"accuracy": right / known.sum().clamp(min=1)})


def at(hidden: Tensor, positions: Tensor) -> Tensor:
    """hidden (B, L, D) at positions (B, M) -> (B, M, D)"""
    return hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1]))


def widen(t: Tensor) -> Tensor:
    """At least float32: what autocast made narrower is widened before a norm or a loss."""
    return t.float() if t.dtype in (torch.bfloat16, torch.float16) else t
