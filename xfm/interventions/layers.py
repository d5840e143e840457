"""Per-layer insulation: which of an encoder's layers a gradient trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from .vectors import Grads


def depths(names: Sequence[str], layers: str) -> list[int]:
    """Of an encoder's parameters, in the module's order, the layer: 0 for what comes before the first (embeddings),
    then 1 ... L, and L for what comes after the last. `layers`: the dotted name of its list of layers."""
    within = (name.removeprefix(f"{layers}.").partition(".")[0] for name in names)
    depths_named = [int(index) + 1 if index.isdecimal() else 0 for index in within]
    return [*accumulate(depths_named, max)]


def stopped(grads: Grads, depth: Sequence[int], share: float, upper: bool) -> Grads:
    """The gradient without its part for the lower `share` of the layers (rounded up; embeddings count as below), or
    for the `upper` one. The gradient still flows through the layers that it does not train."""
    layers = max(depth)
    count = math.ceil(share * layers - 1e-9)  # 0.1 * 10 layers is one
    insulated = [d > layers - count if upper else d <= count and count > 0 for d in depth]
    return [None if cut else g for g, cut in zip(grads, insulated, strict=True)]
