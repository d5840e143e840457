"""Tasks whose items have one label each: cross-entropy, and learning from a few items of each label."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...base import seeding
from ...base.strings import shown
from ...config import ConfigError
from ...data.source import Split
from ...model import XFM
from .task import Answer, Item, TaskBatch, Trainable

DRAWS = 100  # of an endless split, times the items that are wanted


class Labelled(Trainable):
    """Each item has one of `labels`."""

    few_shot = True
    labels: tuple[Any, ...]

    @abstractmethod
    def logits(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor:
        """(B, K), in the order of `labels`."""

    def label_of(self, split: Split, index: int) -> Any:
        """The target of an item."""
        return self._own(split)[index].target if self.path else self.embedded_item(split, index).target

    def loss(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor:
        logits = self.logits(model, head, batch).float()
        return F.cross_entropy(logits, torch.tensor([self._places[t] for t in batch.targets], device=logits.device))

    def predict(self, model: XFM, head: Any, batch: TaskBatch) -> list[Answer]:
        likely, places = self.logits(model, head, batch).float().softmax(1).max(1)
        return [Answer(self.labels[i], p) for i, p in zip(places.tolist(), likely.tolist(), strict=True)]

    def size(self, split: Split) -> int | None:
        return len(self.few) if self.shots and split == "train" else super().size(split)

    def item(self, split: Split, index: int) -> Item:
        return super().item(split, self.few[index] if self.shots and split == "train" else index)

    def items(self, split: Split, most: int = 0) -> list[Item]:
        if not self.shots or split != "train":
            return super().items(split, most)
        return [self.item(split, i) for i in range(min(most or len(self.few), len(self.few)))]

    @cached_property
    def few(self) -> list[int]:
        """Where in the training split the `shots` items of each label are. ConfigError where a label has fewer."""
        missing, places, wanted = dict.fromkeys(self.labels, self.shots), list[int](), self.shots * len(self.labels)
        if (size := super().size("train")) is None:
            order: Iterable[int] = (seeding.seed("shots", self.seed, i) for i in range(DRAWS * wanted))
        else:
            order = seeding.rng("shots", self.seed).permutation(size).tolist()
        for place in order:
            label = self.label_of("train", place)
            if missing[label]:
                missing[label] -= 1
                places.append(place)
                if len(places) == wanted:
                    return places
        label, lacking = max(missing.items(), key=lambda entry: entry[1])
        there = f"label {shown(label)} has {self.shots - lacking} training items"
        raise ConfigError(f"shots = {self.shots}: {there}; ask for no more, or leave --shots out")

    @cached_property
    def _places(self) -> dict[Any, int]:
        return {label: i for i, label in enumerate(self.labels)}
