"""Masked language modelling on held-out texts (task "mlm")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.masking import mask_tokens
from ...data.source import Split
from ..context import BATCH, EvalContext
from ..result import Result

NEEDS = ("texts",)
SENTENCES = 2000
COUNTED = 20_000  # training texts that the unigram baseline counts


def score(context: EvalContext) -> list[Result]:
    """Accuracy and cross-entropy (nats) of the masked tokens, masked as in training. Empty for unseen splits.

    Baselines: the most frequent token; the unigram distribution of training with add-one smoothing. Tokens of one
    sentence are resampled together.
    """
    if context.unseen:
        return []
    correct, loss, labels, sentence = _predict(context, _sample(context, context.split, SENTENCES, "language"))
    log_probability = torch.from_numpy(log_unigram(context))
    unigram = -log_probability[labels].mean().item(), "unigram"
    most = (labels == log_probability.argmax()).double().mean().item(), "most frequent token"
    return [
        context.result("language", "", "accuracy", correct, most, None, sentence),
        context.result("language", "", "loss (nats)", loss, unigram, None, sentence, better="lower", unit="nats"),
    ]


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


def _predict(context: EvalContext, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor, np.ndarray]:
    """Of every masked token, (K,) each: whether it is predicted, its cross-entropy, its id, and its sentence."""
    rule, rng = context.config.data.mask, context.rng("language", "masks")
    settings = context.tokenizer.vocabulary, rule.text_share, rule.text_most, rule.span_share, rng
    masked = [mask_tokens(text, *settings) for text in sorted(texts, key=len)]  # sorted: little padding
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
