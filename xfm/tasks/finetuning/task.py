"""What a downstream task is: items with a truth, a head on the encoders, a loss, and a score an item. The loop
(`finetune`), the command, the controls and the table of results derive from what it declares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...base import seeding
from ...base.images import prepare
from ...config import ConfigError, RunConfig
from ...data import Dataset, dataset
from ...data.source import Split
from ...data.tokenizer import Tokenizer
from ...data.world.scenes import World
from ...model import XFM
from ...model.batch import END, normalise
from ..result import Measure
from .protocol import Protocol

Family = Literal["language", "vision", "vision-language"]
Hidden = Literal["", "pictures", "texts"]  # what a control does not see
Frozen = Literal["", "encoders", "model"]  # what a fine-tuning leaves as it was pretrained
CHUNK = 64  # items at once where nothing is learnt


@dataclass(frozen=True, eq=False)
class Item:
    """One example. What is asked, and what is right."""

    texts: tuple[str, ...] = ()
    images: tuple[Any, ...] = ()  # (S, S, 3) uint8; for user data any that `images.prepare` takes, decoded lazily
    target: Any = None
    group: object = None  # items of one group are not independent; None: each its own


class Answer(NamedTuple):
    """What a model says of an item, the probability that it gives it (NaN: none), and what speaks against it."""

    value: Any
    confidence: float = float("nan")
    doubt: str = ""


@dataclass(frozen=True, eq=False)
class TaskBatch:
    """Items as tensors, on the model's device."""

    ids: Tensor  # (B, L); (B, 0) where there are no texts
    mask: Tensor
    images: tuple[Tensor, ...]  # each (B, 3, H, W), normalised
    targets: tuple[Any, ...]


