"""Probes are scikit-learn's own, fitted to what they should be; the n-gram is a mixture of counts, as in a loop."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_distances

from xfm.base import seeding
from xfm.model.batch import END, START
from xfm.tasks.baselines import NEIGHBOURS, PENALTIES, correct, linear_probe, nearest_neighbours
from xfm.tasks.neighbours import MODELS, PRIORS, Counts, NGram, fitted


def blobs(n: int, classes: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """(n, 8) around a centre of each class, and the classes (n,)."""
    y = seeding.rng("labels", n).integers(classes, size=n)
    centres = seeding.rng("blobs", 0, classes).normal(size=(classes, 8))
    return apart * centres[y] + seeding.rng("noise", n).normal(size=(n, 8)), y


@pytest.mark.parametrize("per_group", [1, 3])
@pytest.mark.parametrize("apart", [0.3, 1.0])
def test_the_linear_probe_is_sklearns_with_the_penalty_of_the_held_out_groups(per_group: int, apart: float) -> None:
    (x, y), (asked, z) = blobs(300, 4, apart), blobs(200, 4, apart)
    group = np.arange(300) // per_group
    held_out = group % 5 == 4

    def score(c: float, x: np.ndarray, y: np.ndarray, some: np.ndarray, true: np.ndarray) -> float:
        mean, std = x.mean(0), x.std(0)
        classifier = LogisticRegression(C=c, max_iter=200, tol=1e-3).fit((x - mean) / std, y)
        return classifier.score((some - mean) / std, true)

    best = max(PENALTIES, key=lambda c: score(c, x[~held_out], y[~held_out], x[held_out], y[held_out]))
    probe = linear_probe(x, y, group)
    assert best == probe.named_steps["classify"].C
    assert correct(probe, asked, z).mean() == score(best, x, y, asked, z) == probe.score(asked, z)


def test_the_neighbours_are_the_nearest_by_cosine() -> None:
    (x, y), (asked, z) = blobs(120, 5, 0.5), blobs(60, 5, 0.5)
    votes = np.zeros((60, 5))
    for row, some in enumerate(cosine_distances(asked, x)):
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


SIZE, MASK = 9, 8
texts = st.lists(st.lists(st.integers(3, 7), min_size=1, max_size=5), min_size=1, max_size=8)
rows = st.lists(st.tuples(*[st.sampled_from([START, END, 3, 4, 5, 6, 7, MASK])] * 2, st.integers(3, 7)), min_size=1)


def counted(bodies: list[list[int]]) -> Counts:
    return Counts(np.array([t for body in bodies for t in (START, *body, END)]), SIZE, MASK)


def naive(bodies: list[list[int]], left: int, right: int, prior: float) -> list[list[float]]:
    """The five distributions over the vocabulary, from trigrams one by one."""
    whole = [(START, *body, END) for body in bodies]
    grams = [text[i : i + 3] for text in whole for i in range(len(text) - 2)]
    of_all = Counter(token for _, token, _ in grams)
    unigram = [(1 + of_all[t]) / (SIZE + len(grams)) for t in range(SIZE)]

    def side(place: int, neighbour: int) -> list[float]:
        beside = Counter(g[1] for g in grams if g[place] == neighbour and neighbour != MASK)
        return [(beside[t] + prior * unigram[t]) / (sum(beside.values()) + prior) for t in range(SIZE)]

    one, other = side(0, left), side(2, right)
    product = [a * b / u for a, b, u in zip(one, other, unigram, strict=True)]
    both = Counter(g[1] for g in grams if (g[0], g[2]) == (left, right))
    seen = [both[t] / sum(both.values()) if both else np.nan for t in range(SIZE)]
    return [seen, [p / sum(product) for p in product], one, other, unigram]


@settings(max_examples=60, deadline=None)
@given(texts, rows, st.sampled_from(PRIORS))
def test_a_loop_over_the_texts_gives_the_same_and_each_model_sums_to_one(bodies, asked, prior) -> None:
    counts, (left, right, token) = counted(bodies), np.array(asked).T
    every = counts.models(left, right, prior)
    expected = np.stack([naive(bodies, *row[:2], prior) for row in asked], 1)
    np.testing.assert_allclose(every, expected, rtol=1e-12)
    said = ~np.isnan(every[..., 0])
    assert said[1:].all() and every.sum(-1)[said] == pytest.approx(1)
    np.testing.assert_allclose(counts.models(left, right, prior, token), every[:, np.arange(len(token)), token])


def test_weights_and_prior_are_the_likeliest_of_those_that_are_tried() -> None:
    rng = np.random.default_rng(0)
    bodies = [list(3 + (start + np.arange(4)) % 5) for start in rng.integers(5, size=400)]  # each follows the last
    asked = np.array([(3 + i, 3 + (i + 2) % 5, 3 + (i + 1) % 5) for i in range(5)] * 20)
    found = fitted(counted(bodies), asked)
    assert found.weights.sum() == pytest.approx(1) and len(found.weights) == len(MODELS)
    assert found.weights[0] > 0.9, "both neighbours say all"
    best = np.log(found.probability(asked)).mean()
    for prior in PRIORS:
        for weights in (np.full(5, 0.2), *np.eye(5) * 0.9 + 0.02):
            assert np.log(NGram(found.counts, prior, weights).probability(asked)).mean() <= best + 1e-6
    beside = rng.integers(3, 8, size=(20, 2))
    each = np.stack([found.probability(np.c_[beside, np.full(20, t)]) for t in range(SIZE)], 1)
    assert each.sum(1) == pytest.approx(1), "the mixture is a distribution"
    predicted = found.predicted(np.c_[beside, beside[:, :1]])
    assert each[np.arange(20), predicted] == pytest.approx(each.max(1)), "and its prediction the likeliest token"
    assert fitted(found.counts, np.empty((0, 3), int)).weights == pytest.approx(np.full(5, 0.2))
