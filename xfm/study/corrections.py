"""The primary family: Holm's correction, or gates through which one metric after the other is tested."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["gatekeeping", "holm"]


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's adjustment over a family. A test without p yet (NaN) counts in the family's size, as if it gave 1."""
    raw = np.asarray(p, float)
    if not len(raw):
        return raw
    # statsmodels' multipletests collects garbage in every call, which takes longer than a study's whole table
    filled = np.nan_to_num(raw, nan=1.0)
    order = np.argsort(filled)
    adjusted = np.empty_like(filled)
    adjusted[order] = np.minimum(np.maximum.accumulate(filled[order] * np.arange(len(filled), 0, -1)), 1.0)
    return np.where(np.isnan(raw), np.nan, adjusted)


def gatekeeping(p: ArrayLike) -> np.ndarray:
    """Adjusted p of comparisons whose metrics are tested in their order: p (comparisons, metrics) -> the same shape.
    A test without p yet (NaN) closes its gate, as if it gave 1.

    The graphical procedure of Bretz, Maurer, Brannath and Posch (2009, algorithm 2). Every comparison begins with an
    equal share of the level at its first metric; what rejects passes its share on to its next metric, and after the
    last one to the first of the other comparisons, equally. Of one metric it is Holm's, of one comparison a fixed
    sequence; the family-wise error stays at the level whatever is true.
    """
    raw = np.asarray(p, float)
    comparisons, metrics = raw.shape
    flat, size = np.nan_to_num(raw, nan=1.0).ravel(), raw.size
    share, passes = np.zeros(size), np.zeros((size, size))
    share[::metrics] = 1 / max(comparisons, 1)
    for i in range(size):
        if (i + 1) % metrics:
            passes[i, i + 1] = 1
        elif comparisons > 1:
            passes[i, ::metrics] = 1 / (comparisons - 1)
            passes[i, i + 1 - metrics] = 0
    adjusted, left, largest = np.ones(size), np.ones(size, bool), 0.0
    while (share[left] > 0).any():
        at = np.divide(flat, share, out=np.full(size, np.inf), where=left & (share > 0))
        j = int(at.argmin())
        adjusted[j] = largest = min(max(largest, at[j]), 1.0)
        left[j] = False
        share, passes = _without(j, share, passes, left)
    return np.where(np.isnan(raw), np.nan, adjusted.reshape(raw.shape))


def _without(j: int, share: np.ndarray, passes: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The graph after j is rejected: its share goes along its edges, and edges to it go on to where it led."""
    share = np.where(left, share + share[j] * passes[j], 0.0)
    back = passes[:, j] * passes[j]  # from each node to j and back
    through = passes + np.outer(passes[:, j], passes[j])
    passes = np.divide(through, 1 - back[:, None], out=np.zeros_like(passes), where=back[:, None] < 1)
    passes = passes * np.outer(left, left)
    np.fill_diagonal(passes, 0.0)
    return share, passes
