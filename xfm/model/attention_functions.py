"""What a query makes of a key before the softmax ("Understanding Attention for Vision-and-Language Tasks", Cao et al.,
2022). Scaled dot product is `attention`'s own, with its kernels; the others are here, a module a function.

Each is (B, H, Q, d), (B, H, K, d) -> logits (B, H, Q, K), at least in float32; what it learns, it learns for each head.
Weight decay leaves that alone: it would pull the bilinear form to zero, and not to the dot product that it starts as.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .batch import widen


class Dot(nn.Identity):
    """q · k (Luong et al., 2015). No parameters."""

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        return widen(q @ k.mT)


class General(nn.Module):
    """q · W k, bilinear (Luong et al., 2015). H d² parameters; W starts as the identity: as the dot product."""

    def __init__(self, heads: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(size).repeat(heads, 1, 1))

    def initial_value(self, _: str) -> Tensor:
        return torch.eye(self.weight.shape[-1])

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        return widen(q @ self.weight @ k.mT)


class Additive(nn.Module):
    """v · tanh(q + k) (Bahdanau et al., 2015), whose two matrices are the projections of queries and keys. H d
    parameters; v starts as the weight of PyTorch's Linear of d inputs. It keeps Q K d numbers a head for the backward
    pass, where the others keep Q K."""

    def __init__(self, heads: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads, size).uniform_(-(size**-0.5), size**-0.5))

    def initial_draw(self, _: str) -> tuple[str, float, float]:
        bound = self.weight.shape[-1] ** -0.5
        return "uniform", -bound, bound

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        summed = q[..., :, None, :] + k[..., None, :, :]  # (B, H, Q, K, d)
        return widen((summed.tanh() @ self.weight[:, None, :, None].to(q.dtype))[..., 0])


class Cosine(nn.Module):
    """cos(q, k) / temperature (Liu et al., 2022: Swin v2). H parameters: the temperatures' logarithms. A temperature
    starts as 0.1 and is clamped to [0.01, 1]; the clamp lets gradients through, so that it can leave a bound again."""

    RANGE, START = (0.01, 1.0), 0.1

    def __init__(self, heads: int, size: int):
        super().__init__()
        self.log_temperature = nn.Parameter(torch.full((heads,), math.log(self.START)))

    def initial_value(self, _: str) -> float:
        return math.log(self.START)

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        free = widen(self.log_temperature)
        with torch.no_grad():
            back = free.clamp(*map(math.log, self.RANGE)) - free
        temperature = (free + back).exp()[:, None, None]
        return F.normalize(widen(q), dim=-1) @ F.normalize(widen(k), dim=-1).mT / temperature


FUNCTIONS: dict[str, type[nn.Module]] = {"dot": Dot, "general": General, "additive": Additive, "cosine": Cosine}
