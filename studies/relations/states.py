"""The states of every layer of the three encoders, of pictures and token ids together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from xfm.data.source import Example
from xfm.data.streams import pixels
from xfm.diagnostics import hooks
from xfm.model import ImageTokens
from xfm.model.batch import normalise
from xfm.tasks.context import BATCH, EvalContext


@torch.inference_mode()
def layer_states(
    context: EvalContext, shown: Sequence[Example], ids: Sequence[Sequence[int]]
) -> dict[str, list[Tensor]]:
    """Picture i with text i, of n -> by encoder ("vision", "language", "fusion") what enters its first layer, and what
    leaves each, (n, tokens, D) on the CPU; of patches alone, and texts padded to the longest. What enters the fusion
    encoder is what leaves the language encoder."""
    model, (padded, mask) = context.model, context.tokenizer.pad(ids)
    stacks = {name: hooks.layers(model, stack) for name, stack in model.stacks.items()}
    found: dict[str, list[list[Tensor]]] = {}
    for chunk in torch.arange(len(ids)).split(BATCH):
        with ExitStack() as stack:
            first = {name: next(iter(layers.values())) for name, layers in stacks.items() if layers}
            entered = stack.enter_context(hooks.record(first, inputs=True))
            left = {name: stack.enter_context(hooks.record(layers)) for name, layers in stacks.items()}
            image = normalise(pixels([shown[i].image for i in chunk.tolist()]).to(model.device)).to(model.dtype)
            tokens, seen = padded[chunk].to(model.device), mask[chunk].to(model.device)
            items = torch.arange(len(chunk), device=model.device)
            model.fusion(model.text(tokens, seen), seen, ImageTokens.of_pictures(model.vision(image)), items)
        for name, layers in left.items():
            prefix = model.stacks[name].prefix_tokens
            all_layers = [*entered.get(name, ()), *(outputs[0] for outputs in layers.values())]
            found.setdefault(name, []).append([hooks.tokens(t)[:, prefix:].float().cpu() for t in all_layers])
    return {name: [torch.cat(layer) for layer in zip(*chunks, strict=True)] for name, chunks in found.items()}
