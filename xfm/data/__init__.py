"""Datasets by name. A new one is a file here and a line in `DATASETS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..config import RunConfig
from ..config_utils import one_of
from . import tokenizer, wordnet
from .synthetic.scenes import World
from .synthetic.shuffled import Shuffled


@dataclass(frozen=True)
class Dataset:
    """What the four streams and the evaluation draw from."""

    world: World  # pictures with captions, regions and ground truth
    sentences: Callable[[str], Sequence[wordnet.Sentence]]  # of a split: train, validation, test
    glosses: Callable[[], dict[str, wordnet.Sentence]]  # what the pictured concepts are, by name
    tokenizer: Callable[[], tokenizer.Tokenizer]


def openmoji_wordnet(config: RunConfig, world: type[World] = World) -> Dataset:
    """OpenMoji scenes and WordNet sentences."""
    size, data = config.model.vision.image_size, config.data
    made = world(data.concepts, size, data.scenes, data.captions)
    return Dataset(
        made,
        wordnet.sentences,
        lambda: wordnet.concept_glosses(made),
        lambda: tokenizer.for_world(made, config.model.text.vocabulary),
    )


DATASETS: dict[str, Callable[[RunConfig], Dataset]] = {
    "openmoji": openmoji_wordnet,
    "shuffled": lambda config: openmoji_wordnet(config, Shuffled),
}


def dataset(config: RunConfig) -> Dataset:
    """The dataset that the config names. Raises ConfigError for an unknown name."""
    one_of("data.dataset", config.data.dataset, DATASETS)
    return DATASETS[config.data.dataset](config)
