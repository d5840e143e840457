"""The batches of the four streams, what a loss returns, and the legend of shape letters.

Shape letters (in docstrings, and as name suffixes where ranks change):
B texts or pairs · n pictures · R regions · N text-picture pairings · L text tokens · M masked tokens · P patches ·
S = P + 1 image tokens (token 0 is pooled) · D width · H heads · K keys · Q queries · E contrastive width · V vocabulary
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

# CLIP's normalisation, as in the published code: of RGB in [0, 1].
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
PAD, START, END, UNKNOWN = 1, 0, 2, 3  # token ids, RoBERTa's; <mask> is the last of the vocabulary
IGNORE = -100  # label of a padded masked position


@dataclass(frozen=True)
class TokenBatch:
    """B tokenised texts, padded to the longest of the batch, as they are and with tokens hidden."""

    ids: Tensor  # (B, L) int64
    mask: Tensor  # (B, L) bool, True where a token is
    masked_ids: Tensor  # (B, L) int64, some tokens hidden
    masked_at: Tensor  # (B, M) int64, the hidden positions, padded with 0
    labels: Tensor  # (B, M) int64, the hidden tokens, padded with IGNORE


@dataclass(frozen=True)
class Pairs:
    """Image-text pairs: picture b and text b belong together."""

    image: Tensor  # (B, 3, H, W) uint8, or float already normalised
    tokens: TokenBatch
    image_mask: Tensor  # (B, P) bool, True where a patch is hidden for MIM
    # (B, L) int64: text b with a relation exchanged, false of picture b, or text b itself; None: no such negatives
    false_ids: Tensor | None = None


@dataclass(frozen=True)
class Regions:
    """Region-text pairs: R boxes with phrases in n pictures."""

    image: Tensor  # (n, 3, H, W)
    owner: Tensor  # (R,) int64, the picture of each region
    patches: Tensor  # (R, P) bool, True where a patch overlaps the region
    tokens: TokenBatch  # of R phrases
    box: Tensor  # (R, 4) float, (cx, cy, w, h) as shares of the picture's sides
    is_image: Tensor  # (R,) bool, True where the "region" is the whole picture with its caption: no box is learnt there


@dataclass(frozen=True)
class Images:
    """Pictures without text, and which patches are masked."""

    image: Tensor  # (B, 3, H, W)
    image_mask: Tensor  # (B, P) bool


@dataclass(frozen=True)
class Texts:
    """Sentences without a picture."""

    tokens: TokenBatch


Stream = Pairs | Regions | Images | Texts
Batch = dict[str, Stream]  # by stream name: "pairs", "regions", "images", "texts"


@dataclass(frozen=True)
class FusionBatch:
    """N texts for the fusion encoder, and the image item that each is paired with."""

    text: Tensor  # (N, L, D)
    mask: Tensor  # (N, L) bool
    item: Tensor  # (N,) int64, into the flow's image items


@dataclass(frozen=True)
class MimTarget:
    """What masked patches must predict, of B pictures."""

    patches: Tensor  # (B, P, C)
    pooled: Tensor | None  # (B, C); None where a mean over patches means nothing (pixels)


@dataclass(frozen=True)
class LossOut:
    """A loss, and what it reports."""

    loss: Tensor  # scalar
    report: dict[str, Tensor] = field(default_factory=dict)  # scalars to log; their graphs are let go

    def __post_init__(self) -> None:
        object.__setattr__(self, "report", tree_map(Tensor.detach, self.report))


T = TypeVar("T")


def tree_map(fn: Any, tree: Any) -> Any:
    """The same dicts, lists, tuples and dataclasses with `fn` applied to every tensor; anything else stays."""
    if isinstance(tree, Tensor):
        return fn(tree)
    if isinstance(tree, dict):
        return {k: tree_map(fn, v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(tree_map(fn, v) for v in tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return dataclasses.replace(tree, **{k: tree_map(fn, v) for k, v in vars(tree).items()})
    return tree


def sent(t: Tensor, device: torch.device) -> Tensor:
    """t on a device, without waiting for what that is at: a GPU fetches it by itself, from pinned memory alone."""
    pinned = t.device.type == "cpu" and device.type == "cuda"
    return (t.pin_memory() if pinned else t).to(device, non_blocking=True)


def on_device(tree: T, device: torch.device) -> T:
    """A batch, or its like, with every tensor `sent`."""
    return tree_map(partial(sent, device=device), tree)


def normalise(image: Tensor) -> Tensor:
    """(n, 3, H, W) uint8 RGB -> float, CLIP's normalisation; a float picture is taken as normalised already."""
    if image.is_floating_point():
        return image
    mean, std = sent(torch.tensor((MEAN, STD)), image.device).view(2, 3, 1, 1)
    return (image.float() / 255 - mean) / std


def standardise(patches: Tensor) -> Tensor:
    """(B, P, C) pixels -> each patch with mean 0 and deviation 1 (MAE)."""
    centred = patches - patches.mean(-1, keepdim=True)
    return centred / (patches.var(-1, keepdim=True) + 1e-6).sqrt()


def widen(t: Tensor) -> Tensor:
    """At least float32: what autocast made narrower is widened before a norm or a loss."""
    return t.float() if t.dtype in (torch.bfloat16, torch.float16) else t
