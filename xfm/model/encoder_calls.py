"""Passes of the encoders: one tensor's, made when it is asked for; and those of several streams, made as one.

A joined pass has fewer and larger operations, and the same values. Dropout is keyed by stream, so an encoder that draws
any runs once a stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from threading import RLock
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import seeding
from . import ImageTokens
from .batch import PAD

RANDOM = RLock()  # torch's generator is one for all threads
# What is made by passes, in the order of what needs what, by the losses' reading that asks for it.
ASKED = {
    "text": ("text", "features"),
    "masked_text": ("masked_text",),
    "patches": ("image", "features", "fused"),
    "masked_patches": ("masked_image",),
    "fusion": ("fused",),
}


@dataclass(frozen=True)
class Pass:
    """One call of an encoder: what for, whether a loss sends a gradient into it, and its inputs."""

    encoder: str
    purpose: str
    graph: bool
    inputs: tuple[Any, ...]


class one_pass(cached_property[Tensor]):  # a decorator
    """The tensor that the pass makes which the decorated method of a flow describes."""

    def __init__(self, of: Callable[[Any], Pass]) -> None:
        super().__init__(lambda flow: run(flow, of(flow)))
        self.of, self.__doc__ = of, of.__doc__


def run(flow: Any, of: Pass) -> Tensor:
    """What the encoder returns, its dropout keyed; without a graph where no loss sends a gradient into it."""
    encoder = getattr(flow.model, of.encoder)
    random = flow.model.training and draws(encoder)
    with torch.set_grad_enabled(torch.is_grad_enabled() and of.graph), RANDOM if random else nullcontext():
        if random:
            torch.manual_seed(seeding.seed(*flow.key, of.encoder, of.purpose))
        return encoder(*of.inputs)


def draws(encoder: Any) -> bool:
    """Whether a training pass is random; one that does not say may be."""
    return getattr(encoder, "random", True)


def join(flows: Sequence[Any]) -> None:
    """Makes for flows of one model what their losses will read, in one pass where streams meet in an encoder. Sentences
    without pictures stay alone: they are longer."""
    with_pictures = [flow for flow in flows if hasattr(flow.batch, "image")]
    for name, reads in ASKED.items():
        asking = [flow for flow in with_pictures if flow.reading(*reads)]
        passes = [(flow, getattr(type(flow), name).of(flow)) for flow in asking if len(asking) > 1]
        for graph in (False, True):
            _make(name, [(flow, call) for flow, call in passes if call.graph == graph])


def _make(name: str, passes: Sequence[tuple[Any, Pass]]) -> None:
    if len(passes) < 2 or draws(getattr(passes[0][0].model, passes[0][1].encoder)):
        return
    flows, calls = zip(*passes, strict=True)
    rows = run(flows[0], _joined(calls)).split([len(p.inputs[0]) for p in calls])
    for flow, row, p in zip(flows, rows, calls, strict=True):
        flow.__dict__[name] = row if p.encoder == "vision" else row[:, : p.inputs[1].shape[1]]


def _joined(passes: Sequence[Pass]) -> Pass:
    columns = zip(*(p.inputs for p in passes), strict=True)
    if passes[0].encoder == "vision":
        return replace(passes[0], inputs=tuple(map(torch.cat, columns)))
    text, mask, *pictures = columns
    longest = max(m.shape[1] for m in mask)
    words = [_padded(t, longest, PAD if t.ndim == 2 else 0) for t in text]
    masks = [_padded(m, longest, False) for m in mask]
    rest = _images(list(zip(*pictures, strict=True))) if pictures else ()
    return replace(passes[0], inputs=(torch.cat(words), torch.cat(masks), *rest))


def _padded(x: Tensor, length: int, value: int | bool) -> Tensor:
    """(B, L, ...) -> (B, length, ...)"""
    return F.pad(x, (*(0, 0) * (x.ndim - 2), 0, length - x.shape[1]), value=value)


def _images(pairings: Sequence[tuple[ImageTokens, Tensor]]) -> tuple[ImageTokens, Tensor]:
    """The items of all parts, one after the other, and what is paired with them."""
    images, items = zip(*pairings, strict=True)
    pictures_before = accumulate((len(image.patches) for image in images), initial=0)
    items_before = accumulate((len(image.pooled) for image in images), initial=0)
    pooled, patches, seen = (torch.cat([getattr(i, name) for i in images]) for name in ("pooled", "patches", "seen"))
    owner = torch.cat([image.owner + n for image, n in zip(images, pictures_before, strict=False)])
    item = torch.cat([item + n for item, n in zip(items, items_before, strict=False)])
    return ImageTokens(pooled, patches, owner, seen), item
