"""Probes of frozen features, and baselines that a number must beat: a bag of words, raw pixels, the majority, a box.

scikit-learn is imported where it is used, here and by the tasks: that takes a second, and most of what imports them
asks nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from ..objectives.bbp import overlap

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import Pipeline

Sample = tuple[str, ...]  # one text, or the two of a pair
Predictor = Callable[[Sequence[Any]], list[Any]]  # of a task's items
PENALTIES = (1.0, 0.1, 0.01)  # scikit-learn's C, from a weak penalty to a strong one
BAG_PENALTIES = {1: (0.1, 0.3, 1.0), 2: (0.01, 0.1, 1.0)}  # of a bag of words, by the number of texts
FOLDS = 5  # every fifth group of the training samples chooses among them
NEIGHBOURS = 5
ITERATIONS = 200  # at most, of the solver
AT_ONCE = 4_000_000  # overlaps
SIDE = 64  # pixels of a picture's side, at most


def linear_probe(x: np.ndarray, y: ArrayLike, groups: ArrayLike | None = None) -> Pipeline:
    """Logistic regression on standardised features (n, F) and labels (n,); `groups` (n,) as in `select_penalty`.

    In float64: the solver stops early, which makes differences in the last digits of float32 (another machine, other
    threads) up to a thousand times larger."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps = Pipeline([("scale", StandardScaler()), ("classify", LogisticRegression(max_iter=ITERATIONS, tol=1e-3))])
    return select_penalty(steps, PENALTIES, np.asarray(x, float), y, groups)


def nearest_neighbours(x: np.ndarray, y: ArrayLike) -> KNeighborsClassifier:
    """The five nearest by cosine, weighted by inverse distance."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(NEIGHBOURS, weights="distance", metric="cosine").fit(x, y)


def select_penalty(
    pipeline: Pipeline,
    penalties: Sequence[float],
    x: Any,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    parameter: str = "C",
) -> Pipeline:
    """The pipeline with that `parameter` of its step "classify" which is the most accurate on every fifth group when
    fitted to the rest, then fitted to all. `groups` (n,) int: samples that are not independent; None: each its own.
    Where there is no fifth group, the last of the penalties."""
    from sklearn.model_selection import GridSearchCV, PredefinedSplit

    group = np.arange(len(y)) if groups is None else np.asarray(groups)  # type: ignore[arg-type]
    chosen_by = group % FOLDS == FOLDS - 1
    with without_convergence_warnings():
        if not chosen_by.any():
            return pipeline.set_params(**{f"classify__{parameter}": penalties[-1]}).fit(x, y)
        search = GridSearchCV(
            pipeline, {f"classify__{parameter}": penalties}, cv=PredefinedSplit(np.where(chosen_by, 0, -1))
        )
        return search.fit(x, y).best_estimator_


@contextmanager
def without_convergence_warnings() -> Iterator[None]:
    """A weak penalty may need more steps; then a stronger one wins. Filters of warnings are the process's: where
    threads fit, this has to be around all of them, or the first one's end lifts the others'."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(failed to converge|hasn't converged)")
        yield


def correct(classifier: Any, x: Any, y: ArrayLike) -> np.ndarray:
    """(n,) 1 where the classifier predicts the label, else 0."""
    return (classifier.predict(x) == np.asarray(y)).astype(float)


def bag_of_words(
    samples: Sequence[Sample], labels: ArrayLike, groups: ArrayLike | None = None, numbers: bool = False
) -> Callable[[Sequence[Sample]], np.ndarray]:
    """What a linear support vector machine (of labels better than logistic regression here) on TF-IDF vectors, fitted
    to these samples, says of others: their labels or, with `numbers`, a number each. Of pairs it sees the four parts
    u, v, |u - v|, u v of both vectors and their cosine. `groups` (n,) int as in `select_penalty`.

    ValueError for what cannot be fitted: no words, one label."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import Pipeline
    from sklearn.svm import LinearSVC, LinearSVR

    linear = LinearSVR(random_state=0) if numbers else LinearSVC(random_state=0)
    penalties = BAG_PENALTIES[len(samples[0])]
    if len(samples[0]) == 1:
        steps = [("count", TfidfVectorizer(sublinear_tf=True)), ("classify", linear)]
        single = select_penalty(Pipeline(steps), penalties, [text for (text,) in samples], labels, groups)
        return lambda others: single.predict([text for (text,) in others])
    vectorizer = TfidfVectorizer(sublinear_tf=True).fit([text for sample in samples for text in sample])
    paired = select_penalty(Pipeline([("classify", linear)]), penalties, _overlap(vectorizer, samples), labels, groups)
    return lambda others: paired.predict(_overlap(vectorizer, others))


def _overlap(vectorizer: TfidfVectorizer, samples: Sequence[Sample]) -> csr_matrix:
    """(n, 4 W + 1): u, v, |u - v|, u v, and the cosine."""
    from scipy import sparse

    u, v = (vectorizer.transform([sample[i] for sample in samples]) for i in (0, 1))
    product = u.multiply(v)
    return sparse.csr_matrix(sparse.hstack([u, v, abs(u - v), product, sparse.csr_matrix(product.sum(1))]))


def pixel_components(train: Sequence[np.ndarray], most: int) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    """Pictures (H, W, 3) uint8, all of one size -> (n, k): their principal components in the training pictures, at most
    so many."""
    from sklearn.decomposition import PCA

    pca: Any = PCA(min(len(train), most), svd_solver="randomized", random_state=0).fit(_flat(train))
    return lambda pictures: pca.transform(_flat(pictures))


def _flat(pictures: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([picture.ravel() for picture in pictures]).astype(np.float32) / 255


def numbered_groups(items: Sequence[Any]) -> list[int] | None:
    """Of a task's items, as `select_penalty` takes them; None where groups are no numbers."""
    groups = [item.group for item in items]
    return groups if all(type(group) is int for group in groups) else None


def from_words(train: Sequence[Any], numbers: bool = False) -> Predictor | None:
    """A bag of words; with `numbers` the targets are numbers. None where the items cannot be fitted."""
    targets, groups = [item.target for item in train], numbered_groups(train)
    try:
        predict = bag_of_words([item.texts for item in train], targets, groups, numbers)
    except ValueError:  # scikit-learn's: one label, no word
        return None
    return lambda items: predict([item.texts for item in items]).tolist()


def from_pixels(train: Sequence[Any], most: int, picture: Callable[[Any], np.ndarray]) -> Predictor | None:
    """Logistic regression on at most so many principal components of the pixels that `picture` makes of an item's.
    None where the items cannot be fitted."""

    def small(items: Sequence[Any]) -> list[np.ndarray]:
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


def majority(train: ArrayLike, test: ArrayLike) -> float:
    """Accuracy of always predicting the most frequent training label; of equally frequent ones, the first."""
    labels, counts = np.unique(train, return_counts=True)
    return float((np.asarray(test) == labels[counts.argmax()]).mean())


def best_constant_box(candidates: Tensor, boxes: Tensor, iou: float = 0.5) -> Tensor:
    """(4,): of the candidates (C, 4) the box that overlaps most often with boxes (R, 4) by so much."""
    at_once = max(1, AT_ONCE // len(boxes))
    overlaps = (overlap(*torch.broadcast_tensors(few[:, None], boxes))[0] for few in candidates.split(at_once))
    return candidates[torch.cat([(each >= iou).sum(1) for each in overlaps]).argmax()]
