"""What needs no encoder: a bag of words for texts and pairs of them, and the principal components of raw pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .linear_probe import select_penalty

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

__all__ = ["bag_of_words", "pixel_components"]

Sample = tuple[str, ...]  # one text, or the two of a pair
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
