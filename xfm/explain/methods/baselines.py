"""Attributions that know nothing of the model: what a method has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from ... import seeding
from ..inputs import AttributionInputs
from .attention_methods import Rows


def random(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    generator = seeding.generator("random attribution", seed, question.text, question.image.tobytes())
    return torch.rand(len(question.pieces), generator=generator), torch.rand(len(question.patches), generator=generator)


def centre(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    """A bump in the middle, a quarter of the side wide: pictures tend to show there what they are of. Words alike."""
    places = (torch.arange(question.grid.grid) + 0.5) / question.grid.grid - 0.5
    bump = torch.exp(-((places / 0.25) ** 2) / 2)
    return alike(question), torch.outer(bump, bump).flatten()


def edges(question: AttributionInputs, seed: int, progress: bool) -> Rows:
    """How much neighbouring pixels of each patch differ: where anything is drawn. Words alike."""
    grey = torch.from_numpy(question.image).float().mean(-1) / 255
    steps = torch.zeros_like(grey)
    steps[1:] += (grey[1:] - grey[:-1]).abs()
    steps[:, 1:] += (grey[:, 1:] - grey[:, :-1]).abs()
    size = question.grid.size
    return alike(question), steps.unfold(0, size, size).unfold(1, size, size).mean((-1, -2)).flatten()


def alike(question: AttributionInputs) -> Tensor:
    """(L,): words are worth the same, however many pieces they have, and what is no word nothing."""
    members = question.words.members.float()
    return (members / members.sum(1, keepdim=True).clamp_min(1)).sum(0) / max(len(members), 1)