class Trainable(ABC):
    """Base class of tasks. A subclass states `name` (of the command), `title`, `family`, the `metric` that averages
    `scores`, what it `needs` of the embedded data (keys of `CAPABILITIES`), and which user data it `reads`."""

    name: str
    title: str
    family: Family
    metric: str = "accuracy"
    needs: frozenset[str] = frozenset()
    heads: tuple[str, ...] = ()  # losses whose heads it starts from
    decodes: ClassVar[bool] = False  # it writes with a `Decoder`, which is made of RoBERTa's parts
    hides: ClassVar[tuple[Hidden, ...]] = ()  # what a control of pictures with texts may hide
    tested = 1000  # items of the embedded data, where there are more
    embedded: ClassVar[bool] = True  # there are items without user data
    reads: ClassVar[str] = ""  # what `--data` is, in words; "" where it reads none
    other_head: ClassVar[str] = ""  # what `--published` makes the head, in words; "" where it is the published one
    protocol: ClassVar[Protocol | None] = None  # by which `--published` trains
    few_shot: ClassVar[bool] = False  # it may learn from a few items of each label
    regressed: ClassVar[tuple[str, ...]] = ()  # the names of `numbers`, where an answer is numbers and no label or text
    baseline_name: ClassVar[str] = ""  # of `baseline`; "" where it has none
    baseline_items: ClassVar[int] = 20_000  # training items that the baseline is fitted to, at most

    def __init__(
        self,
        config: RunConfig,
        tokenizer: Tokenizer,
        path: str = "",
        shots: int = 0,
        seed: int = 0,
        published: bool = False,
    ) -> None:
        """`config`: the pretrained run's; `path`: of user data, "" for bundled ones; `shots`: training items of each
        label, drawn by `seed`, 0: all; `published`: the head is `other_head`. ConfigError without reader or items."""
        self.config, self.tokenizer, self.path = config, tokenizer, path
        self.shots, self.seed, self.published = shots, seed, published
        self._own = cache(self.read)
        takes = f"; --data takes {self.reads}" if self.reads else ""
        if path and not self.reads:
            raise ConfigError(f"task = {self.name!r}: reads no user data; leave --data out")
        if not path and not self.embedded:
            raise ConfigError(f"task = {self.name!r}: has no embedded data{takes}")
        if not path and (missing := sorted(need for need in self.needs if need not in self.data.provides)):
            lacks = f"needs {' and '.join(missing)}, which {self.data.name} does not provide"
            raise ConfigError(f"task = {self.name!r}: {lacks}{takes}")

    @cached_property
    def data(self) -> Dataset:
        """The pretrained run's."""
        return dataset(self.config)

    @property
    def world(self) -> World:
        return self.data.world

    def read(self, split: Split) -> list[Item]:
        """Items of a split of the user data at `path`, pictures as paths. ConfigError for broken entries, with file,
        line and a recovery hint."""
        raise NotImplementedError

    def embedded_size(self, split: Split) -> int | None:
        """Items of a split of the embedded data; None: as many as are wanted."""
        return None

    def embedded_item(self, split: Split, index: int) -> Item:
        """One of them, a function of split and index."""
        raise NotImplementedError

    def size(self, split: Split) -> int | None:
        """Items of a split; None: as many as are wanted."""
        return len(self._own(split)) if self.path else self.embedded_size(split)

    def item(self, split: Split, index: int) -> Item:
        """One of them, its pictures as the model takes them."""
        if not self.path:
            return self.embedded_item(split, index)
        item = self._own(split)[index]
        return replace(item, images=tuple(map(self.picture, item.images)))

    def picture(self, image: Any) -> np.ndarray:
        """A picture of user data -> (S, S, 3) uint8, as the model takes it. One that is so already stays."""
        side = self.config.model.vision.image_size
        there = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape == (side, side, 3)
        return image if there else self.framed(image, side)

    framed: Callable[[Any, int], np.ndarray] = staticmethod(prepare)  # what the model sees: the square in the middle

    def asked(self, texts: Sequence[str], images: Sequence[Any]) -> Item:
        """A user's texts about pictures (see `images.prepare`), as an item like those of the tests."""
        return Item(tuple(texts), tuple(map(self.picture, images)))

    def varied(self, index: int, rng: np.random.Generator) -> Item:
        """A training item, its pictures varied where the task's protocol says so."""
        return self.item("train", index)

    def truth(self, target: Any) -> Any:
        """What a target asks for, as `predict` answers; `loss` takes either."""
        return target

    @abstractmethod
    def head(self, model: XFM) -> nn.Module:
        """What is new, or a copy of what pre-training has left for it."""

    @abstractmethod
    def loss(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor: ...

    @abstractmethod
    def predict(self, model: XFM, head: Any, batch: TaskBatch) -> list[Answer]:
        """What the model says of each item."""

    def numbers(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor:
        """(B, K) float32: those that `regressed` names, with their gradients."""
        raise NotImplementedError

    def ranked(self, model: XFM, head: Any, batch: TaskBatch) -> list[list[Answer]]:
        """Of each item the likeliest answers, best first; where a task ranks none, the one that it gives."""
        return [[answer] for answer in self.predict(model, head, batch)]

    def answers(self, model: XFM, head: Any, items: Sequence[Item], hidden: Hidden = "") -> list[Answer]:
        """What the model says of many; it is in eval mode."""
        batches = (self.batch(items[i : i + CHUNK], model.device, hidden) for i in range(0, len(items), CHUNK))
        return [answer for batch in batches for answer in self.predict(model, head, batch)]

    def scores(self, predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
        """How right each is, (n,) in [0, 1]."""
        return np.array([p == self.truth(t) for p, t in zip(predicted, targets, strict=True)], float)

    def measures(self) -> tuple[Measure, ...]:
        """What is reported; validation chooses by the first."""
        return (Measure(self.metric, self.scores),)

    def prior(self, targets: Sequence[Any]) -> tuple[Any, str]:
        """Best constant answer, from the training targets, and its name as a baseline."""
        values, counts = np.unique([self.truth(target) for target in targets], return_counts=True)
        return values[counts.argmax()].item(), "most frequent"

    def baseline(self, train: Sequence[Item]) -> Callable[[Sequence[Item]], Sequence[Any]] | None:
        """A model without encoder, fitted to training items: predicts others. None where they are too few to fit."""
        return None

    def tests(self) -> Mapping[str, Sequence[Item]]:
        """What is tested on, each by its name; "": the test split."""
        return {"": self.items("test")}

    def items(self, split: Split, most: int = 0) -> list[Item]:
        """The first `most` items of a split (0: `tested`), or all where it has fewer. Of user data, whose order may be
        meaningful, a keyed random choice (0: all); their pictures are decoded by `batch`."""
        size = self.size(split)
        if not self.path or size is None:
            most = most or self.tested
            return [self.item(split, i) for i in range(most if size is None else min(most, size))]
        places = seeding.rng("items", self.name, split).permutation(size)[: most or size]
        return [self._own(split)[i] for i in sorted(places.tolist())]

    def drawn(self, seed: int, step: int, batch: int) -> list[Item]:
        """The items of a training step: none comes again before all have come."""
        size = self.size("train")
        places = range(step * batch, (step + 1) * batch)
        if size is None:
            return [self.item("train", seeding.seed("item", seed, i)) for i in places]
        return [self.varied(_order(seed, i // size, size)[i % size], seeding.rng("vary", seed, i)) for i in places]

    def batch(self, items: Sequence[Item], device: torch.device, hidden: Hidden = "") -> TaskBatch:
        """The items as tensors; `hidden` ones are replaced: pictures by grey, texts by nothing."""
        rows = [self.encode(() if hidden == "texts" else item.texts) for item in items]
        ids, mask = self.tokenizer.pad(rows)
        pictures = [np.stack([*map(self.picture, col)]) for col in zip(*(item.images for item in items), strict=True)]
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
