"""What a downstream task is: items with a truth, a head on the encoders, a loss, and a score an item.

A task is a file in `tasks/` and a line in its table; the loop (`finetune`), the command, the controls and the table of
results derive from what it declares.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .. import seeding
from ..batch import END, normalise
from ..config import RunConfig
from ..data import Dataset, dataset
from ..data.source import Split
from ..data.tokenizer import Tokenizer
from ..model import XFM

__all__ = ["Family", "Hidden", "Item", "Task", "TaskBatch"]

Family = Literal["language", "vision", "vision-language"]
Hidden = Literal["", "pictures", "texts"]  # what a control does not see


@dataclass(frozen=True, eq=False)
class Item:
    """One example. What is asked, and what is right."""

    texts: tuple[str, ...] = ()
    images: tuple[np.ndarray, ...] = ()  # (S, S, 3) uint8
    target: Any = None
    group: object = None  # items of one group are not independent; None: each its own


@dataclass(frozen=True, eq=False)
class TaskBatch:
    """Items as tensors, on the model's device."""

    ids: Tensor  # (B, L); (B, 0) where there are no texts
    mask: Tensor
    images: tuple[Tensor, ...]  # each (B, 3, H, W), normalised
    targets: tuple[Any, ...]


class Task(ABC):
    """A subclass states its `name` (of the command), `title`, `family`, the `metric` that `scores` are the mean of, and
    what it `needs` of the data (keys of `CAPABILITIES`)."""

    name: str
    title: str
    family: Family
    metric: str = "accuracy"
    needs: frozenset[str] = frozenset()
    heads: tuple[str, ...] = ()  # losses whose heads it starts from
    tested = 1000  # items, where there are more

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, data: Dataset | None = None) -> None:
        """`config`: the pretrained run's. ConfigError where its data provide too little."""
        self.config, self.tokenizer, self.data = config, tokenizer, data or dataset(config)

    @abstractmethod
    def size(self, split: Split) -> int | None:
        """Items of a split; None: as many as are wanted."""

    @abstractmethod
    def item(self, split: Split, index: int) -> Item: ...

    @abstractmethod
    def head(self, model: XFM) -> nn.Module:
        """What is new, or a copy of what pre-training has left for it."""

    @abstractmethod
    def loss(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor: ...

    @abstractmethod
    def predict(self, model: XFM, head: Any, batch: TaskBatch) -> list[Any]:
        """What the model says of each item."""

    def scores(self, predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
        """(n,) in [0, 1]"""
        return np.array([p == t for p, t in zip(predicted, targets, strict=True)], float)

    def prior(self, targets: Sequence[Any]) -> tuple[Any, str]:
        """What to say of every item without looking at it, from the training targets, and what that is called."""
        values, counts = np.unique(np.asarray(targets), return_counts=True)
        return values[counts.argmax()].item(), "most frequent"

    def items(self, split: Split, most: int = 0) -> list[Item]:
        """The first `most` items of a split (0: `tested`), or all where it has fewer."""
        size, most = self.size(split), most or self.tested
        return [self.item(split, i) for i in range(most if size is None else min(most, size))]

    def drawn(self, seed: int, step: int, batch: int) -> list[Item]:
        """The items of a training step: none comes again before all have come."""
        size = self.size("train")
        places = range(step * batch, (step + 1) * batch)
        if size is None:
            return [self.item("train", seeding.seed("item", seed, i)) for i in places]
        return [self.item("train", _order(seed, i // size, size)[i % size]) for i in places]

    def batch(self, items: Sequence[Item], device: torch.device, hidden: Hidden = "") -> TaskBatch:
        """The items as tensors; `hidden` ones are replaced: pictures by grey, texts by nothing."""
        rows = [self.encode(() if hidden == "texts" else item.texts) for item in items]
        ids, mask = self.tokenizer.pad(rows)
        pictures = [np.stack(each) for each in zip(*(item.images for item in items), strict=True)]
        tensors = (normalise(torch.from_numpy(p).permute(0, 3, 1, 2).to(device)) for p in pictures)
        images = tuple(torch.zeros_like(t) if hidden == "pictures" else t for t in tensors)
        return TaskBatch(ids.to(device), mask.to(device), images, tuple(item.target for item in items))

    def encode(self, texts: Sequence[str]) -> list[int]:
        """`<s> a </s>`, of two `<s> a </s></s> b </s>`, cut to what the model's positions hold."""
        most = min(self.config.data.text_tokens, (self.config.model.text.positions - 2) // max(len(texts), 1))
        first, *others = [self.tokenizer.encode(text, most) for text in texts or ("",)]
        return [*first, *(token for ids in others for token in (END, *ids[1:]))]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, size: int) -> list[int]:
    return seeding.rng("order", seed, epoch).permutation(size).tolist()
