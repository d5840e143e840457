"""What every objective is: a module that owns its head and turns a Flow into a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..batch import IGNORE, LossOut, Stream, TokenBatch
from ..flow import Flow


class Objective(nn.Module, ABC):
    """One head, one loss. A fusion objective also says which texts meet which images (`pairing`)."""

    streams: tuple[type[Stream], ...]  # whose batches it can learn from

    @abstractmethod
    def forward(self, flow: Flow) -> LossOut: ...


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
    """Cross-entropy over the hidden tokens of all texts together: logits (K, V), labels (K,)."""
    logits = widen(logits)
    right = (logits.argmax(-1) == labels).sum()
    return LossOut(
        mean_over(F.cross_entropy(logits, labels, reduction="sum"), len(labels)),
        {"accuracy": right / max(len(labels), 1)},
    )


def hidden_words(hidden: Tensor, words: TokenBatch) -> tuple[Tensor, Tensor]:
    """The K hidden tokens of B texts: their states (B, L, D) -> (K, D), and labels (K,). Padding is left out: the head
    computes no logits for it. `hidden` may be of the first texts only."""
    labels = words.labels[: len(hidden)]
    text, place = (labels != IGNORE).nonzero(as_tuple=True)
    return hidden[text, words.masked_at[text, place]], labels[text, place]


def widen(t: Tensor) -> Tensor:
    """At least float32: what autocast made narrower is widened before a norm or a loss."""
    return t.float() if t.dtype in (torch.bfloat16, torch.float16) else t
