"""Captions with a relation exchanged, false of their pictures: negatives for ITM (`data.relation_negatives`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..model.batch import PAD, TokenBatch
from .source import Example
from .tokenizer import Tokenizer
from .world.hard_negatives import hard_negative
from .world.scenes import Scene, World


def false_captions(world: World, examples: Sequence[Example], share: float, rng: np.random.Generator) -> list[str]:
    """Of each example, with this probability, its caption with one relation exchanged for another that makes it false;
    else, and where it states none, the caption itself."""
    texts = []
    for example in examples:
        false = None
        if rng.random() < share and isinstance(example, Scene):
            false = hard_negative(example.caption, example, "relation", world, rng)
        texts.append(false.text if false else example.text)
    return texts


def joined(tokens: TokenBatch, texts: Sequence[str], tokenizer: Tokenizer, longest: int) -> tuple[TokenBatch, Tensor]:
    """B texts' tokens, and the ids (B, L) of B other texts, both padded to one length."""
    ids, _ = tokenizer.pad([tokenizer.encode(text, longest) for text in texts])
    length = max(ids.shape[1], tokens.ids.shape[1])

    def padded(t: Tensor, value: int | bool) -> Tensor:
        return F.pad(t, (0, length - t.shape[1]), value=value)

    longer = replace(
        tokens,
        ids=padded(tokens.ids, PAD),
        masked_ids=padded(tokens.masked_ids, PAD),
        mask=padded(tokens.mask, False),
    )
    return longer, padded(ids, PAD)
