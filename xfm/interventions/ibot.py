"""iBOT's guidance: hidden patches predict the averaged encoder's distribution over learnt prototypes."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.replicas import peers
from .ema import EmaTeacher

STUDENT, TEACHER, CENTRE = 0.1, 0.04, 0.9  # temperatures, and the centre's momentum (Zhou et al. 2022, 2111.07832)


class Prototypes(nn.Linear):
    """Tokens (..., D) -> their cosines with K learnt prototypes, over the student's temperature (..., K)"""

    def __init__(self, width: int, count: int):
        super().__init__(width, count, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.linear(F.normalize(tokens, dim=-1), F.normalize(self.weight, dim=-1)) / STUDENT


class PrototypeTeacher(EmaTeacher):
    """Pictures (B, 3, H, W) -> the sharpened, centred distributions (B, P, K) of averaged encoder and head: the softmax
    of (cosine - centre) / temperature, the centre a moving average of the cosines' mean over a step's patches. iBOT has
    a deeper head and a loss of the class token; here a token has one linear head, and patches alone a loss."""

    parts = ("vision", "objectives.mim.head")

    def __init__(self, model: Any, momentum: float) -> None:
        super().__init__(model, momentum)
        self.centre = torch.zeros_like(self.average[self.parts[1]].weight[:, 0])
        self.seen: dict[int, list[Tensor]] = defaultdict(list)  # by shard: each in its own order

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        cosines = self.average[self.parts[1]](super().__call__(pictures)).float() * STUDENT
        if self.model.training:
            rows = cosines.flatten(0, 1)
            self.seen[peers().rank].append(torch.cat([rows.sum(0), rows.new_full((1,), len(rows))]))
        return ((cosines - self.centre) / TEACHER).softmax(-1)

    @torch.no_grad()
    def update(self) -> None:
        super().update()
        sums = [total for rank in sorted(self.seen) for total in self.seen[rank]]
        self.seen.clear()
        total = torch.stack(sums).sum(0) if sums else self.centre.new_zeros(len(self.centre) + 1)
        total = torch.stack(peers().gather(total)).sum(0)
        moved = self.centre.lerp((total[:-1] / total[-1].clamp(min=1)).to(self.centre), 1 - CENTRE)
        self.centre.copy_(torch.where(total[-1] > 0, moved, self.centre))  # no `if`: it would wait for a GPU

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | {"centre": self.centre}


def cross_entropy(logits: Tensor, target: Tensor, share: bool) -> Tensor:
    """Of target distributions (..., K) and logits (..., K) -> (...); `share`: over log K, what an even guess costs."""
    loss = -(target * logits.log_softmax(-1)).sum(-1)
    return loss / math.log(target.shape[-1]) if share else loss


@torch.no_grad()
def constant(target: Tensor, hidden: Tensor, share: bool) -> Tensor:
    """The cross-entropy of the best prediction that is the same for all hidden patches (B, P) of all peers: the entropy
    of the mean of their distributions (B, P, K)."""
    weights = hidden[..., None].to(target.dtype)
    sums = torch.cat([(target * weights).sum((0, 1)), weights.sum().expand(1)])
    total = torch.stack(peers().gather(sums)).sum(0)
    entropy = torch.special.entr(total[:-1] / total[-1].clamp(min=1)).sum()
    return entropy / math.log(target.shape[-1]) if share else entropy
