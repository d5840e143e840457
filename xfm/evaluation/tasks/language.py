"""Held-out masked language modelling: WordNet's sentences of a split that training never reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...masking import mask_tokens
from ..context import BATCH, EvalContext
from ..result import Result

SENTENCES = 2000
COUNTED = 20_000  # training sentences that the unigram baseline counts


def score(subject: EvalContext) -> list[Result]:
    """Accuracy and cross-entropy (nats) of the hidden tokens, masked as in training.

    Baselines: always the most frequent token; the unigram distribution of training, plus one a token. Tokens of one
    sentence are resampled together. Splits of pictures alone have no sentences.
    """
    if subject.split.startswith("unseen"):
        return []
    sentences = subject.source.sentences(subject.split)
    ids = encoded(subject, [s.text for s in sentences], SENTENCES, "language")
    right, loss, labels, sentence = predictions(subject, ids)
    frequency = 1 + torch.bincount(torch.tensor(training_tokens(subject)), minlength=subject.tokenizer.vocabulary)
    unigram = -(frequency.double() / frequency.sum()).log()[labels].mean().item()
    always = (labels == frequency.argmax()).double().mean().item()
    return [
        subject.result("language", "", "accuracy", right.numpy(), always, "most frequent token", None, sentence),
        subject.result(
            "language", "", "loss (nats)", loss.numpy(), unigram, "unigram", None, sentence, "lower", "nats"
        ),
    ]


def encoded(subject: EvalContext, texts: Sequence[str], most: int, purpose: str) -> list[list[int]]:
    """Token ids of at most so many texts, drawn without repetition."""
    drawn: list[int] = subject.rng(purpose, "sentences").permutation(len(texts))[:most].tolist()
    return [subject.tokenizer.encode(texts[i], subject.config.data.text_tokens) for i in drawn]


def training_tokens(subject: EvalContext) -> list[int]:
    texts = [s.text for s in subject.source.sentences("train")]
    return [token for ids in encoded(subject, texts, COUNTED, "unigram") for token in ids[1:-1]]


def predictions(subject: EvalContext, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
    """Of every hidden token: whether it was guessed, its cross-entropy, itself, and its sentence, (K,) each."""
    rule, rng = subject.config.data.mask, subject.rng("language", "masks")
    how = subject.tokenizer.vocabulary, rule.text_share, rule.text_most, rule.span_share, rng
    hidden = [mask_tokens(text, *how) for text in sorted(texts, key=len)]  # sorted: little padding
    model: Any = subject.model
    out = []
    for start in range(0, len(hidden), BATCH):
        some = hidden[start : start + BATCH]
        states, _ = subject.text([masked for masked, _, _ in some])
        row = [i for i, (_, places, _) in enumerate(some) for _ in places]
        picked = states[row, [p for _, places, _ in some for p in places]]
        logits = model.objectives["mlm"].head(picked, model.text.word.weight).float().cpu()
        labels = torch.tensor([token for _, _, tokens in some for token in tokens])
        loss = F.cross_entropy(logits, labels, reduction="none")
        out.append((logits.argmax(1) == labels, loss, labels, start + torch.tensor(row)))
    right, loss, labels, sentence = (torch.cat(parts) for parts in zip(*out, strict=True))
    return right, loss, labels, sentence.numpy()
