"""Probes are scikit-learn's own, fitted to what they should be fitted to."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from xfm.base import seeding
from xfm.tasks.baselines import (
    NEIGHBOURS,
    PENALTIES,
    correct,
    linear_probe,
    nearest_neighbours,
    without_convergence_warnings,
)


def blobs(n: int, classes: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """(n, 8) around a centre of each class, and the classes (n,)."""
    centres, y = (
        seeding.rng("blobs", 0, classes).normal(size=(classes, 8)),
        seeding.rng("labels", n).integers(classes, size=n),
    )
    return apart * centres[y] + seeding.rng("noise", n).normal(size=(n, 8)), y


@pytest.mark.parametrize("per_group", [1, 3])
@pytest.mark.parametrize("apart", [0.3, 1.0])
def test_the_linear_probe_is_sklearns_with_the_penalty_of_the_held_out_groups(per_group: int, apart: float) -> None:
    (x, y), (asked, z) = blobs(300, 4, apart), blobs(200, 4, apart)
    group = np.arange(300) // per_group
    held_out = group % 5 == 4

    def fit(c: float, x: np.ndarray, y: np.ndarray):
        mean, std = x.mean(0), x.std(0)
        classifier = LogisticRegression(C=c, max_iter=200, tol=1e-3).fit((x - mean) / std, y)
        return lambda some, true: (classifier.predict((some - mean) / std) == true).mean()

    scores = [fit(c, x[~held_out], y[~held_out])(x[held_out], y[held_out]) for c in PENALTIES]
    best = PENALTIES[int(np.argmax(scores))]
    probe = linear_probe(x, y, group)
    assert best == probe.named_steps["classify"].C
    right = correct(probe, asked, z)
    assert set(right.tolist()) <= {0.0, 1.0}
    assert right.mean() == fit(best, x, y)(asked, z) == probe.score(asked, z)


def test_the_neighbours_are_the_nearest_by_cosine() -> None:
    (x, y), (asked, z) = blobs(120, 5, 0.5), blobs(60, 5, 0.5)
    unit, seeking = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, asked))
    distance = 1 - seeking @ unit.T
    votes = np.zeros((60, 5))
    for row, some in enumerate(distance):
        for i in np.argsort(some)[:NEIGHBOURS]:
            votes[row, y[i]] += 1 / some[i]
    right = correct(nearest_neighbours(x, y), asked, z)
    assert right.tolist() == (votes.argmax(1) == z).astype(float).tolist() and 0.2 < right.mean() < 1


def test_features_that_do_not_vary_and_few_samples_are_no_obstacle() -> None:
    x, y = blobs(100, 2, 2.0)
    x[:, 3] = 7.0
    assert linear_probe(x, y).score(x, y) > 0.9
    probe = linear_probe(np.eye(2), [0, 1])  # a picture of each of two classes, as few-shot recognition asks
    assert min(PENALTIES) == probe.named_steps["classify"].C and probe.predict(np.eye(2)).tolist() == [0, 1]


def test_what_fits_in_threads_stays_silent_where_their_ends_cross() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with without_convergence_warnings():
            first, second = without_convergence_warnings(), without_convergence_warnings()
            first.__enter__()
            second.__enter__()
            first.__exit__(None, None, None)  # puts back the filters that were there before the second one's
            warnings.warn("lbfgs failed to converge after 3 iteration(s)", ConvergenceWarning, stacklevel=1)
            second.__exit__(None, None, None)
        assert not told
        warnings.warn("Liblinear failed to converge", ConvergenceWarning, stacklevel=1)
    assert len(told) == 1, "and only there"
