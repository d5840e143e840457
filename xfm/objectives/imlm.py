"""Image-conditioned masked language modelling: hidden words of a caption from its other words and the picture.

The decoder is tied to the fusion encoder's own word table, which nothing else uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..config import RunConfig
from ..flow import Flow
from ..model.batch import IGNORE, PAD, FusionBatch, LossOut
from ..model.heads import LMHead
from .base import Level, Objective, hidden_tokens, masked_language_loss, unigram


class IMLM(Objective):
    """Cross-entropy (nats) of hidden caption tokens, read off the fused text."""

    title = "image-conditioned masked language modelling"
    streams = ("pairs", "regions")
    reads = ("masked_text", "image", "fused")
    text_gradient = 0.0
    new_heads = False  # RoBERTa brings it
    accuracy_key = "accuracy"
    constant_of = 256

    def __init__(self, config: RunConfig):
        super().__init__()
        text = config.model.text
        self.head = LMHead(text.width, text.vocabulary)
        self.word = nn.Embedding(text.vocabulary, text.width, padding_idx=PAD)

    @classmethod
    def constant(cls, batches: Sequence[Any]) -> Level | None:
        return unigram([batch.tokens for batch in batches])

    @classmethod
    def count(cls, batch: Any, fused: int | None) -> Tensor:
        return (batch.tokens.labels[:fused] != IGNORE).sum()

    def pairing(self, flow: Flow) -> FusionBatch:
        text = flow.masked_text
        return FusionBatch(text, flow.batch.tokens.mask[: len(text)], torch.arange(len(text), device=text.device))

    def logits(self, states: Tensor) -> Tensor:
        """Fusion outputs (..., D) -> (..., V)"""
        return self.head(states, self.word.weight)

    def forward(self, flow: Flow) -> LossOut:
        states, labels = hidden_tokens(flow.fused["imlm"], flow.batch.tokens)
        return masked_language_loss(self.logits(states), labels)
