"""Image-text contrast (open_clip's ClipLoss): the one multimodal loss that reaches the language encoder."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..batch import LossOut, Pairs, Regions
from ..config import RunConfig
from ..flow import Flow
from .base import Objective, widen


@lru_cache
def clip_loss(rank: int, world: int) -> nn.Module:
    """Features are gathered over processes with their gradients, so that several give the gradient of one with the
    global batch (the published code keeps each process's slice alone, 1 / world of it)."""
    from open_clip.loss import ClipLoss

    return ClipLoss(local_loss=False, gather_with_grad=True, cache_labels=True, rank=rank, world_size=world)


class ITC(Objective):
    streams = (Pairs, Regions)

    def __init__(self, config: RunConfig):
        super().__init__()
        model = config.model
        self.image = nn.Linear(model.vision.width, model.embed_dim)
        self.text = nn.Linear(model.text.width, model.embed_dim)
        self.temperature = nn.Parameter(torch.tensor(model.temperature))

    def embed_image(self, pooled: Tensor) -> Tensor:
        """(B, D) -> (B, E) of unit length"""
        return F.normalize(widen(self.image(pooled)), dim=-1)

    def embed_text(self, first: Tensor) -> Tensor:
        """(B, D) -> (B, E) of unit length"""
        return F.normalize(widen(self.text(first)), dim=-1)

    @torch.no_grad()
    def clamp_temperature(self) -> None:
        """Into [0.001, 0.5], as the published code does before every multimodal forward."""
        self.temperature.clamp_(0.001, 0.5)

    def forward(self, flow: Flow) -> LossOut:
        image, text = flow.features
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        loss = clip_loss(rank, world)(image, text, 1 / self.temperature)
        right = (image @ text.T).argmax(1) == torch.arange(len(text), device=text.device)
        return LossOut(loss, {"accuracy": right.float().mean()})
