"""Attributions that know nothing of the model: what every method has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from ...base import seeding
from ..inputs import AttributionInputs
from .attention_methods import Rows

__all__ = ["centre", "edges", "random", "uniform_words"]


def random(inputs: AttributionInputs, seed: int, progress: bool) -> Rows:
    """Uniform in [0, 1)."""
    generator = seeding.generator("random attribution", seed, inputs.text, inputs.image.tobytes())
    return torch.rand(len(inputs.pieces), generator=generator), torch.rand(len(inputs.patches), generator=generator)


def centre(inputs: AttributionInputs, seed: int, progress: bool) -> Rows:
    """A Gaussian in the middle, its standard deviation a quarter of the side: the usual place of a subject."""
    places = (torch.arange(inputs.grid.grid) + 0.5) / inputs.grid.grid - 0.5
    bump = torch.exp(-((places / 0.25) ** 2) / 2)
    return uniform_words(inputs), torch.outer(bump, bump).flatten()


def edges(inputs: AttributionInputs, seed: int, progress: bool) -> Rows:
    """Mean absolute differences of neighbouring pixels in each patch: where anything is drawn."""
    grey = torch.from_numpy(inputs.image).float().mean(-1) / 255
    steps = torch.zeros_like(grey)
    steps[1:] += (grey[1:] - grey[:-1]).abs()
    steps[:, 1:] += (grey[:, 1:] - grey[:, :-1]).abs()
    size = inputs.grid.size
    return uniform_words(inputs), steps.unfold(0, size, size).unfold(1, size, size).mean((-1, -2)).flatten()


def uniform_words(inputs: AttributionInputs) -> Tensor:
    """(L,): the same for each word, shared by its pieces; 0 for what is no word."""
    members = inputs.words.members.float()
    return (members / members.sum(1, keepdim=True).clamp_min(1)).sum(0) / max(len(members), 1)
