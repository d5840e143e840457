"""The streams' passes through an encoder made one: fewer and larger operations, the same values.

Dropout is keyed by stream, so encoders that draw any are left to run once a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from .batch import PAD
from .flow import Flow, Pass
from .model import ImageTokens

__all__ = ["join"]

# What a pass makes, in the order of what needs what, and which losses' reading asks for it.
MADE = {
    "text": ("text", "features"),
    "masked_text": ("masked_text",),
    "patches": ("image", "features", "fused"),
    "masked_patches": ("masked_image",),
    "fusion": ("fused",),
}


def join(flows: Sequence[Flow]) -> None:
    """Makes for all flows what their losses will read, in one pass where streams meet in an encoder. Sentences without
    pictures stay alone: they are longer."""
    with_pictures = [flow for flow in flows if hasattr(flow.batch, "image")]
    for name, reads in MADE.items():
        asking = [flow for flow in with_pictures if flow.reading(*reads)]
        encoder = name if name == "fusion" else "text" if "text" in name else "vision"
        if len(asking) > 1 and not getattr(getattr(flows[0].model, encoder), "random", True):
            _make(name, asking)


def _make(name: str, flows: Sequence[Flow]) -> None:
    passes = [(flow, getattr(flow, f"{name}_pass")()) for flow in flows]
    for _, group in groupby(sorted(passes, key=lambda p: p[1].graph), key=lambda p: p[1].graph):
        asking, each = zip(*group, strict=True)
        made = asking[0].encode(_joined(each))
        rows = made.split([len(p.inputs[0]) for p in each])
        for flow, own, p in zip(asking, rows, each, strict=True):
            flow.__dict__[name] = own if p.encoder == "vision" else own[:, : p.inputs[1].shape[1]]


def _joined(passes: Sequence[Pass]) -> Pass:
    if len(passes) == 1:
        return passes[0]
    first, inputs = passes[0], [p.inputs for p in passes]
    if first.encoder == "vision":
        return Pass(first.encoder, first.purpose, first.graph, tuple(map(torch.cat, zip(*inputs, strict=True))))
    longest = max(mask.shape[1] for _, mask, *_ in inputs)
    mask = torch.cat([F.pad(mask, (0, longest - mask.shape[1])) for _, mask, *_ in inputs])
    if first.encoder == "text":
        ids = torch.cat([F.pad(ids, (0, longest - ids.shape[1]), value=PAD) for ids, _ in inputs])
        return Pass(first.encoder, first.purpose, first.graph, (ids, mask))
    text = torch.cat([F.pad(text, (0, 0, 0, longest - text.shape[1])) for text, *_ in inputs])
    image, item = _images([(image, item) for _, _, image, item in inputs])
    return Pass(first.encoder, first.purpose, first.graph, (text, mask, image, item))


def _images(parts: Sequence[tuple[ImageTokens, Tensor]]) -> tuple[ImageTokens, Tensor]:
    """The items of all parts, one after the other, and what is paired with them."""
    items, pictures = [0], [0]
    for image, _ in parts:
        items.append(items[-1] + len(image.pooled))
        pictures.append(pictures[-1] + len(image.patches))
    joined = ImageTokens(
        torch.cat([image.pooled for image, _ in parts]),
        torch.cat([image.patches for image, _ in parts]),
        torch.cat([image.owner + start for (image, _), start in zip(parts, pictures, strict=False)]),
        torch.cat([image.seen for image, _ in parts]),
    )
    return joined, torch.cat([item + start for (_, item), start in zip(parts, items, strict=False)])
