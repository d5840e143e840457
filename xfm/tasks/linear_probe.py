"""Classifiers on frozen features by scikit-learn: a linear probe, nearest neighbours, and the choice of a penalty.

It is imported where it is used, here and by the tasks: that takes a second, and most of what imports them asks nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import Pipeline

PENALTIES = (1.0, 0.1, 0.01)  # scikit-learn's C, from a weak penalty to a strong one
FOLDS = 5  # every fifth group of the training samples chooses among them
NEIGHBOURS = 5
ITERATIONS = 200  # at most, of the solver


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
