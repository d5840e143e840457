"""Explanations made of attention, and of gradients by it: rows of numbers for word pieces (L,) and patches (P,).

The image tokens that words look at are the picture's pooled token, which is the mean of its patches, and the patches.
So what goes to the pooled token goes to all patches evenly. The vision encoder's class token is no part of the picture;
what ends there is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .. import head_stats
from ..inputs import AttributionInputs
from ..tracing import AttentionMap, capture_attention

Maps = Mapping[str, AttentionMap]
Rows = tuple[Tensor, Tensor]  # (L,), (P,)


def raw(question: AttributionInputs) -> Rows:
    """The last layer's weights, heads averaged: of the token that the target is read off."""
    maps, _ = capture_attention(question, gradients=False)
    return last({name: own.weights.mean(1) for name, own in maps.items()}, question.target.token)


def attention_gradient(question: AttributionInputs) -> Rows:
    """The same of weight x gradient, where that is positive."""
    return last(weighted(capture_attention(question)[0]), question.target.token)


def rollout(question: AttributionInputs) -> Rows:
    """Abnar and Zuidema (2020), on to the other modality: see `bimodal_rollout`."""
    maps, _ = capture_attention(question, gradients=False)
    if question.target.token is None:
        return own_flow(maps["language"])[0], own_flow(maps["vision"])[1:].mean(0)[1:]
    words, across = bimodal_rollout(maps)[-1]
    return words[question.target.token], across[question.target.token, 1:]


def bimodal_rollout(maps: Maps) -> list[Rows]:
    """What each word piece is made of before the fusion encoder, and after each of its layers: of pieces (L, L) and of
    image tokens (L, 1 + P).

    Each attention adds half of what it gathers and keeps half, heads averaged, so each row, over both modalities, adds
    up to 1: the second part's sums are the picture's share in each piece.
    """
    words, image = own_flow(maps["language"]), memory(own_flow(maps["vision"]))
    across = torch.zeros(len(words), image.shape[1])
    found = [(words, across)]
    for own, cross in zip(maps["fusion"].weights.mean(1), maps["cross"].weights.mean(1), strict=True):
        words, across = (words + own @ words) / 2, (across + own @ across) / 2
        words, across = words / 2, (across + cross @ image) / 2
        found.append((words, across))
    return found


def own_flow(attention: AttentionMap) -> Tensor:
    """(N, N): what each token of an encoder is made of, after all its layers."""
    return head_stats.rollout(attention.weights)[-1]


def generic(question: AttributionInputs) -> Rows:
    """Generic attention explainability (Chefer, Gur and Wolf, 2021): equations 5-9 within a modality, 8-11 across.

    What a token keeps of itself, the identity that the relevance of words starts from, is left out.
    """
    maps = weighted(capture_attention(question)[0])
    vision, words = eye(maps["vision"]), eye(maps["language"])
    for layer in maps["vision"]:
        vision = vision + layer @ vision
    for layer in maps["language"]:
        words = words + layer @ words
    if question.target.token is None:
        return (words - eye(maps["language"]))[0], (vision - eye(maps["vision"]))[1:].mean(0)[1:]
    across = torch.zeros(len(words), len(vision))
    for own, cross in zip(maps["fusion"], maps["cross"], strict=True):
        words, across = words + own @ words, across + own @ across
        across = across + normalised(words).T @ cross @ memory(normalised(vision))
    return (words - eye(maps["language"]))[question.target.token], across[question.target.token, 1:]


def layer_gradients(question: AttributionInputs) -> Rows:
    """After LeGrad (Bousselham et al., 2024): positive gradients by the weights, averaged over heads and queries and
    added up over the layers. LeGrad takes the target anew at each layer; here it is the last one's."""
    maps, _ = capture_attention(question)
    gradients = {n: m.gradients.clamp_min(0).mean((1, 2)).sum(0) for n, m in maps.items() if m.gradients is not None}
    return gradients["language"] + gradients["fusion"], gradients["vision"][1:] + shared(gradients["cross"])


def weighted(maps: Maps) -> dict[str, Tensor]:
    """(layer, query, key): the positive part of weight x gradient, heads averaged (Chefer et al., equation 5)."""
    return {n: (m.weights * m.gradients).clamp_min(0).mean(1) for n, m in maps.items() if m.gradients is not None}


def last(maps: Mapping[str, Tensor], token: int | None) -> Rows:
    """The last layers' rows of the token that the target is read off; before fusion: of `<s>`, and of all patches."""
    if token is None:
        return maps["language"][-1][0], maps["vision"][-1][1:].mean(0)[1:]
    return maps["fusion"][-1][token], shared(maps["cross"][-1][token])


def shared(row: Tensor) -> Tensor:
    """(1 + P,) -> (P,): the pooled token's part goes to all patches."""
    return row[1:] + row[0] / (len(row) - 1)


def memory(vision: Tensor) -> Tensor:
    """Rows of the vision encoder's tokens -> rows of what words look at: the mean of the patches first."""
    return torch.cat([vision[1:].mean(0, keepdim=True), vision[1:]])


def normalised(relevance: Tensor) -> Tensor:
    """Each row's part beyond the identity adds up to 1 (equations 8 and 9); 0 where there is none."""
    beyond = relevance - torch.eye(len(relevance))
    total = beyond.sum(-1, keepdim=True)
    return torch.where(total > 0, beyond / total.clamp_min(1e-30), 0) + torch.eye(len(relevance))


def eye(maps: Tensor) -> Tensor:
    return torch.eye(maps.shape[-1])
