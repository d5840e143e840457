"""What a task's number must beat: simple models of the same training items, as the evaluation has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..baselines import bag_of_words, pixel_components
from ..linear_probe import linear_probe
from .task import Item

__all__ = ["from_pixels", "from_words"]

Says = Callable[[Sequence[Item]], list[Any]]
SIDE = 64  # pixels of a picture's side, at most


def from_words(train: Sequence[Item], numbers: bool = False) -> Says | None:
    """A bag of words; with `numbers` the targets are numbers. None where the items cannot be fitted."""
    groups = [item.group for item in train]
    known = groups if all(type(group) is int for group in groups) else None
    try:
        says = bag_of_words([i.texts for i in train], [i.target for i in train], known, numbers)  # type: ignore[arg-type]
    except ValueError:  # scikit-learn's: one label, no word
        return None
    return lambda items: says([item.texts for item in items]).tolist()


def from_pixels(train: Sequence[Item], most: int, picture: Callable[[Any], np.ndarray]) -> Says | None:
    """Logistic regression on at most so many principal components of the pixels that `picture` makes of an item's.
    None where the items cannot be fitted."""

    def small(items: Sequence[Item]) -> list[np.ndarray]:
        return [_small(picture(item.images[0])) for item in items]

    components, targets = pixel_components(shown := small(train), most), [item.target for item in train]
    try:
        probe = linear_probe(components(shown), targets)
    except ValueError:  # scikit-learn's: one label
        return None
    return lambda items: probe.predict(components(small(items))).tolist()


def _small(picture: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8, S <= SIDE: a larger picture's pixels are averaged."""
    if len(picture) <= SIDE:
        return picture
    pixels = torch.tensor(picture).permute(2, 0, 1).float()
    return F.adaptive_avg_pool2d(pixels, SIDE).round().byte().permute(1, 2, 0).numpy()
