"""Activation patching: which states carry the difference between two inputs.

effects = explain.activation_patching(clean, corrupt, "fusion.layers.*")
{effect.module: effect.restored for effect in effects}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn

from ..base.fields import ConfigError, nearest, require
from ..diagnostics import hooks
from ..model.modes import eval_mode
from .inputs import AttributionInputs


@dataclass(frozen=True)
class PatchingEffect:
    """The target with the states of a clean input put into the pass of a corrupt one."""

    module: str  # dotted name
    clean: float  # the target of each ...
    corrupt: float
    patched: float  # ... and of the corrupt one with the clean one's states

    @property
    def restored(self) -> float:
        """Share of the difference that these states carry: 1 all, 0 nothing; NaN where there is no difference."""
        difference = self.clean - self.corrupt
        return (self.patched - self.corrupt) / difference if difference else math.nan


def activation_patching(
    clean: AttributionInputs, corrupt: AttributionInputs, pattern: str, tokens: Sequence[int] | None = None
) -> list[PatchingEffect]:
    """Activation patching (Vig et al., 2020; Meng et al., 2022): one pass of the corrupt inputs for each module whose
    dotted name fits the pattern, with that module's output replaced by the clean inputs', at some tokens or at all.

    ConfigError where no module fits, with the nearest name, or none that does runs by itself (X-FM's query, key and
    value run as one product); for tokens that the output does not have; and where the two outputs differ in shape, as
    with texts of different lengths.
    """
    model = clean.model
    modules: dict[str, nn.Module] = {name: module for name, module in model.named_modules() if name}
    chosen = {name: module for name, module in modules.items() if fnmatchcase(name, pattern)}
    if not chosen:
        raise ConfigError(f"pattern = {pattern!r}: fits no module; {nearest(pattern, modules, after=' ')}".rstrip())
    with eval_mode(model):
        with hooks.record(chosen) as states:
            clean_score = clean.score()
        if not states:
            why = "is computed by the module around it, and has no output of its own; choose that one"
            raise ConfigError(f"pattern = {pattern!r}: what fits, as {next(iter(chosen))}, {why}")
        corrupt_score, effects = corrupt.score(), []
        for name, outputs in states.items():
            with chosen[name].register_forward_hook(_replace(name, outputs, tokens)):
                effects.append(PatchingEffect(name, clean_score, corrupt_score, corrupt.score()))
    return effects


def _replace(name: str, outputs: Sequence[Tensor], tokens: Sequence[int] | None) -> Callable[..., Tensor]:
    """A forward hook that replaces a module's output, call by call, at some tokens or at all."""
    remaining = iter(outputs)

    def hook(_: nn.Module, __: object, out: Tensor) -> Tensor:
        clean = next(remaining)
        require(out.shape == clean.shape, name, tuple(clean.shape), f"of the corrupt one's shape, {tuple(out.shape)}")
        if tokens is None:
            return clean
        valid = all(0 <= token < out.shape[-2] for token in tokens)
        require(valid, "tokens", list(tokens), f"of {name}: 0 to {out.shape[-2] - 1}")
        mixed = out.clone()
        mixed[..., list(tokens), :] = clean[..., list(tokens), :]
        return mixed

    return hook
