"""What the frozen vision encoder tells of a picture: its concept, subcategory and category, of a patch its concept, and
what is present in a scene. By a linear probe and by nearest neighbours, beside raw pixels and random weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from ... import seeding
from ...data.streams import pixels
from ...data.synthetic import openmoji
from ...data.synthetic.scenes import MOST, Scene, Split
from ...model.vision import patchify
from ...objectives import build
from .. import linear_probe
from ..context import BATCH, EvalContext
from ..result import Result

TRAINED = 12  # pictures of a concept alone that the probes learn from; of an unseen concept fewer ...
TRAINED_UNSEEN = 8
TESTED = 4  # ... and that they are asked about
SCENES_TRAINED = 8  # of several objects, times the number of concepts
SCENES_TESTED = 300
SCENES_PATCHES = 200  # of those trained on whose patches are learnt from
SEVERAL = (2, MOST)
DRAWS = 1000  # of different contents, an object alone has some two hundred

Encoder = Callable[[Sequence[Scene]], np.ndarray]  # n pictures -> (n, F)
LABELS: dict[str, Callable[[int], int | str]] = {
    "concept": lambda place: place,
    "subcategory": lambda place: openmoji.concepts()[place].subcategory,
    "category": lambda place: openmoji.concepts()[place].category,
}


@dataclass(frozen=True)
class Shown:
    """Scenes and their features, (n, F) by name of the encoder: ours, then the baselines'."""

    scenes: list[Scene]
    features: dict[str, np.ndarray]

    @classmethod
    def by(cls, encoders: dict[str, Encoder], scenes: list[Scene]) -> Shown:
        return cls(scenes, {name: encode(scenes) for name, encode in encoders.items()})


def score(subject: EvalContext) -> list[Result]:
    """Accuracy over single objects and over patches; ranking precision of what is present in scenes of several.

    Probes learn from training pictures; those of unseen concepts are told apart by probes of other pictures of them,
    and put into subcategories and categories by probes that saw the world's concepts alone. No content is in both. The
    baseline is the better of raw pixels and random weights; theirs is what needs no picture.
    """
    other, unseen = untrained(subject), replace(subject, split="unseen_concepts")
    trained = pictures(subject, TRAINED, split="train")
    encoders, results = encoders_of(subject, other, trained), []
    learnt = Shown.by(encoders, trained)
    if not subject.split.startswith("unseen"):
        asked = Shown.by(encoders, pictures(subject, TESTED, trained))
        results += single(subject, learnt, asked, tuple(LABELS))
    if subject.world.unseen_names:
        theirs = pictures(unseen, TRAINED_UNSEEN)
        asked = Shown.by(encoders, pictures(unseen, TESTED, theirs))
        results += single(unseen, Shown.by(encoders, theirs), asked, ("concept",))
        results += single(unseen, learnt, asked, ("subcategory", "category"))
    if subject.split != "unseen_concepts":
        trained = several(subject, SCENES_TRAINED * subject.world.concepts, split="train")
        tested = several(subject, SCENES_TESTED, trained)
        results += patches(subject, other, trained[:SCENES_PATCHES], tested)
        encoders = encoders_of(subject, other, trained)
        results += presence(subject, Shown.by(encoders, trained), Shown.by(encoders, tested))
    return results


def pictures(subject: EvalContext, each: int, apart: Sequence[Scene] = (), split: Split | None = None) -> list[Scene]:
    """Of every concept of the split `each` pictures of it alone, with contents that nothing in `apart` has."""
    taken, found = {s.content for s in apart}, []
    for place in subject.world.pool(split or subject.split):
        found += fresh(partial(subject.scene, "vision", split=split, concepts=(place,)), each, taken)
    return found


def several(subject: EvalContext, most: int, apart: Sequence[Scene] = (), split: Split | None = None) -> list[Scene]:
    return fresh(partial(subject.scene, "presence", split=split, objects=SEVERAL), most, {s.content for s in apart})


def fresh(draw: Callable[[int], Scene], wanted: int, taken: Collection[tuple]) -> list[Scene]:
    """The first scenes of draw(0), draw(1), ... of different contents, none of them `taken`."""
    found: dict[tuple, Scene] = {}
    for i in range(wanted * DRAWS):
        scene = draw(i)
        if scene.content not in taken:
            found.setdefault(scene.content, scene)
        if len(found) == wanted:
            return list(found.values())
    raise RuntimeError(f"{wanted * DRAWS} draws gave only {len(found)} of {wanted} pictures of different contents")


def untrained(subject: EvalContext) -> EvalContext:
    """The same architecture with fresh weights, the same for every model of it."""
    model = build(subject.config.replace({"seed": seeding.seed("evaluation", subject.seed, "random weights")}))
    return replace(subject, model=model.to(subject.model.device).eval())


def encoders_of(subject: EvalContext, other: EvalContext, trained: Sequence[Scene]) -> dict[str, Encoder]:
    """Pooled features, and two baselines of at most the same width: pixels are reduced to their principal components
    in the training pictures."""
    pca = PCA(min(len(trained), subject.config.model.vision.width), svd_solver="randomized", random_state=0)
    pca.fit(flat(trained))
    return {
        "pooled": partial(pooled, subject),
        "raw pixels": lambda scenes: pca.transform(flat(scenes)),
        "random weights": partial(pooled, other),
    }


def flat(scenes: Sequence[Scene]) -> np.ndarray:
    return np.stack([s.image.ravel() for s in scenes]).astype(np.float32) / 255


