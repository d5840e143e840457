"""Relative position tables at another resolution, interpolated as the published code does it (BEiT's way)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..base.fields import require

CLASS_ROWS = 3  # class to any, any to class, class to class
SMALLEST = 3  # patches a side: a cubic spline needs four points


def grid_of(rows: int) -> int:
    """Patches a side of a table with so many rows; 0 where no square grid has that."""
    side = math.isqrt(max(rows - CLASS_ROWS, 0))
    return (side + 1) // 2 if side % 2 and side * side + CLASS_ROWS == rows else 0


def resize_table(table: Tensor, grid: int) -> Tensor:
    """A table ((2 g - 1)² + 3, H) -> ((2 grid - 1)² + 3, H) float32: per head a cubic spline through points that lie
    geometrically spaced about the centre, read off at whole offsets, clamped to its edge. The class token's rows stay.

    As published: to a smaller grid this takes the inner part of the table and does not rescale it. ConfigError for a
    table of no square grid, or of one smaller than 3."""
    present = grid_of(len(table))
    require(present > 0, "table", f"{len(table)} rows", "of a square grid: (2 g - 1)² + 3 rows")
    if present == grid:
        return table
    require(present >= SMALLEST, "table", f"of {present} patches a side", f"of at least {SMALLEST} to be interpolated")
    source, target = _spaced(present - 1, grid - 1), np.arange(1.0 - grid, grid)
    wanted, side = target.clip(source[0], source[-1]), 2 * present - 1
    from scipy.interpolate import RectBivariateSpline  # late: it takes longer than all the rest of this module

    heads = [
        RectBivariateSpline(source, source, values.reshape(side, side), kx=3, ky=3, s=0)(wanted, wanted).ravel()
        for values in table[:-CLASS_ROWS].double().T.numpy()
    ]
    inner = torch.from_numpy(np.stack(heads, 1)).float()
    return torch.cat([inner, table[-CLASS_ROWS:].float()])


def _spaced(n: int, reach: int) -> np.ndarray:
    """(2 n + 1,) offsets 0, ±1, ±(1 + q), ±(1 + q + q²), ...: q by bisection so that the last is about `reach`."""
    low, high, q = 1.01, 1.5, 1.01
    while high - low > 1e-6:
        q = (low + high) / 2
        low, high = (low, q) if (1 - q**n) / (1 - q) > reach else (q, high)
    offsets = np.cumsum(q ** np.arange(n))
    return np.concatenate([-offsets[::-1], [0.0], offsets])
