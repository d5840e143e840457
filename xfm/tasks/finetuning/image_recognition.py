"""Recognition by the protocols of "Vision-Language Models for Vision Tasks: A Survey" (2304.00685), side by side.

Zero-shot by one prompt and by an ensemble of prompts, few-shot and all-shot linear probes of the frozen picture
features: of a run, or of any dual encoder that is a guest (`xfm.load("open_clip:...")`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...base import seeding
from ...base.fields import require
from ...base.images import prepare
from ...data.source import CaptionedImage, Split
from ...data.world.grammar import templates
from ...data.world.scenes import World
from ..baselines import linear_probe
from ..context import EvalContext
from ..result import Result, measured

SHOTS = (1, 2, 4, 8, 16)
DRAWS = 3  # of the few


class DualEncoder(Protocol):
    """What embeds pictures and texts in one space; guests do."""

    def features_of_images(self, images: Sequence[Any]) -> Tensor:
        """(n, E) of unit length"""
        ...

    def features_of_texts(self, texts: Sequence[str]) -> Tensor:
        """(m, E) of unit length"""
        ...


class Recognition:
    """A run's model as a dual encoder: the embeddings that ITC compares. ConfigError where ITC has not trained it."""

    def __init__(self, context: EvalContext):
        require("itc" in context.model.objectives, "model", "without ITC", "a run with objectives.itc")
        self.context = context

    @torch.inference_mode()
    def features_of_images(self, images: Sequence[Any]) -> Tensor:
        side = self.context.config.model.vision.image_size
        return self.context.image_features([CaptionedImage(prepare(image, side)) for image in images])

    @torch.inference_mode()
    def features_of_texts(self, texts: Sequence[str]) -> Tensor:
        return self.context.text_features(texts)


def zero_shot(
    encoder: DualEncoder, images: Tensor, names: Sequence[str], prompts: Callable[[str], Sequence[str]] = templates
) -> np.ndarray:
    """Picture features (n, E) -> (n,) the place in `names` whose prompts are the nearest on average (CLIP, 3.1.4)."""
    texts = [[*prompts(name)] for name in names]
    features = encoder.features_of_texts([*chain(*texts)]).split([*map(len, texts)])
    classes = F.normalize(torch.stack([of_class.mean(0) for of_class in features]))
    return (images @ classes.T).argmax(1).numpy()


def pictures(world: World, split: Split, each: int) -> tuple[list[np.ndarray], list[int]]:
    """`each` pictures of every concept of a split, alone in a scene, and the place of its name among `world.names` (of
    an unseen split `unseen_names`)."""
    of = [(place, concept, i) for place, concept in enumerate(world.pool(split)) for i in range(each)]
    scenes = [world.scene(split, seeding.seed("recognition", c, i), concepts=(c,), phrases=False) for _, c, i in of]
    return [scene.image for scene in scenes], [place for place, _, _ in of]


def recognition(
    encoder: DualEncoder,
    names: Sequence[str],
    train: tuple[Sequence[Any], Sequence[int]],
    test: tuple[Sequence[Any], Sequence[int]],
    prompts: Callable[[str], Sequence[str]] = templates,
    shots: Sequence[int] = SHOTS,
    seed: int = 0,
) -> list[Result]:
    """Accuracies on the test pictures by each protocol. `train`, `test`: pictures as `images.prepare` takes them,
    and the place of each one's class in `names`; `prompts`: a name's texts, the plain one first. Few-shot accuracies
    are means over three draws of the pictures; a class with fewer pictures gives all it has.

    ConfigError for labels that are no place in `names`.
    """
    for what, (pictures, labels) in {"train": train, "test": test}.items():
        good = len(pictures) == len(labels) > 0 and all(0 <= label < len(names) for label in labels)
        require(good, f"{what} labels", sorted(set(labels)), f"one a picture, from 0 to {len(names) - 1}")
    x, y = encoder.features_of_images(train[0]).numpy(), np.asarray(train[1])
    images, truth = encoder.features_of_images(test[0]), np.asarray(test[1])

    def row(task: str, condition: str, scores: np.ndarray) -> Result:
        fields = {"upper_bound": 1.0, "seed": seed, "split": "test", "family": "vision"}
        chance = 1 / len(names), "chance"
        return measured((task, condition, "accuracy"), scores, (seed, task, condition), chance, **fields)

    def probed(few: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # of few pictures there are
            return linear_probe(x[few], y[few]).predict(images.numpy()) == truth

    ensembles = {"one prompt": lambda name: prompts(name)[:1], "ensemble": prompts}
    rows = [row("zero-shot", kind, zero_shot(encoder, images, names, of) == truth) for kind, of in ensembles.items()]
    for shot in shots:
        draws = [_few(y, shot, seeding.rng("shots", seed, shot, draw)) for draw in range(DRAWS)]
        rows.append(row("few-shot", f"{shot} a class", np.mean([probed(few) for few in draws], 0)))
    return [*rows, row("linear probe", f"all {len(y):,}", probed(np.arange(len(y))).astype(float))]


def _few(labels: np.ndarray, shot: int, rng: np.random.Generator) -> np.ndarray:
    """Places of `shot` pictures of each class, or of all it has."""
    return np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:shot] for label in np.unique(labels)])
