"""Masked language modelling on held-out texts (task "mlm")."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...data import cache
from ...data.masking import mask_tokens
from ...data.source import Split
from ...data.tokenizer import Tokenizer
from ..context import BATCH, EvalContext
from ..neighbours import Counts, NGram, fitted
from ..result import NGRAM, Better, Result

NEEDS = ("texts",)
SENTENCES = 2000
COUNTED, PAIRED = 20_000, 200_000  # training texts that the unigram baseline and the n-gram count, at most
Predictions = tuple[Any, Any, Tensor, np.ndarray]  # of masked tokens: correct, cross-entropy, id, sentence
Masked = list[tuple[list[int], list[int], list[int]]]  # of each text its masked ids, the positions and their labels


def score(context: EvalContext) -> list[Result]:
    """Accuracy and cross-entropy (nats) of the masked tokens, masked as in training. Empty for unseen splits.

    Baselines: the most frequent token; the unigram distribution of training with add-one smoothing. Control condition:
    an n-gram of the two visible neighbours. Tokens of one sentence are resampled together.
    """
    if context.unseen:
        return []
    unigram = log_unigram(context)
    return by_model(context, unigram, SENTENCES) + by_neighbours(context, unigram)


def by_model(context: EvalContext, unigram: np.ndarray, sentences: int) -> list[Result]:
    """The model's own results on at most so many texts. `unigram`: as `log_unigram`."""
    masked = _masked(context, _sample(context, context.split, sentences, "language"))
    return _results(context, "", _predict(context, masked), ("higher", "lower"), unigram)


def by_neighbours(context: EvalContext, unigram: np.ndarray) -> list[Result]:
    """The control condition: the same of an n-gram, whatever the model. `unigram`: as `log_unigram`."""
    masked = _masked(context, _sample(context, context.split, SENTENCES, "language"))
    model, rows = ngram(context), beside(masked)
    sentence = np.repeat(range(len(masked)), [len(positions) for _, positions, _ in masked])
    hit, nats = model.predicted(rows) == rows[:, 2], -np.log(model.probability(rows))
    return _results(context, NGRAM, (hit, nats, torch.from_numpy(rows[:, 2]), sentence), ("", ""), unigram)


def _results(
    context: EvalContext, condition: str, found: Predictions, better: Sequence[Better], unigram: np.ndarray
) -> list[Result]:
    """Accuracy and cross-entropy beside their baselines."""
    correct, loss, labels, sentence = found
    log_probability = torch.from_numpy(unigram)
    level = -log_probability[labels].mean().item(), "unigram"
    most = (labels == log_probability.argmax()).double().mean().item(), "most frequent token"
    hits, nats = ({"groups": sentence, "better": way} for way in better)
    return [
        context.result("language", condition, "accuracy", correct, most, **hits),
        context.result("language", condition, "loss (nats)", loss, level, **nats, unit="nats"),
    ]


def ngram(context: EvalContext) -> NGram:
    """Counted on all training texts (the first PAIRED), in seconds once; fitted to masked tokens of validation."""
    tokenizer, longest, source = context.tokenizer, context.config.data.text_tokens, context.source_with("texts")
    of = "/".join((source.fingerprint, tokenizer.backend.to_str(), str(longest)))
    name = f"tokens-{hashlib.blake2b(of.encode(), digest_size=8).hexdigest()}.npy"
    counts = _counts(
        cache.cached(name, lambda: _encoded(source.texts("train")[:PAIRED], tokenizer, longest)), tokenizer
    )
    chosen = replace(context, split="validation")
    return fitted(counts, beside(_masked(chosen, _sample(chosen, "validation", SENTENCES, "language"))))


def beside(masked: Masked) -> np.ndarray:
    """(n, 3): left neighbour, right neighbour and label of the masked tokens."""
    rows = [(ids[p - 1], ids[p + 1], label) for ids, *both in masked for p, label in zip(*both, strict=True)]
    return np.array(rows, np.int64).reshape(-1, 3)


@lru_cache(2)
def _counts(path: Path, tokenizer: Tokenizer) -> Counts:
    return Counts(np.load(path), tokenizer.vocabulary, tokenizer.mask_id)


def _encoded(texts: Sequence[str], tokenizer: Tokenizer, longest: int) -> bytes:
    """An .npy file of all token ids."""
    file = BytesIO()
    np.save(file, np.fromiter(chain.from_iterable(tokenizer.encode(text, longest) for text in texts), np.int32))
    return file.getvalue()


def log_unigram(context: EvalContext) -> np.ndarray:
    """(V,) log-probabilities of tokens in COUNTED training texts, with add-one smoothing."""
    tokens = [token for ids in _sample(context, "train", COUNTED, "unigram") for token in ids[1:-1]]
    frequency = 1 + torch.bincount(torch.tensor(tokens), minlength=context.tokenizer.vocabulary)
    return (frequency.double() / frequency.sum()).log().numpy()


def _sample(context: EvalContext, split: Split, most: int, purpose: str) -> list[list[int]]:
    """Token ids of at most so many texts of a split, drawn without repetition."""
    texts = context.source_with("texts").texts(split)
    chosen: list[int] = context.rng(purpose, "sentences").permutation(len(texts))[:most].tolist()
    return [context.tokenizer.encode(texts[i], context.config.data.text_tokens) for i in chosen]


def _masked(context: EvalContext, texts: Sequence[Sequence[int]]) -> Masked:
    """As in training; short ones first, for little padding."""
    rule, rng = context.config.data.mask, context.rng("language", "masks")
    settings = context.tokenizer.vocabulary, rule.text_share, rule.text_most, rule.span_share, rng
    return [mask_tokens(text, *settings) for text in sorted(texts, key=len)]


def _predict(context: EvalContext, masked: Masked) -> Predictions:
    """Of every masked token, (K,) each: whether it is predicted, its cross-entropy, its id, and its sentence."""
    model: Any = context.model
    out = []
    for start in range(0, len(masked), BATCH):
        chunk = masked[start : start + BATCH]
        states, _ = context.text_states([ids for ids, _, _ in chunk])
        row = [i for i, (_, positions, _) in enumerate(chunk) for _ in positions]
        picked = states[row, [p for _, positions, _ in chunk for p in positions]]
        logits = model.objectives["mlm"].head(picked, model.text.word.weight).float().cpu()
        labels = torch.tensor([token for _, _, tokens in chunk for token in tokens])
        loss = F.cross_entropy(logits, labels, reduction="none")
        out.append((logits.argmax(1) == labels, loss, labels, start + torch.tensor(row)))
    correct, loss, labels, sentence = (torch.cat(chunks) for chunks in zip(*out, strict=True))
    return correct, loss, labels, sentence.numpy()
