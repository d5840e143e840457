"""What is known of an encoder from outside: its stack of layers, and where in a layer attention is.

Traces, randomisation, interventions and the gradient table derive their parts from it, so that another encoder brings
its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Tokens = Literal["text", "image"]


@dataclass(frozen=True)
class AttentionSite:
    """One attention of every layer of a stack."""

    attribute: str  # of a layer: "attention", "cross"
    queries: Tokens
    keys: Tokens


@dataclass(frozen=True)
class Stack:
    """An encoder as a stack of layers; names are dotted, from the model."""

    encoder: str  # "text"
    layers: str  # its ModuleList: "text.layers"
    attentions: Mapping[str, AttentionSite]  # by the attention map's name: language, vision, fusion, cross
    per_layer: tuple[str, ...] = ()  # further lists with an entry a layer: "vision.relative_bias"
    prefix_tokens: int = 0  # tokens of the layers that come before the words or patches, a class token say

    def layer(self, index: int | str) -> str:
        return f"{self.layers}.{index}"

    def attention(self, name: str, layer: int | str) -> str:
        """The attention module behind a map and a layer, or "*" for any: "fusion.layers.1.cross"."""
        return f"{self.layer(layer)}.{self.attentions[name].attribute}"


def layers_of(model: Any) -> list[nn.Module]:
    """Of all encoders of an XFM, one after the other."""
    return [layer for stack in model.stacks.values() for layer in model.get_submodule(stack.layers)]


def checkpoint_layers(model: Any) -> None:
    """Activation checkpointing: each layer of an XFM keeps its inputs alone, and is computed again, with the same
    draws, when its backward pass needs more."""
    for layer in layers_of(model):
        if "forward" not in vars(layer):
            layer.forward = partial(_again, layer, layer.forward)


def _again(layer: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
    if layer.training and torch.is_grad_enabled():
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)
    return forward(*args, **kwargs)