def pooled(subject: EvalContext, scenes: Sequence[Scene]) -> np.ndarray:
    """(n, D): the mean over the patches, X-FM's token 0."""
    chunks = (scenes[start : start + BATCH] for start in range(0, len(scenes), BATCH))
    return torch.cat([subject.patches(some).mean(1).float().cpu() for some in chunks]).numpy()


def single(subject: EvalContext, trained: Shown, tested: Shown, labels: Sequence[str]) -> list[Result]:
    """Pictures of one object each; of those tested, the ones whose label the probes have learnt."""
    unseen, results = subject.split == "unseen_concepts", []
    for label in labels:
        y, z = (np.array([LABELS[label](s.objects[0].concept) for s in some.scenes]) for some in (trained, tested))
        known = np.isin(z, y)
        features = {name: (x, tested.features[name][known]) for name, x in trained.features.items()}
        upper_bound = None if unseen and label != "concept" else 1.0  # a new thing's category need not be seen in it
        results += compared(subject, label + " (unseen concepts)" * unseen, features, y, z[known], upper_bound)
    return results


def patches(
    subject: EvalContext, other: EvalContext, trained: Sequence[Scene], tested: Sequence[Scene]
) -> list[Result]:
    """The concept of every patch whose centre is on an object; patches of one scene are resampled together."""
    size = subject.config.model.vision.patch_size
    encoders: dict[str, Callable[[Sequence[Scene]], Tensor]] = {
        "tokens": subject.patches,
        "raw pixels": lambda scenes: patchify(pixels(scenes).float() / 255, size),
        "random weights": other.patches,
    }
    (y, groups, learnt), (z, owners, asked) = covered(trained, size), covered(tested, size)
    features = {
        name: (encode(trained).float().cpu().numpy()[learnt], encode(tested).float().cpu().numpy()[asked])
        for name, encode in encoders.items()
    }
    return compared(subject, "concept of a patch", features, y, z, 1.0, groups, owners)


def covered(scenes: Sequence[Scene], size: int) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The patches that show an object: their concepts (N,), their scenes (N,), and (scene, patch) to pick them by."""
    found = [
        (o.concept, i, patch)
        for i, s in enumerate(scenes)
        for o in s.objects
        for patch in np.flatnonzero(o.mask[size // 2 :: size, size // 2 :: size])
    ]
    concepts, owners, places = np.array(found).T
    return concepts, owners, (owners, places)


def compared(
    subject: EvalContext,
    task: str,
    features: dict[str, tuple[np.ndarray, np.ndarray]],
    y: np.ndarray,
    z: np.ndarray,
    upper_bound: float | None,
    groups: np.ndarray | None = None,
    owners: np.ndarray | None = None,
) -> list[Result]:
    """Rows of both classifiers on all features, each (of training, of what is asked); the first are the encoder's."""
    methods = {
        "linear probe": partial(linear_probe.linear_probe, groups=groups),
        "k-NN": linear_probe.nearest_neighbours,
    }
    none, results = (linear_probe.majority(y, z), "most frequent label"), []
    for method, fit in methods.items():
        right = {
            f"{name}, {method}": linear_probe.correct(fit(x, y), asked, z) for name, (x, asked) in features.items()
        }
        results += beside(subject, task, "accuracy", right, none, upper_bound, owners)
    return results


def beside(
    subject: EvalContext,
    task: str,
    metric: str,
    scores: dict[str, np.ndarray],
    none: tuple[float, str],
    upper_bound: float | None,
    groups: np.ndarray | None = None,
) -> list[Result]:
    """The encoder's row with the better of its baselines, and the baselines' own, with what needs no picture."""
    ours, *baselines = scores
    best = max(baselines, key=lambda name: scores[name].mean())
    baseline = {ours: (scores[best].mean(), best.split(",")[0])} | dict.fromkeys(baselines, none)
    return [
        subject.result(task, name, metric, some, *baseline[name], upper_bound, groups, "higher" if name == ours else "")
        for name, some in scores.items()
    ]


def presence(subject: EvalContext, trained: Shown, tested: Shown) -> list[Result]:
    """Label-ranking average precision of each scene: of the concepts ranked at or above one that is present, the share
    that is present too, averaged over those present. The probe is fitted to every (scene, concept in it)."""
    pairs = [(i, c) for i, s in enumerate(trained.scenes) for c in sorted({o.concept for o in s.objects})]
    owner, y = np.array(pairs).T
    true = present(tested.scenes, subject.world.concepts)
    scores = {}
    for name, x in trained.features.items():
        probe = linear_probe.linear_probe(x[owner], y, owner)
        logits = probe.decision_function(tested.features[name])
        ranked = np.full(true.shape, logits.min() - 1)  # a concept that no scene showed comes last
        ranked[:, probe.classes_] = logits
        scores[f"{name}, linear probe"] = precision(true, ranked)
    frequency = present(trained.scenes, subject.world.concepts).mean(0)
    none = float(precision(true, np.tile(frequency, (len(true), 1))).mean()), "training frequencies"
    return beside(subject, "presence", "ranking precision", scores, none, 1.0)


def present(scenes: Sequence[Scene], concepts: int) -> np.ndarray:
    """(n, C) True where the scene shows the concept."""
    shown = np.zeros((len(scenes), concepts), bool)
    for row, scene in zip(shown, scenes, strict=True):
        row[[o.concept for o in scene.objects]] = True
    return shown


def precision(true: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """(n,) label-ranking average precision of truth (n, C) and scores (n, C), as scikit-learn's, which gives the mean
    alone; equal scores count as ranked above."""
    each = []
    for t, r in zip(true, ranked, strict=True):
        above = r >= r[t][:, None]
        each.append((above[:, t].sum(1) / above.sum(1)).mean())
    return np.array(each)
