"""The gradient table: which objective trains which module, measured one objective at a time.

    print(gradient_table(Pretraining(model, config), batch))

*No path* is not *zero*: where the stop-gradient, or the architecture, leaves an objective no path to a module, its
entry is None; a gradient that exists but vanishes is 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..config import RunConfig
from ..model import XFM
from ..model.batch import Batch
from ..model.modes import eval_mode
from ..model.replicas import Peers, use_group
from ..objectives import OBJECTIVES, Pretraining
from ..objectives.declared import checked_loss

if TYPE_CHECKING:
    import pandas as pd

NO_PATH = "–"


@dataclass(frozen=True, repr=False)
class GradientTable:
    """`norms[objective][module]`: the L2 norm of the gradient over all of a module's parameters; None: no path."""

    norms: dict[str, dict[str, float | None]]

    @property
    def modules(self) -> list[str]:
        return list(next(iter(self.norms.values()), {}))

    def frame(self) -> pd.DataFrame:
        """Objectives x modules; None where there is no path (`.astype(float)` makes it NaN, for plots)."""
        import pandas as pd

        return pd.DataFrame([[*row.values()] for row in self.norms.values()], [*self.norms], self.modules, dtype=object)

    def __str__(self) -> str:
        cells = self.frame().T.map(lambda norm: NO_PATH if norm is None else f"{norm:.3g}")
        return f"{cells.to_string(col_space=9)}\nL2 norms of each objective's gradient; {NO_PATH} no path to the module"

    __repr__ = __str__


def without_teacher(model: XFM, config: RunConfig) -> RunConfig:
    """The config where MIM's teacher, another network, is not at hand: the model's own outputs stand in for it, and
    where MIM's head was made for one of another width, MIM is off."""
    if config.flow.mim_target not in ("frozen", "teacher") or "mim" not in model.objectives:
        return config
    head = model.objectives["mim"].head
    if isinstance(head, nn.Linear) and head.out_features != head.in_features:
        return config.replace({"objectives.mim.weight": 0.0})
    return config.replace({"flow.mim_target": "self"})


def gradient_table(pretraining: Pretraining, batch: Batch, key: tuple[object, ...] = (0, 0)) -> GradientTable:
    """The gradient norms of every objective that has a weight and a stream in the batch.

    In eval mode, unweighted, summed over streams. `key`: (seed, step), of ITM's negatives. Modes, weights and `.grad`
    are left as they were.
    """
    module_of = module_names(pretraining.model)
    order = [*pretraining.model.stacks, ""]  # the encoders in turn, each with its mask token last, before the heads

    def rank(module: str) -> tuple[int, bool]:
        return [module.startswith(stack) for stack in order].index(True), module.endswith("mask token")

    modules = sorted(dict.fromkeys(module_of.values()), key=rank)
    measured = objective_gradients(pretraining, batch, key)
    norms = {objective: module_norms(grads, module_of) for objective, grads in measured}
    return GradientTable({objective: {m: by.get(m) for m in modules} for objective, by in norms.items()})


def module_norms(
    grads: Mapping[str, Tensor | None], module_of: Mapping[str, str], scale: Callable[[str], float] = lambda name: 1.0
) -> dict[str, float | None]:
    """By module, the L2 norm of its parameters' gradients, each times its `scale`; None where none has a path."""
    by_module: dict[str, list[Tensor]] = {}
    for name, grad in grads.items():
        norms = by_module.setdefault(module_of[name], [])
        if grad is not None and (factor := scale(name)):
            norms.append(torch.linalg.vector_norm(grad) * factor)
    return {m: torch.linalg.vector_norm(torch.stack(n)).item() if n else None for m, n in by_module.items()}


def objective_gradients(
    pretraining: Pretraining, batch: Batch, key: tuple[object, ...] = (0, 0)
) -> Iterator[tuple[str, dict[str, Tensor | None]]]:
    """(objective, {parameter: its gradient, or None where there is no path}), as `gradient_table` measures them."""
    model, config = pretraining.model, pretraining.config
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for objective in (name for name in OBJECTIVES if config.weight(name) > 0):
        with eval_mode(pretraining), torch.enable_grad(), use_group(Peers()):  # a main process alone asks
            flows = [pretraining.flow(batch, stream, (objective,), key) for stream in batch]
            loss: Any = model.objectives[objective]
            losses = [checked_loss(loss, flow, objective, gradient=False).loss for flow in flows if flow.active]
            if not losses:
                continue
            total, grads = torch.stack(losses).sum(), (None,) * len(parameters)
            if total.requires_grad:
                grads = torch.autograd.grad(total, [*parameters.values()], allow_unused=True)
        yield objective, dict(zip(parameters, grads, strict=True))


def module_names(model: XFM) -> dict[str, str]:
    """parameter -> its module in the table: "language embeddings" (with the word table, which is MLM's decoder too),
    "language layer 0", "vision", "vision mask token", "fusion", "ITC head" (IMLM's has a word table of its own)."""

    stacks = {stack.encoder: (label, stack) for label, stack in model.stacks.items()}

    def module(parameter: str) -> str:
        part, _, rest = parameter.partition(".")
        if part == "objectives":
            return f"{rest.split('.')[0].upper()} head"
        if part not in stacks:
            raise KeyError(f"{parameter}: in no module of the gradient table")
        label, stack = stacks[part]
        if rest == "mask_token":
            return f"{label} mask token"
        if label != "language":  # the encoder that the stop-gradient is about is shown layer by layer
            return label
        layer = re.match(rf"{re.escape(stack.layers)}\.(\d+)\.", parameter)
        return f"{label} layer {layer[1]}" if layer else f"{label} embeddings"

    return {name: module(name) for name, _ in model.named_parameters()}
