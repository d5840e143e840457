"""Masked language modelling: the language encoder on text alone. Its decoder is tied to its word table."""

from __future__ import annotations

from ..batch import LossOut
from ..config import RunConfig
from ..flow import Flow
from ..model.heads import LMHead
from .base import Objective, at, masked_language_loss


class MLM(Objective):
    def __init__(self, config: RunConfig):
        super().__init__()
        self.head = LMHead(config.model.text.width, config.model.text.vocabulary)

    def forward(self, flow: Flow) -> LossOut:
        words = flow.batch.words
        logits = self.head(at(flow.masked_text, words.masked_at), flow.model.text.word.weight)
        return masked_language_loss(logits, words.labels)
