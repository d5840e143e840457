"""Datasets by name. A new one is a source (`source.py`) and a line in `DATASETS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from math import inf
from typing import TypeVar

from ..base import seeding
from ..base.fields import one_of, require
from ..base.strings import shown
from ..config import STREAMS, ConfigError, RunConfig
from .skipped_items import Skipping
from .source import CAPABILITIES, ItemKey, Missed, Source
from .tokenizer import Tokenizer, for_sources
from .wordnet import Sentence, WordNet
from .world import styles
from .world.crisp import RememberingWorld
from .world.scenes import World

__all__ = ["DATASETS", "Dataset", "dataset"]

S = TypeVar("S")


@dataclass(frozen=True)
class Dataset:
    """What the four streams and the evaluation draw from: one source, or several mixed by weight."""

    config: RunConfig
    sources: Sequence[Source]
    weights: Sequence[float] = ()  # of each source in the streams that it provides; (): equal

    def __post_init__(self) -> None:
        """Raises ConfigError for no source, weights that are not one a source, and unknown capabilities."""
        if not self.sources:
            raise ConfigError(f"{self.name}: has no source")
        if self.weights and (len(self.weights) != len(self.sources) or not all(0 < w < inf for w in self.weights)):
            allowed = f"{len(self.sources)} positive numbers, one a source"
            raise ConfigError(f"{self.name}: weights = {self.weights}: must be {allowed}")
        for source in self.sources:
            for capability in source.provides:
                one_of(f"{self.name}: source {source.name!r}: provides", capability, CAPABILITIES)

    @property
    def name(self) -> str:
        """For messages."""
        if self.config.data.sources:
            return f"data.sources = {list(self.config.data.sources)}"
        return f"data.dataset = {self.config.data.dataset!r} ({' + '.join(source.name for source in self.sources)})"

    @cached_property
    def provides(self) -> frozenset[str]:
        """Keys of CAPABILITIES."""
        return frozenset().union(*(source.provides for source in self.sources))

    @property
    def licences(self) -> list[str]:
        """What a report must say of the data, a line a source."""
        return [source.licence for source in self.sources if source.licence]

    @property
    def credit(self) -> str:
        """What figures of the pictures must say."""
        return "; ".join(dict.fromkeys(source.credit for source in self.sources if source.credit))

    @cached_property
    def feasible(self) -> RunConfig:
        """The config with the streams off that no source provides. Raises ConfigError where none is left."""
        missing = [stream for stream in STREAMS if getattr(self.config.data, stream) and stream not in self.provides]
        config = self.config.replace({f"data.{stream}": 0 for stream in missing}) if missing else self.config
        if missing and not any(getattr(config.data, stream) for stream in STREAMS):
            lacking = f"provides no {' and no '.join(missing)}, and the config has no other stream"
            raise ConfigError(f"{self.name}: {lacking}")
        return config

    @cached_property
    def by_stream(self) -> dict[str, list[tuple[Source, float]]]:
        """The sources of each stream, with their weights."""
        weighted = list(zip(self.sources, self.weights or [1.0] * len(self.sources), strict=True))
        return {stream: [(s, w) for s, w in weighted if stream in s.provides] for stream in STREAMS}

    def source_of(self, stream: str, key: ItemKey) -> Source:
        """The source of an item, drawn by weight from those of the stream; where that is one, nothing is drawn."""
        weighted = self.by_stream[stream]
        if len(weighted) == 1:
            return weighted[0][0]
        drawn = seeding.rng("source", key.seed, key.split, key.step, stream, key.index).random()
        drawn *= sum(weight for _, weight in weighted)
        for source, weight in weighted[:-1]:
            if (drawn := drawn - weight) < 0:
                return source
        return weighted[-1][0]

    def missed(self) -> dict[str, Missed]:
        """What could not be used since the last call, by source."""
        return {source.name: found for source in self.sources if (found := source.missed())}

    def skip(self, missed: Mapping[str, Missed]) -> None:
        """Counts what any process has missed, by source. ConfigError where that is more than may be."""
        for source in self.sources:
            source.skip(missed.get(source.name, {}))

    @property
    def skipped(self) -> dict[str, Missed]:
        """What could not be used so far, by source."""
        return {source.name: source.skipped for source in self.sources if isinstance(source, Skipping)}

    def tokenizer(self) -> Tokenizer:
        """That of `data.tokenizer`, or one trained on the corpora of the sources once, and cached. ConfigError for a
        file that cannot be read, or of another size than the model's vocabulary."""
        if path := self.config.data.tokenizer:
            try:
                given = Tokenizer.load(path)
            except (OSError, ValueError) as error:
                raise ConfigError(f"data.tokenizer = {shown(path)}: {error}") from error
            size, allowed = self.config.model.text.vocabulary, f"{given.vocabulary}, as {shown(path)} has"
            require(given.vocabulary == size, "model.text.vocabulary", size, allowed)
            return given
        return for_sources(self.sources, self.config.model.text.vocabulary)

    @property
    def world(self) -> World:
        """The drawn world. Raises ValueError where it is no source."""
        return self._of_type(World, "objects")

    def sentences(self, split: str) -> Sequence[Sentence]:
        """WordNet's sentences of a split. Raises ValueError where it is no source."""
        return self._of_type(WordNet, "senses").sentences(split)

    def _of_type(self, kind: type[S], capability: str) -> S:
        for source in self.sources:
            if isinstance(source, kind):
                return source
        raise ValueError(f"{self.name}: provides no {capability}: {CAPABILITIES[capability]}")


def _openmoji_wordnet(config: RunConfig) -> Dataset:
    """Drawn scenes and WordNet sentences."""
    data, size = config.data, config.model.vision.image_size
    curriculum = data.single_until, data.full_from
    scenes = RememberingWorld(data.concepts, size, data.scenes, data.captions, *curriculum, styles.named(data.styles))
    return Dataset(config, (scenes, WordNet(scenes)))


DATASETS: dict[str, Callable[[RunConfig], Dataset]] = {
    "openmoji": _openmoji_wordnet,
}


def dataset(config: RunConfig) -> Dataset:
    """The data of the config: its sources, or the dataset that it names. Raises ConfigError for an unknown name, and
    for a source that cannot be read."""
    if config.data.sources:
        return import_module("xfm.files").open_sources(config)  # late: bundled data need no file readers
    one_of("data.dataset", config.data.dataset, DATASETS)
    return DATASETS[config.data.dataset](config)
