"""Probes of frozen vision features for the concept, subcategory and category of a picture, the concept of a patch, and
what is present in a scene: linear and nearest neighbours, compared with raw pixels and random weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...base import seeding
from ...data.source import Split
from ...data.streams import pixels
from ...data.world import openmoji
from ...data.world.scenes import MOST, Scene
from ...model.vision import patchify
from ...objectives import build
from ..baselines import correct, linear_probe, majority, nearest_neighbours, pixel_components
from ..context import BATCH, EvalContext
from ..result import Result

NEEDS = ("objects", "masks")
TRAIN = 12  # pictures of a single concept that the probes are trained on; of an unseen concept fewer ...
TRAIN_UNSEEN = 8
TEST = 4  # ... and that they are tested on
SCENES_TRAIN = 8  # of several objects, times the number of concepts
SCENES_TEST = 300
SCENES_PATCHES = 200  # of those for training, whose patches are used
DRAWS = 1000  # per picture: a single object has some two hundred different contents

TrainTest = dict[str, tuple[np.ndarray, np.ndarray]]  # training (n, F) and test (m, F) features by encoder
LABELS = ("concept", "subcategory", "category")


class Features(NamedTuple):
    """Scenes and their features, (n, F) by name of the encoder: the model's, then the baselines'."""

    scenes: list[Scene]
    by_encoder: dict[str, np.ndarray]


def score(context: EvalContext) -> list[Result]:
    """Accuracy over single objects and over patches; ranking precision of what is present in scenes of several.

    Probes learn from training pictures. Unseen concepts are classified by probes of other pictures of them, and put
    into subcategories and categories by probes of the world's concepts alone. No content is in both training and test.
    The baseline is the better of raw pixels and random weights; theirs is what needs no picture.
    """
    random_weights, unseen = _random_weights(context), replace(context, split="unseen_concepts")
    train_scenes = _single_objects(context, TRAIN, split="train")
    encode, results = _encoder(context, random_weights, train_scenes), []
    train = encode(train_scenes)
    if not context.unseen:
        results += _single(context, train, encode(_single_objects(context, TEST, train_scenes)), LABELS)
    if context.world.unseen_names:
        train_unseen = _single_objects(unseen, TRAIN_UNSEEN)
        test = encode(_single_objects(unseen, TEST, train_unseen))
        results += _single(unseen, encode(train_unseen), test, ("concept",))
        results += _single(unseen, train, test, ("subcategory", "category"))
    if context.split != "unseen_concepts":
        train_scenes = _several_objects(context, SCENES_TRAIN * context.world.concepts, split="train")
        test_scenes = _several_objects(context, SCENES_TEST, train_scenes)
        results += _patches(context, random_weights, train_scenes[:SCENES_PATCHES], test_scenes)
        encode = _encoder(context, random_weights, train_scenes)
        results += _presence(context, encode(train_scenes), encode(test_scenes))
    return results


def _single_objects(
    context: EvalContext, count: int, apart: Sequence[Scene] = (), split: Split | None = None
) -> list[Scene]:
    """Of every concept of the split `count` pictures of it alone, with contents that nothing in `apart` has."""
    taken, scenes = {s.content for s in apart}, []
    for concept in context.world.pool(split or context.split):
        scenes += _distinct(partial(context.scene, "vision", split=split, concepts=(concept,)), count, taken)
    return scenes


def _several_objects(
    context: EvalContext, count: int, apart: Sequence[Scene] = (), split: Split | None = None
) -> list[Scene]:
    draw = partial(context.scene, "presence", split=split, objects=(2, MOST))
    return _distinct(draw, count, {s.content for s in apart})


def _distinct(draw: Callable[[int], Scene], count: int, taken: Collection[tuple]) -> list[Scene]:
    """The first scenes of draw(0), draw(1), ... of different contents, none of them `taken`."""
    scenes: dict[tuple, Scene] = {}
    for i in range(count * DRAWS):
        scene = draw(i)
        if scene.content not in taken:
            scenes.setdefault(scene.content, scene)
        if len(scenes) == count:
            return list(scenes.values())
    raise RuntimeError(f"{count * DRAWS} draws gave only {len(scenes)} of {count} pictures of different contents")


def _random_weights(context: EvalContext) -> EvalContext:
    """The same architecture with new initial weights, the same for every model of it."""
    model = build(context.config.replace({"seed": seeding.seed("evaluation", context.seed, "random weights")}))
    return replace(context, model=model.to(context.model.device).eval())


def _encoder(
    context: EvalContext, random_weights: EvalContext, train: Sequence[Scene]
) -> Callable[[list[Scene]], Features]:
    """Pooled features of scenes, and two baselines of at most the same width: pixels are reduced to their principal
    components in the training pictures."""
    components = pixel_components([s.image for s in train], context.config.model.vision.width)

    def encode(scenes: list[Scene]) -> Features:
        raw = components([s.image for s in scenes])
        pooled, untrained = _pooled(context, scenes), _pooled(random_weights, scenes)
        return Features(scenes, {"pooled": pooled, "raw pixels": raw, "random weights": untrained})

    return encode


def _pooled(context: EvalContext, scenes: Sequence[Scene]) -> np.ndarray:
    """(n, D): the mean over the patches, X-FM's token 0."""
    chunks = (scenes[start : start + BATCH] for start in range(0, len(scenes), BATCH))
    return torch.cat([context.patch_states(chunk).mean(1).float().cpu() for chunk in chunks]).numpy()


