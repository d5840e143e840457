"""Attributions that know nothing of the model: what every method has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from ...base import seeding
from ..attribution import Attribution
from ..inputs import AttributionInputs


def random(inputs: AttributionInputs, seed: int = 0) -> Attribution:
    """Uniform in [0, 1)."""
    generator = seeding.generator("random attribution", seed, inputs.text, inputs.image.tobytes())
    sizes = len(inputs.pieces), len(inputs.patches)
    return Attribution.of(inputs, *(torch.rand(size, generator=generator) for size in sizes))


def centre(inputs: AttributionInputs) -> Attribution:
    """A Gaussian in the middle, its standard deviation a quarter of the side: the usual place of a subject."""
    places = (torch.arange(inputs.grid.grid) + 0.5) / inputs.grid.grid - 0.5
    bump = torch.exp(-((places / 0.25) ** 2) / 2)
    return Attribution.of(inputs, uniform_words(inputs), torch.outer(bump, bump).flatten())


def edges(inputs: AttributionInputs) -> Attribution:
    """Mean absolute differences of neighbouring pixels in each patch: where anything is drawn."""
    grey = torch.from_numpy(inputs.image).float().mean(-1) / 255
    steps = torch.zeros_like(grey)
    steps[1:] += (grey[1:] - grey[:-1]).abs()
    steps[:, 1:] += (grey[:, 1:] - grey[:, :-1]).abs()
    return Attribution.of(inputs, uniform_words(inputs), inputs.grid.shares(steps))


def uniform_words(inputs: AttributionInputs) -> Tensor:
    """(L,): the same for each word, shared by its pieces; 0 for what is no word."""
    members = inputs.words.members.float()
    return (members / members.sum(1, keepdim=True).clamp_min(1)).sum(0) / max(len(members), 1)
