"""Masked language modelling: the language encoder on text alone. Its decoder is tied to its word table."""

from __future__ import annotations

from ..flow import Flow
from ..interventions.distillation import SilentGradient, divergence
from ..model.batch import IGNORE, LossOut
from .base import HiddenWords, hidden_tokens, masked_language_loss, mean_over


class MLM(HiddenWords):
    """Cross-entropy (nats) of hidden tokens of sentences."""

    title = "masked language modelling"
    streams = ("texts",)
    reads = ("masked_text",)
    stage1 = True
    family = "language"
    constant_of = 4096

    def forward(self, flow: Flow) -> LossOut:
        tokens, word = flow.batch.tokens, flow.model.text.word.weight
        states, labels = hidden_tokens(flow.masked_text, tokens)
        logits = self.head(states, word)
        out = masked_language_loss(logits, labels)
        if flow.mlm_teacher is None:
            return out
        hidden = labels != IGNORE
        apart = divergence(logits, flow.mlm_teacher(tokens, lambda start: hidden_tokens(start, tokens)[0])) * hidden
        apart = mean_over(apart.sum(), hidden.sum())  # trains, and is no part of the loss that is told
        loss = out.loss + flow.config.mlm_distillation * SilentGradient.apply(apart)
        return LossOut(loss, out.report | {"distillation": apart})
