"""Image-conditioned masked language modelling: hidden words of a caption from its other words and the picture.

The decoder is tied to the fusion encoder's own word table, which nothing else uses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..batch import PAD, FusionBatch, LossOut, Pairs, Regions
from ..config import RunConfig
from ..flow import Flow
from ..model.heads import LMHead
from .base import Objective, hidden_words, masked_language_loss


class IMLM(Objective):
    streams = (Pairs, Regions)

    def __init__(self, config: RunConfig):
        super().__init__()
        text = config.model.text
        self.head = LMHead(text.width, text.vocabulary)
        self.word = nn.Embedding(text.vocabulary, text.width, padding_idx=PAD)

    def pairing(self, flow: Flow) -> FusionBatch:
        text = flow.masked_text
        return FusionBatch(text, flow.batch.words.mask[: len(text)], torch.arange(len(text), device=text.device))

    def logits(self, hidden: Tensor) -> Tensor:
        """Fusion outputs (..., D) -> (..., V)"""
        return self.head(hidden, self.word.weight)

    def forward(self, flow: Flow) -> LossOut:
        hidden, labels = hidden_words(flow.fused["imlm"], flow.batch.words)
        return masked_language_loss(self.logits(hidden), labels)
