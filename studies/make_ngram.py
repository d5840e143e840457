"""How well two visible neighbours predict a masked token: studies/ngram.json, an n-gram's level for MLM.

    python studies/make_ngram.py [--out studies/ngram.json]     # a minute of one core

A mixture of five count models of the training sentences: p(t | left, right) as counted; the product p(t | left)
p(t | right) / p(t), normalised; p(t | left); p(t | right); p(t). One-sided models are smoothed towards p(t) by PRIORS
pseudo-counts; the first drops out where a neighbour is masked, too, or the pair was never seen. Prior and weights are
fitted on the validation split. Asked are the evaluation's own masked tokens of the test split.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse

import xfm
from xfm.base.files import write_atomically
from xfm.data.masking import mask_tokens
from xfm.data.source import Split
from xfm.tasks import EvalContext
from xfm.tasks.world import language

OUT = Path(__file__).with_name("ngram.json")
PRIORS = (20, 60, 200)  # pseudo-counts of p(t) that are tried
MODELS = ("both neighbours", "product of the sides", "left", "right", "unigram")
CHUNK = 250  # tokens whose five distributions are held at once


class Neighbours:
    """Counts of a token (of V) beside its neighbours in sentences of token ids."""

    def __init__(self, sentences: Sequence[Sequence[int]], size: int, mask: int) -> None:
        long = [np.asarray(ids) for ids in sentences if len(ids) > 2]
        left, token, right = (np.concatenate([ids[i : len(ids) - 2 + i] for ids in long]) for i in range(3))
        self.size, self.mask = size, mask
        self.pairs, row = np.unique(left.astype(np.int64) * size + right, return_inverse=True)
        self.both, self.left, self.right = (_table(key, token, size) for key in (row, left, right))
        self.unigram = (1 + np.bincount(token, minlength=size)) / (size + len(token))

    def models(self, left: np.ndarray, right: np.ndarray, prior: float) -> np.ndarray:
        """(5, n, V): each model's distribution beside n pairs of neighbours; NaN where one has nothing to say."""
        sides = []
        for table, key in ((self.left, left), (self.right, right)):
            counts = table[key].toarray() * (key != self.mask)[:, None]
            sides.append((counts + prior * self.unigram) / (counts.sum(1, keepdims=True) + prior))
        product = sides[0] * sides[1] / self.unigram
        pair = left.astype(np.int64) * self.size + right
        row = np.searchsorted(self.pairs, pair).clip(max=len(self.pairs) - 1)
        seen = (self.pairs[row] == pair) & (left != self.mask) & (right != self.mask)
        both = np.where(seen[:, None], self.both[row].toarray(), np.nan)
        unigram = np.broadcast_to(self.unigram, product.shape)
        return np.stack([_normalised(both), _normalised(product), *sides, unigram])


def masked_tokens(context: EvalContext, split: Split) -> np.ndarray:
    """(n, 3): left neighbour, right neighbour and label of the tokens that the task "mlm" masks."""
    texts = sorted(language._sample(context, split, language.SENTENCES, "language"), key=len)
    rule, rng = context.config.data.mask, context.rng("language", "masks")
    settings = context.tokenizer.vocabulary, rule.text_share, rule.text_most, rule.span_share, rng
    rows = []
    for ids, positions, labels in (mask_tokens(text, *settings) for text in texts):
        rows += [(ids[p - 1], ids[p + 1], label) for p, label in zip(positions, labels, strict=True)]
    return np.array(rows)


def mixture(models: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(5, n, ...) -> (n, ...); the weights of models that say something are scaled to sum to 1."""
    shares = weights.reshape(-1, *[1] * (models.ndim - 1)) * ~np.isnan(models)
    return (np.nan_to_num(models) * shares).sum(0) / shares.sum(0)


def fit(models: np.ndarray) -> np.ndarray:
    """(5,) weights with the highest likelihood of n labels, from their probabilities (5, n)."""
    fitted = scipy.optimize.minimize(lambda z: _loss(models, _softmax(z)), np.zeros(len(models)))
    return _softmax(fitted.x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    lab = xfm.load("demo")
    tokenizer, config = lab.tokenizer, lab.config
    asked = {}
    for split in ("validation", "test"):
        context = EvalContext(lab.model, config, tokenizer, split, 0)
        asked[split] = masked_tokens(context, split)
    texts = context.source_with("texts").texts("train")
    encoded = [tokenizer.encode(text, config.data.text_tokens) for text in texts]
    counts = Neighbours(encoded, tokenizer.vocabulary, tokenizer.mask_id)
    tried = []
    for prior in PRIORS:
        models = np.concatenate(
            [_of_labels(each, rows) for each, rows in _chunks(counts, asked["validation"], prior)], 1
        )
        weights = fit(models)
        tried.append((_loss(models, weights), prior, weights))
    validation, prior, weights = min(tried, key=lambda row: row[0])
    chunks = [(mixture(each, weights), rows[:, 2]) for each, rows in _chunks(counts, asked["test"], prior)]
    probability = np.concatenate([p[np.arange(len(labels)), labels] for p, labels in chunks])
    made: dict[str, Any] = {
        "command": "python studies/make_ngram.py",
        "sentences": len(texts),
        "tokens": len(probability),
        "loss": round(float(-np.log(probability).mean()), 4),
        "accuracy": round(float(np.concatenate([p.argmax(1) == labels for p, labels in chunks]).mean()), 4),
        "validation loss": round(float(validation), 4),
        "prior": prior,
        "weights": dict(zip(MODELS, np.round(weights, 3).tolist(), strict=True)),
    }
    write_atomically(out, json.dumps(made, indent=1) + "\n")
    print(f"{made['loss']:.2f} nats, {100 * made['accuracy']:.1f} % of {made['tokens']:,} tokens; {out}")


def _chunks(counts: Neighbours, asked: np.ndarray, prior: float) -> Any:
    for start in range(0, len(asked), CHUNK):
        rows = asked[start : start + CHUNK]
        yield counts.models(rows[:, 0], rows[:, 1], prior), rows


def _of_labels(models: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return models[:, np.arange(len(rows)), rows[:, 2]]


def _loss(models: np.ndarray, weights: np.ndarray) -> float:
    return float(-np.log(mixture(models, weights)).mean())


def _softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum()


def _table(key: np.ndarray, token: np.ndarray, size: int) -> Any:
    return scipy.sparse.csr_array((np.ones(len(token)), (key, token)), (max(size, int(key.max()) + 1), size))


def _normalised(rows: np.ndarray) -> np.ndarray:
    return rows / rows.sum(1, keepdims=True)


if __name__ == "__main__":
    main()
