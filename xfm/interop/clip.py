"""open_clip's image towers as teachers of masked image modelling."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batch import MEAN, STD
from ..config import ConfigError, VisionConfig

__all__ = ["teacher", "teacher_width"]


def teacher_width(name: str) -> int:
    """Token width of an open_clip model's image tower, which must be a transformer of open_clip's own (not timm's).
    ConfigError, with the nearest that are, for any other name."""
    import open_clip

    def width(model: str) -> int:
        tower = (open_clip.get_model_config(model) or {}).get("vision_cfg", {})
        patches = tower.get("patch_size") and not tower.get("attentional_pool")  # no ResNet; no CoCa, whose norm pools
        return tower.get("width", 0) if patches else 0

    if not width(name):
        usable = [model for model in open_clip.list_models() if width(model)]
        near = difflib.get_close_matches(name, usable, cutoff=0)
        raise ConfigError(
            f"flow.teacher = {name!r}: no open_clip model with a transformer image tower of open_clip's "
            f"own; there are {', '.join(near)} ..."
        )
    return width(name)


def teacher(name: str, weights: str, vision: VisionConfig, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A frozen tower as a function: our normalised pictures (B, 3, H, W) -> its last tokens (B, P, C), on our grid.

    Pictures are resized to the tower's own size, its tokens' grid to ours, both bilinearly. `weights` is an open_clip
    tag or a file; ConfigError if they cannot be had.
    """
    import open_clip

    teacher_width(name)
    try:
        tower: Any = open_clip.create_model(name, pretrained=weights, device=device).visual
    except Exception as error:  # unknown tag, no network, a foreign file: open_clip raises as many kinds
        raise ConfigError(
            f"flow.teacher_weights = {weights!r}: open_clip cannot load them into {name} ({error})"
        ) from error
    tower.eval().requires_grad_(False)
    size = tower.image_size if isinstance(tower.image_size, tuple) else (tower.image_size,) * 2
    ours, theirs = (
        [torch.tensor(v, device=device).view(3, 1, 1) for v in pair]
        for pair in ((MEAN, STD), (tower.image_mean or MEAN, tower.image_std or STD))
    )

    @torch.no_grad()
    def tokens(pictures: Tensor) -> Tensor:
        pictures = (pictures * ours[1] + ours[0] - theirs[0]) / theirs[1]
        pictures = F.interpolate(pictures, size, mode="bilinear", antialias=True)
        last = tower.forward_intermediates(pictures, indices=1, normalize_intermediates=True, intermediates_only=True)
        grid = F.interpolate(last["image_intermediates"][0], (vision.grid,) * 2, mode="bilinear")
        return grid.flatten(2).transpose(1, 2)

    return tokens
