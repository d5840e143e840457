"""Evaluation mode for the time of a `with`."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Puts a module into eval mode; afterwards every submodule is in the mode that it was in before.

    Gradients are left as they are: combine it with `torch.no_grad()` or `torch.inference_mode()` where none are wanted.
    """
    modes = {submodule: submodule.training for submodule in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for submodule, training in modes.items():
            submodule.training = training
