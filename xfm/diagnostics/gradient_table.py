"""The gradient table: which objective shapes which module, measured one objective at a time.

    print(table(Pretraining(model, config), batch))

*No path* is not *zero*: where the stop-gradient, or the architecture, leaves an objective no way to a module, its entry
is None; a gradient that exists but vanishes is 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..batch import Batch
from ..model.modes import eval_mode
from ..objectives import OBJECTIVES, Pretraining

if TYPE_CHECKING:
    import pandas as pd

MODULES = [  # a parameter's name, from its start -> its module, in the table's order
    (r"text\.(?!layers)", "language embeddings"),  # the word table is also MLM's decoder
    (r"text\.layers\.(\d+)\.", "language layer {}"),
    (r"vision\.(?!mask_token)", "vision"),
    (r"vision\.mask_token", "vision mask token"),
    (r"fusion\.", "fusion"),
    (r"objectives\.(\w+)\.", "{} head"),  # IMLM's with its word table
]
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

    def routing(self) -> pd.DataFrame:
        """Objectives x modules: True where there is a path."""
        return self.frame().map(lambda norm: norm is not None).astype(bool)

    def __str__(self) -> str:
        rows = [["", *self.norms]]
        for m in self.modules:
            norms = (row[m] for row in self.norms.values())
            rows.append([m, *(NO_PATH if norm is None else f"{norm:.3g}" for norm in norms)])
        first = max(len(row[0]) for row in rows)
        lines = [f"{name:{first}}" + "".join(f"{cell:>10}" for cell in cells) for name, *cells in rows]
        return "\n".join([*lines, f"L2 norms of each objective's gradient; {NO_PATH} no path to the module"])

    __repr__ = __str__


def gradient_table(pretraining: Pretraining, batch: Batch, key: tuple[object, ...] = (0, 0)) -> GradientTable:
    """The gradient norms of every objective that the config has on and a stream of the batch serves.

    In eval mode, unweighted, summed over streams. `key`: (seed, step), of ITM's negatives. Modes, weights and `.grad`
    are left as they were.
    """
    names = [name for name, _ in pretraining.model.named_parameters()]
    modules = [m for pattern, _ in MODULES for m in dict.fromkeys(module_of(n) for n in names if re.match(pattern, n))]
    norms: dict[str, dict[str, float | None]] = {}
    for objective, grads in objective_gradients(pretraining, batch, key):
        reached: dict[str, list[Tensor]] = {}
        for name, grad in grads.items():
            if grad is not None:
                reached.setdefault(module_of(name), []).append(torch.linalg.vector_norm(grad))
        norms[objective] = {
            m: torch.linalg.vector_norm(torch.stack(reached[m])).item() if m in reached else None for m in modules
        }
    return GradientTable(norms)


def objective_gradients(
    pretraining: Pretraining, batch: Batch, key: tuple[object, ...] = (0, 0)
) -> Iterator[tuple[str, dict[str, Tensor | None]]]:
    """(objective, {parameter: its gradient, or None where there is no path}), as `table` measures them."""
    model, config = pretraining.model, pretraining.config
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for objective in (name for name in OBJECTIVES if config.weight(name) > 0):
        with eval_mode(pretraining), torch.enable_grad():
            flows = [pretraining.flow(batch, stream, (objective,), key) for stream in batch]
            losses = [model.objectives[objective](flow).loss for flow in flows if flow.active]
            if not losses:
                continue
            total = torch.stack(losses).sum()
            grads: tuple[Tensor | None, ...] = (None,) * len(named)
            if total.requires_grad:
                grads = torch.autograd.grad(total, list(named.values()), allow_unused=True)
        yield objective, dict(zip(named, grads, strict=True))


def module_of(parameter: str) -> str:
    """The table's module of a parameter's name."""
    for pattern, label in MODULES:
        if found := re.match(pattern, parameter):
            return label.format(*map(str.upper, found.groups()))
    raise KeyError(f"{parameter}: in no module of the gradient table")
