"""The language encoder: RoBERTa (X-FM, 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import TextConfig
from .attention import additive
from .batch import PAD
from .blocks import TextLayer
from .kernels import Dropout, Packing
from .stacks import AttentionSite, Stack


def position_ids(ids: Tensor) -> Tensor:
    """(B, L) token ids -> RoBERTa's positions: counted over tokens that are not <pad>, from PAD + 1; pads get PAD."""
    seen = (ids != PAD).long()
    return seen.cumsum(1) * seen + PAD


class TextEncoder(nn.Module):
    """RoBERTa without its pooler: token ids and mask (B, L) -> states (B, L, D)."""

    stack = Stack("text", "text.layers", {"language": AttentionSite("attention", "text", "text")})

    def __init__(self, config: TextConfig):
        super().__init__()
        self.random = config.dropout > 0  # whether a training pass draws anything
        width = config.width
        self.word = nn.Embedding(config.vocabulary, width, padding_idx=PAD)
        self.position = nn.Embedding(config.positions, width, padding_idx=PAD)
        self.token_type = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.dropout = Dropout(config.dropout)
        sizes = width, config.heads, config.intermediate, config.dropout
        self.layers = nn.ModuleList(TextLayer(*sizes) for _ in range(config.depth))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids and mask (B, L), True where a token is -> (B, L, D)"""
        return self.encode(self.embed(ids), mask)

    def encode(self, x: Tensor, mask: Tensor) -> Tensor:
        """Embedded tokens (B, L, D) -> (B, L, D)"""
        bias = additive(mask)
        packing = Packing.of(mask) if self.training else None
        x = x if packing is None else packing.pack(x)
        for layer in self.layers:
            x = layer(x, bias, packing=packing)
        return x if packing is None else packing.pad(x)

    def sentence(self, states: Tensor, mask: Tensor) -> Tensor:
        """States and mask (B, L, D), (B, L) -> (B, D): of the token that stands for the text, the first."""
        return states[:, 0]

    def embed(self, ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, D): what the first layer sees."""
        return self.dropout(self.norm(self.word(ids) + self.token_type + self.position(position_ids(ids))))


class BertEncoder(TextEncoder):
    """BERT: RoBERTa but for the epsilon of its norms. Its positions are shifted and its tokens put in RoBERTa's order
    where its weights are read (`interop.pretrained_encoders`)."""

    def __init__(self, config: TextConfig):
        super().__init__(config)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-12
