"""Image-conditioned masked language modelling: hidden words of a caption from its other words and the picture. The
decoder is tied to the fusion encoder's own word table, which nothing else uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import RunConfig
from ..flow import Flow
from ..model.batch import PAD, FusionBatch, LossOut
from .base import HiddenWords, hidden_tokens, masked_language_loss


class IMLM(HiddenWords):
    """Cross-entropy (nats) of hidden caption tokens, read off the fused text."""

    title = "image-conditioned masked language modelling"
    streams = ("pairs", "regions")
    reads = ("masked_text", "image", "fused")
    text_gradient = 0.0
    constant_of = 256

    def __init__(self, config: RunConfig):
        super().__init__(config)
        self.word = nn.Embedding(config.model.text.vocabulary, config.model.text.width, padding_idx=PAD)

    def pairing(self, flow: Flow) -> FusionBatch:
        text = flow.masked_text
        return FusionBatch(text, flow.batch.tokens.mask[: len(text)], torch.arange(len(text), device=text.device))

    def logits(self, states: Tensor) -> Tensor:
        """Fusion outputs (..., D) -> (..., V)"""
        return self.head(states, self.word.weight)

    def forward(self, flow: Flow) -> LossOut:
        states, labels = hidden_tokens(flow.fused["imlm"], flow.batch.tokens)
        return masked_language_loss(self.logits(states), labels)
