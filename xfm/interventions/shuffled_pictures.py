"""Shuffled pairs: what a gradient teaches that does not depend on which picture belongs to which text."""

from __future__ import annotations

import torch
from torch import Tensor

from ..base import seeding


def mismatched(patches: Tensor, key: tuple[object, ...]) -> Tensor:
    """Patches of n pictures (n, P, D), each picture's replaced by another's: the batch turned by a shift in [1, n)
    that the key draws."""
    others, g = len(patches) - 1, seeding.generator(*key, "shuffled")
    return patches.roll(1 + int(torch.randint(others, (), generator=g)), 0) if others else patches
