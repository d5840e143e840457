"""The n-gram is a mixture of counts: a loop over the texts gives the same, it is a distribution, and it is fitted."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfm.model.batch import END, START
from xfm.tasks.neighbours import MODELS, PRIORS, Counts, NGram, fitted

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


@settings(max_examples=20, deadline=None)
@given(texts, rows)
def test_the_mixture_is_a_distribution_and_its_prediction_the_likeliest_token(bodies, asked) -> None:
    model = NGram(counted(bodies), PRIORS[0], np.array([0.3, 0.3, 0.2, 0.1, 0.1]))
    beside = np.array(asked)
    each = np.stack([model.probability(np.c_[beside[:, :2], np.full(len(beside), t)]) for t in range(SIZE)], 1)
    assert each.sum(1) == pytest.approx(1)
    best = each[np.arange(len(beside)), model.predicted(beside)]
    assert best == pytest.approx(each.max(1))


def test_weights_and_prior_are_the_likeliest_of_those_that_are_tried() -> None:
    rng = np.random.default_rng(0)
    bodies = [
        list(3 + (start + np.arange(4)) % 5) for start in rng.integers(5, size=400)
    ]  # each token follows the last
    asked = np.array([(3 + i, 3 + (i + 2) % 5, 3 + (i + 1) % 5) for i in range(5)] * 20)
    found = fitted(counted(bodies), asked)
    assert found.weights.sum() == pytest.approx(1) and len(found.weights) == len(MODELS)
    assert found.weights[0] > 0.9, "both neighbours say all"
    best = np.log(found.probability(asked)).mean()
    for prior in PRIORS:
        for weights in (np.full(5, 0.2), *np.eye(5) * 0.9 + 0.02):
            assert np.log(NGram(found.counts, prior, weights).probability(asked)).mean() <= best + 1e-6
    nothing = fitted(found.counts, np.empty((0, 3), int))
    assert nothing.prior == PRIORS[1] and nothing.weights == pytest.approx(np.full(5, 0.2))
