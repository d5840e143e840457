"""Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/): an optimizer for matrices.

torch has one, which always computes in bf16. Without instructions for it (ONEDNN_MAX_CPU_ISA=AVX2) that takes 0.5 s a
step of the demo, where fp32 takes 0.04. In bf16 this one's weights are torch's, bit for bit (tests/test_optimizer.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .momentum import Decoupled

__all__ = ["Muon", "orthogonalised"]

A, B, C = 3.4445, -4.775, 2.0315  # of the quintic that raises small singular values fastest
ITERATIONS = 5
MOMENTUM = 0.95


class Muon(Decoupled):
    """m = .95 m + .05 g; the direction is .05 g + .95 m (Nesterov) made nearly orthogonal, and a step as large as
    one of AdamW's: times .2 √(the longer side) (Liu et al., 2025, arXiv:2502.16982, section 2.2)."""

    def __init__(self, groups: Any, lr: float, dtype: torch.dtype):
        """`dtype`: that the orthogonal matrices are computed in."""
        self.dtype = dtype
        super().__init__(groups, {"lr": lr})

    def direction(self, grad: Tensor, buffer: Tensor, group: dict[str, Any]) -> tuple[Tensor, float]:
        mean = buffer.lerp_(grad, 1 - MOMENTUM)
        return orthogonalised(grad.lerp(mean, MOMENTUM), self.dtype), 0.2 * max(grad.shape) ** 0.5


def orthogonalised(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """(m, n) -> (m, n) of `dtype`: with the same singular vectors, and singular values near 1, between .6 and 1.2, by
    Newton and Schulz's iteration. Values that are a hundredth of the largest or less are raised, but not as far."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.to(dtype)
    x = x.T if tall else x  # the smaller Gram matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.T if tall else x
