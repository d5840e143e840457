"""What modules compute as a model runs, recorded by forward hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..model import XFM
from ..model.stacks import Stack


@contextmanager
def record(modules: Mapping[str, nn.Module], inputs: bool = False) -> Iterator[dict[str, list[Tensor]]]:
    """The tensors that modules return (`inputs`: their first arguments), call by call, without a graph.

    By name, in the order in which they first ran; a module that returns no tensor is left out.
    """
    recorded: dict[str, list[Tensor]] = {}

    def keep(name: str, _: nn.Module, args: Any, output: Any = None) -> None:
        value = args[0] if inputs else output
        if isinstance(value, Tensor):
            recorded.setdefault(name, []).append(value.detach())

    with ExitStack() as stack:
        for name, module in modules.items():
            register = module.register_forward_pre_hook if inputs else module.register_forward_hook
            stack.enter_context(register(partial(keep, name)))
        yield recorded


def layers(model: XFM, stack: Stack) -> dict[str, nn.Module]:
    """Dotted name -> layer, from the first to the last."""
    modules: Any = model.get_submodule(stack.layers)
    return {stack.layer(index): layer for index, layer in enumerate(modules)}


def tokens(states: Tensor) -> Tensor:
    """A layer's states as tokens (B, N, D): feature maps (B, D, H, W) place by place, row by row."""
    return states.flatten(2).mT if states.ndim == 4 else states