def _single(context: EvalContext, train: Features, test: Features, labels: Sequence[str]) -> list[Result]:
    """Pictures of one object each; of the test pictures those whose label is in training."""
    unseen, results = context.split == "unseen_concepts", []
    for label in labels:
        y, y_test = (np.array([s.objects[0].concept for s in f.scenes]) for f in (train, test))
        if label != "concept":
            y, y_test = (np.array([getattr(openmoji.concepts()[c], label) for c in some]) for some in (y, y_test))
        trained = np.isin(y_test, y)
        features = {name: (x, test.by_encoder[name][trained]) for name, x in train.by_encoder.items()}
        upper_bound = None if unseen and label != "concept" else 1.0  # its category need not be visible
        task = label + " (unseen concepts)" * unseen
        results += _classify(context, task, features, (y, y_test[trained]), upper_bound=upper_bound)
    return results


def _patches(
    context: EvalContext, random_weights: EvalContext, train: Sequence[Scene], test: Sequence[Scene]
) -> list[Result]:
    """The concept of every patch whose centre is on an object; patches of one scene are resampled together."""
    size = context.config.model.vision.patch_size
    encoders: dict[str, Callable[[Sequence[Scene]], Tensor]] = {
        "tokens": context.patch_states,
        "raw pixels": lambda scenes: patchify(pixels([s.image for s in scenes]).float() / 255, size),
        "random weights": random_weights.patch_states,
    }
    (y, owner, at), (y_test, owner_test, at_test) = _covered(train, size), _covered(test, size)
    features = {
        name: (encode(train).float().cpu().numpy()[owner, at], encode(test).float().cpu().numpy()[owner_test, at_test])
        for name, encode in encoders.items()
    }
    return _classify(context, "concept of a patch", features, (y, y_test), owner, upper_bound=1.0, groups=owner_test)


def _covered(scenes: Sequence[Scene], size: int) -> np.ndarray:
    """(3, N) concept, scene and patch number of every patch whose centre is on an object."""
    patches = [
        (o.concept, i, patch)
        for i, s in enumerate(scenes)
        for o in s.objects
        for patch in np.flatnonzero(o.mask[size // 2 :: size, size // 2 :: size])
    ]
    return np.array(patches).T


def _classify(
    context: EvalContext, task: str, features: TrainTest, labels: Sequence[np.ndarray], owner: Any = None, **more: Any
) -> list[Result]:
    """Rows of both classifiers on all features, the model's first, and labels (n,), (m,). `owner` (n,): the training
    scene of each sample."""
    y, y_test = labels
    results, no_picture = [], (majority(y, y_test), "most frequent label")
    for method, fit in {"linear probe": partial(linear_probe, groups=owner), "k-NN": nearest_neighbours}.items():
        scores = {f"{name}, {method}": correct(fit(x, y), x_test, y_test) for name, (x, x_test) in features.items()}
        results += _rows(context, task, "accuracy", scores, no_picture, **more)
    return results


def _rows(
    context: EvalContext, task: str, metric: str, scores: dict[str, np.ndarray], no_picture: tuple, **more: Any
) -> list[Result]:
    """The model's row with the better of its baselines, and theirs with the level that needs no picture."""
    ours, *others = scores
    best = max(others, key=lambda name: scores[name].mean())
    baseline = scores[best].mean(), best.split(",")[0]
    return [
        context.result(task, ours, metric, scores[ours], baseline, **more),
        *(context.result(task, o, metric, scores[o], no_picture, **more, better="") for o in others),
    ]


def _presence(context: EvalContext, train: Features, test: Features) -> list[Result]:
    """Label-ranking average precision of each scene: of the concepts ranked at or above one that is present, the share
    that is present too, averaged over those present. The probe is fitted to every (scene, concept in it)."""
    from sklearn.metrics import label_ranking_average_precision_score

    owner, y = np.argwhere(_present(train.scenes, context.world.concepts)).T
    true = _present(test.scenes, context.world.concepts)

    def precision(ranked: np.ndarray) -> np.ndarray:
        return np.array(
            [label_ranking_average_precision_score(t[None], r[None]) for t, r in zip(true, ranked, strict=True)]
        )

    scores = {}
    for name, x in train.by_encoder.items():
        probe = linear_probe(x[owner], y, owner)
        logits = probe.decision_function(test.by_encoder[name])
        ranked = np.full(true.shape, logits.min() - 1)  # a concept that no training scene shows comes last
        ranked[:, probe.classes_] = logits
        scores[f"{name}, linear probe"] = precision(ranked)
    frequency = _present(train.scenes, context.world.concepts).mean(0)
    no_picture = precision(np.tile(frequency, (len(true), 1))).mean(), "training frequencies"
    return _rows(context, "presence", "ranking precision", scores, no_picture, upper_bound=1.0)


def _present(scenes: Sequence[Scene], concepts: int) -> np.ndarray:
    """(n, C) True where the scene shows the concept."""
    shown = [{o.concept for o in scene.objects} for scene in scenes]
    return np.array([[concept in here for concept in range(concepts)] for here in shown])
