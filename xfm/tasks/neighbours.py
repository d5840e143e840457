"""An n-gram, the baseline of masked language modelling: a token predicted from its two visible neighbours.

A mixture of five count models of the training texts: p(t | left, right) as counted; the product p(t | left)
p(t | right) / p(t), normalised; p(t | left); p(t | right); p(t). One-sided models are smoothed towards p(t) by a prior
of pseudo-counts. The first has nothing to say beside a pair that was never seen, and the others nothing of a neighbour
that is masked, too. Prior and weights are fitted by maximum likelihood (`fitted`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..model.batch import END, START

PRIORS = (20.0, 60.0, 200.0)  # pseudo-counts of p(t) that are tried
MODELS = ("both neighbours", "product of the sides", "left", "right", "unigram")
CHUNK = 250  # tokens whose distributions are held at once


class Counts:
    """How often a token stands between its neighbours, in texts of token ids.

    Args:
        tokens: (N,) ids of all texts, one after the other, each `<s>` ... `</s>`.
        size: V, ids of the vocabulary.
        mask: the id that says nothing of a neighbour.
    """

    def __init__(self, tokens: np.ndarray, size: int, mask: int) -> None:
        at = np.flatnonzero((tokens != START) & (tokens != END))
        before, token, after = (tokens[at + step].astype(np.int64) for step in (-1, 0, 1))
        self.size, self.mask = size, mask
        self.pairs, row = np.unique(before * size + after, return_inverse=True)
        self.both = _table(row, token, len(self.pairs), size)
        self.sides = _table(before, token, size, size), _table(after, token, size, size)
        self.unigram = (1 + np.bincount(token, minlength=size)) / (size + len(token))

    def models(self, left: np.ndarray, right: np.ndarray, prior: float, token: np.ndarray | None = None) -> np.ndarray:
        """Probabilities by each model beside n pairs of neighbours: (5, n) of the tokens (n,), or (5, n, V) of all.
        NaN where a model has nothing to say."""
        if token is None:
            of, beside = (lambda rows: rows.toarray()), (lambda values: values[:, None])
            unigram = np.broadcast_to(self.unigram, (len(left), self.size))
        else:
            wanted = _table(np.arange(len(left)), token, len(left) - 1, self.size)
            of, beside, unigram = (lambda rows: rows.multiply(wanted).sum(1)), np.asarray, self.unigram[token]
        # a masked neighbour, or a pair that was never seen, has the last row, which is empty
        places = [np.where(key == self.mask, self.size, key) for key in (left, right)]
        rows = [table[place] for table, place in zip(self.sides, places, strict=True)]
        total = [row.sum(1) for row in rows]
        one, other = ((of(row) + prior * unigram) / beside(n + prior) for row, n in zip(rows, total, strict=True))
        overlap = rows[0].multiply(rows[1]) @ (1 / self.unigram)  # of the counts: sum over t of both / p(t)
        scale = (overlap + prior * (total[0] + total[1]) + prior**2) / ((total[0] + prior) * (total[1] + prior))
        pair = left.astype(np.int64) * self.size + right
        row = np.searchsorted(self.pairs, pair).clip(max=len(self.pairs) - 1)
        both = self.both[np.where(self.pairs[row] == pair, row, len(self.pairs))]
        with np.errstate(invalid="ignore"):  # 0 / 0: nothing to say
            counted = of(both) / beside(both.sum(1))
        return np.stack([counted, one * other / unigram / beside(scale), one, other, unigram])


class NGram(NamedTuple):
    """The mixture of the models of `counts`."""

    counts: Counts
    prior: float
    weights: np.ndarray  # (5,), of MODELS

    def probability(self, rows: np.ndarray) -> np.ndarray:
        """(n,) of the tokens in rows (n, 3): left neighbour, right neighbour, token."""
        before, after, token = rows.T
        return _mixture(self.counts.models(before, after, self.prior, token), self.weights)

    def predicted(self, rows: np.ndarray) -> np.ndarray:
        """(n,): the most probable tokens beside the neighbours in rows (n, 2 or more)."""
        chunks = [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]
        models = (self.counts.models(chunk[:, 0], chunk[:, 1], self.prior) for chunk in chunks)
        return np.concatenate([_mixture(each, self.weights).argmax(1) for each in models])


def fitted(counts: Counts, rows: np.ndarray) -> NGram:
    """With the prior of PRIORS and the weights that make the tokens in rows (n, 3) likeliest; without rows, the middle
    prior and equal weights."""
    from scipy.optimize import minimize  # late, as scikit-learn in baselines.py
    from scipy.special import softmax

    equal = np.zeros(len(MODELS))
    if not len(rows):
        return NGram(counts, PRIORS[1], softmax(equal))
    tried = []
    for prior in PRIORS:
        models = counts.models(rows[:, 0], rows[:, 1], prior, rows[:, 2])
        found: Any = minimize(lambda z, of=models: _loss(of, softmax(z)), equal)
        tried.append((found.fun, prior, softmax(found.x)))
    _, prior, weights = min(tried, key=lambda each: each[0])
    return NGram(counts, prior, weights)


def _mixture(models: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(5, n, ...) -> (n, ...); the weights of models that say something are scaled to sum to 1."""
    shares = weights.reshape(-1, *[1] * (models.ndim - 1)) * ~np.isnan(models)
    return (np.nan_to_num(models) * shares).sum(0) / shares.sum(0)


def _loss(models: np.ndarray, weights: np.ndarray) -> float:
    return float(-np.log(_mixture(models, weights)).mean())


def _table(key: np.ndarray, token: np.ndarray, rows: int, size: int) -> Any:
    """(rows + 1, size) counts, the last row empty."""
    from scipy import sparse

    return sparse.csr_array((np.ones(len(token)), (key, token)), (rows + 1, size))
