"""A causal language model that looks at what an encoder made: it answers questions, and writes captions (ALBEF, X-FM).

It starts as a copy of the fusion encoder, the only one whose layers look at another sequence.
"""

from __future__ import annotations

from torch import Tensor, nn

from ...config import ModelConfig
from ...model import XFM
from ...model.attention import Attention, additive
from ...model.batch import IGNORE
from ...model.blocks import TextLayer
from ...model.heads import LMHead
from ...model.text import TextEncoder

__all__ = ["Decoder", "next_tokens", "smoothed_cross_entropy"]

LAYERS, HEAD = "layers.", "head."


class Decoder(TextEncoder):
    """RoBERTa as a causal language model with cross-attention in every layer; its output is tied to its word table."""

    of_encoders = ("word", "position")  # copies of tables, which stay with frozen encoders

    def __init__(self, config: ModelConfig, memory_width: int, depth: int):
        """`memory_width`: of the states that it looks at."""
        super().__init__(config.text)
        text = config.text
        self.layers = nn.ModuleList(
            TextLayer(text.width, text.heads, text.intermediate, text.dropout, memory_width, config.cross_attention)
            for _ in range(depth)
        )
        self.head = LMHead(text.width, text.vocabulary)

    @classmethod
    def of(cls, model: XFM, memory_width: int) -> Decoder:
        """A copy of the fusion encoder with IMLM's head and words; the rest of its embeddings is the language encoder's
        (the published code takes the fusion encoder's, which no loss has touched). It looks at states of
        `memory_width`; where pictures have another, what projects them is new. KeyError without IMLM."""
        imlm = model.objectives["imlm"]
        decoder = cls(model.config, memory_width, model.config.fusion_depth)
        copied = (
            {n: t for n, t in model.text.state_dict().items() if not n.startswith(LAYERS)}
            | {f"word.{n}": t for n, t in imlm.word.state_dict().items()}  # type: ignore[union-attr]
            | {LAYERS + n: t for n, t in model.fusion.layers.state_dict().items()}
            | {HEAD + n: t for n, t in imlm.head.state_dict().items()}  # type: ignore[union-attr]
        )
        drawn = decoder.state_dict()
        decoder.load_state_dict({n: t if t.shape == drawn[n].shape else drawn[n] for n, t in copied.items()})
        return decoder.to(model.device, model.dtype)

    def forward(  # type: ignore[override]
        self, ids: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor | None = None
    ) -> Tensor:
        """Ids and mask (B, L), memory (B, S, C) and its mask (B, S) -> logits (B, L, V) of the token after each."""
        return self.logits(self.states(ids, mask, memory, memory_mask))

    def logits(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., V)"""
        return self.head(states, self.word.weight)

    def states(
        self, ids: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor | None = None, own: Tensor | None = None
    ) -> Tensor:
        """As `forward`, before the words -> (B, L, D). `own` (B,): the place of each text's memory, where several
        look at one, which is projected once."""
        earlier = mask.new_ones(ids.shape[1], ids.shape[1]).tril()
        bias = additive(mask[:, None] & earlier)
        memory_bias = None if memory_mask is None else additive(memory_mask if own is None else memory_mask[own])

        def keys_and_values(cross: Attention) -> Tensor:
            projected = cross.project(memory)
            return projected if own is None else projected[own]

        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, bias, keys_and_values, memory_bias)
        return x


def next_tokens(ids: Tensor, mask: Tensor, skip: int = 1) -> Tensor:
    """Ids and mask (B, L) -> (B, L - 1): what is to be said after each token; IGNORE where there is none, and for the
    first `skip - 1`, which are given (a prompt)."""
    labels = ids.masked_fill(~mask, IGNORE)
    labels[:, :skip] = IGNORE
    return labels[:, 1:]


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Logits (..., V), labels (...) -> (...), 0 where they are IGNORE: 1 - s at the label and s / V at every other
    token, as published (they sum to 1 - s / V)."""
    wanted, there = labels.clamp(min=0), labels != IGNORE
    logs = logits.log_softmax(-1)
    own, everything = logs.gather(-1, wanted[..., None])[..., 0], logs.sum(-1)
    loss = -(1 - smoothing) * own - smoothing / logits.shape[-1] * (everything - own)
    return loss * there
