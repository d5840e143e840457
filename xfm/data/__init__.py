"""Datasets by name. A new one is a source (`source.py`) and a line in `DATASETS`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TypeVar

from .. import seeding
from ..config import STREAMS, ConfigError, RunConfig
from ..config_utils import one_of
from . import tokenizer
from .source import CAPABILITIES, ItemKey, Source
from .synthetic.scenes import World
from .synthetic.shuffled import Shuffled
from .wordnet import Sentence, WordNet

__all__ = ["DATASETS", "Dataset", "dataset"]
S = TypeVar("S")


@dataclass(frozen=True)
class Dataset:
    """What the four streams and the evaluation draw from: one source or several, mixed by weight."""

    config: RunConfig
    sources: Sequence[Source]
    weights: Sequence[float] = ()  # of each source in the streams that it can feed; (): all alike

    def __post_init__(self) -> None:
        """Raises ConfigError for no source, weights that are not one a source, and what no source can provide."""
        if not self.sources:
            raise ConfigError(f"{self._name}: has no source")
        if self.weights and (len(self.weights) != len(self.sources) or not all(0 < w < inf for w in self.weights)):
            allowed = f"{len(self.sources)} positive numbers, one a source"
            raise ConfigError(f"{self._name}: weights = {self.weights}: must be {allowed}")
        for source in self.sources:
            for capability in source.provides:
                one_of(f"{self._name}: source {source.name!r}: provides", capability, CAPABILITIES)

    @property
    def _name(self) -> str:
        """For messages."""
        names = ", ".join(repr(source.name) for source in self.sources)
        return f"data.dataset = {self.config.data.dataset!r} (sources: {names})"

    @cached_property
    def provides(self) -> frozenset[str]:
        """Keys of CAPABILITIES."""
        return frozenset().union(*(source.provides for source in self.sources))

    @cached_property
    def credit(self) -> str:
        """What figures of the pictures must say."""
        return "; ".join(dict.fromkeys(source.credit for source in self.sources if source.credit))

    @cached_property
    def stream_sizes(self) -> dict[str, int]:
        """Items a step of every stream that is on: wanted by the config, and provided by a source."""
        sizes = {stream: getattr(self.config.data, stream) for stream in STREAMS}
        return {stream: size for stream, size in sizes.items() if size and stream in self.provides}

    def check_streams(self) -> None:
        """Warns of streams that the config wants and no source provides. Raises ConfigError where none is left."""
        wanted = {stream: size for stream in STREAMS if (size := getattr(self.config.data, stream))}
        if not (lacking := {stream: size for stream, size in wanted.items() if stream not in self.provides}):
            return
        fields = ", ".join(f"data.{stream} = {size}" for stream, size in lacking.items())
        message = f"{self._name} provides no {' and no '.join(lacking)}, but {fields}"
        if lacking == wanted:
            raise ConfigError(f"{message}: no stream is left to train on")
        warnings.warn(f"{message}: off, and with it what learns from it alone", stacklevel=3)

    def source_of(self, stream: str, key: ItemKey) -> Source:
        """The source of an item, of those that feed the stream; where that is one, nothing is drawn."""
        feeding = self.feeding[stream]
        if len(feeding) == 1:
            return feeding[0][0]
        drawn = seeding.rng("source", key.seed, key.split, key.step, stream, key.index).random()
        drawn *= sum(weight for _, weight in feeding)
        for source, weight in feeding:
            if (drawn := drawn - weight) < 0:
                return source
        return feeding[-1][0]

    @cached_property
    def feeding(self) -> dict[str, list[tuple[Source, float]]]:
        """The sources of each stream, with their weights."""
        weighted = list(zip(self.sources, self.weights or [1.0] * len(self.sources), strict=True))
        return {stream: [(s, w) for s, w in weighted if stream in s.provides] for stream in STREAMS}

    def tokenizer(self) -> tokenizer.Tokenizer:
        """Trained on the corpora of the sources once, and cached."""
        return tokenizer.for_sources(self.sources, self.config.model.text.vocabulary)

    def _of_type(self, kind: type[S], capability: str) -> S:
        for source in self.sources:
            if isinstance(source, kind):
                return source
        raise ValueError(f"{self._name} provides no {capability}: {CAPABILITIES[capability]}")

    @property
    def world(self) -> World:
        """The drawn world. Raises ValueError where it is no source."""
        return self._of_type(World, "objects")

    def sentences(self, split: str) -> Sequence[Sentence]:
        """WordNet's sentences of a split. Raises ValueError where it is no source."""
        return self._of_type(WordNet, "senses").sentences(split)


def _openmoji_wordnet(config: RunConfig, world: type[World] = World) -> Dataset:
    """OpenMoji scenes and WordNet sentences."""
    data = config.data
    scenes = world(
        data.concepts, config.model.vision.image_size, data.scenes, data.captions, data.single_until, data.full_from
    )
    return Dataset(config, (scenes, WordNet(scenes)))


DATASETS: dict[str, Callable[[RunConfig], Dataset]] = {
    "openmoji": _openmoji_wordnet,
    "shuffled": lambda config: _openmoji_wordnet(config, Shuffled),
}


def dataset(config: RunConfig) -> Dataset:
    """The dataset that the config names. Raises ConfigError for an unknown name."""
    one_of("data.dataset", config.data.dataset, DATASETS)
    return DATASETS[config.data.dataset](config)
