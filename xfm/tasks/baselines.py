"""Baselines: what a number of a task must beat. A bag of words, raw pixels, the most frequent label, a box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from ..objectives.bbp import overlap
from .linear_probe import linear_probe, select_penalty

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

Sample = tuple[str, ...]  # one text, or the two of a pair
Predictor = Callable[[Sequence[Any]], list[Any]]  # of a task's items
AT_ONCE = 4_000_000  # overlaps
SIDE = 64  # pixels of a picture's side, at most
PENALTIES = {1: (0.1, 0.3, 1.0), 2: (0.01, 0.1, 1.0)}  # by the number of texts


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
    penalties = PENALTIES[len(samples[0])]
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


def from_words(train: Sequence[Any], numbers: bool = False) -> Predictor | None:
    """A bag of words; with `numbers` the targets are numbers. None where the items cannot be fitted."""
    groups: Any = [item.group for item in train]
    groups = groups if all(type(group) is int for group in groups) else None
    try:
        predict = bag_of_words([item.texts for item in train], [item.target for item in train], groups, numbers)
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
