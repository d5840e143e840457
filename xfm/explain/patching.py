"""Activation patching: which states carry what makes two inputs different.

found = patching(of_a_lion, of_a_car, "fusion.layers.*")
{p.place: p.restored for p in found}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn

from ..config_utils import ConfigError, nearest, require
from ..model.modes import eval_mode
from .inputs import AttributionInputs


@dataclass(frozen=True)
class PatchingEffect:
    """States of a clean input put into a corrupt one."""

    place: str
    clean: float  # the target of each ...
    corrupt: float
    patched: float

    @property
    def restored(self) -> float:
        """Share of the difference that these states carry: 1 all of it, 0 nothing; NaN where there is no difference."""
        difference = self.clean - self.corrupt
        return (self.patched - self.corrupt) / difference if difference else math.nan


def activation_patching(
    clean: AttributionInputs, corrupt: AttributionInputs, pattern: str, tokens: Sequence[int] | None = None
) -> list[PatchingEffect]:
    """Activation patching (Vig et al., 2020; Meng et al., 2022): the corrupt question is asked again, once for each
    module whose dotted name fits the pattern, with what that module put out for the clean one; at some tokens, or all.

    The two may differ in an object or a word. ConfigError where no module fits, with the near names, and where what the
    two put out is not of one shape, as with texts of other lengths.
    """
    model = clean.model
    there: dict[str, nn.Module] = {name: module for name, module in model.named_modules() if name}
    chosen = {name: module for name, module in there.items() if fnmatchcase(name, pattern)}
    if not chosen:
        raise ConfigError(f"pattern = {pattern!r}: fits no module; {nearest(pattern, there, after=' ')}".rstrip())
    with eval_mode(model), recording(chosen) as kept:
        best = clean.score()
    with eval_mode(model):
        worst, found = corrupt.score(), []
        for name in kept:
            with replacing(chosen[name], kept[name], name, tokens):
                found.append(PatchingEffect(name, best, worst, corrupt.score()))
    return found


@contextmanager
def recording(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """What the modules put out, call by call, by name, in the order in which they first ran."""
    kept: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable:
        def hook(_: nn.Module, __: object, out: object) -> None:
            if isinstance(out, Tensor):
                kept.setdefault(name, []).append(out.detach())

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def replacing(module: nn.Module, values: Sequence[Tensor], name: str, tokens: Sequence[int] | None) -> Iterator[None]:
    """The module puts out `values`, call by call, at some tokens, or at all."""
    left = iter(values)

    def hook(_: nn.Module, __: object, out: Tensor) -> Tensor:
        value = next(left)
        require(out.shape == value.shape, name, tuple(value.shape), f"of the corrupt one's shape, {tuple(out.shape)}")
        if tokens is None:
            return value
        there = all(0 <= token < out.shape[-2] for token in tokens)
        require(there, "tokens", list(tokens), f"of {name}: 0 to {out.shape[-2] - 1}")
        mixed = out.clone()
        mixed[..., list(tokens), :] = value[..., list(tokens), :]
        return mixed

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
