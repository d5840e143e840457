"""Dropout, drawn in an eighth of the time that torch takes on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .device import waits

LEVELS = 2**16


class Dropout(nn.Module):
    """`dropout` at the rate `p` in training, nothing else."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p) if self.training and self.p else x


def dropout(x: Tensor, p: float) -> Tensor:
    """x, each value zero with probability p and else divided by the probability of staying (Srivastava et al., 2014),
    which keeps the mean."""
    return F.dropout(x, p) if waits(x.device) else x * noise(x, p)


def noise(x: Tensor, p: float) -> Tensor:
    """What dropout multiplies x with: of its shape and dtype. Sixteen bits decide about a value, four values to a draw,
    so p is rounded to a multiple of 2⁻¹⁶, below 1; the mean is kept of what it is rounded to."""
    dropped = min(round(p * LEVELS), LEVELS - 1)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    stays = bits.view(torch.int16)[: x.numel()] >= dropped - LEVELS // 2
    return stays.view(x.shape).to(x.dtype).mul_(LEVELS / (LEVELS - dropped))
