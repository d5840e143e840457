"""Masked language modelling: the language encoder on text alone. Its decoder is tied to its word table."""

from __future__ import annotations

from ..batch import LossOut, Texts
from ..config import RunConfig
from ..flow import Flow
from ..model.heads import LMHead
from .base import Objective, hidden_words, masked_language_loss


class MLM(Objective):
    streams = (Texts,)

    def __init__(self, config: RunConfig):
        super().__init__()
        self.head = LMHead(config.model.text.width, config.model.text.vocabulary)

    def forward(self, flow: Flow) -> LossOut:
        hidden, labels = hidden_words(flow.masked_text, flow.batch.words)
        return masked_language_loss(self.head(hidden, flow.model.text.word.weight), labels)
