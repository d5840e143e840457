"""Image-text retrieval: fine-tuned with several texts a picture, ranked by contrast, by matching, or by both
(ALBEF; X-FM, 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...objectives.itm import negative_weights

LEFT_OUT = -100.0  # the score of a candidate that contrast has left out


def contrastive_loss(image: Tensor, text: Tensor, temperature: Tensor, picture: Tensor) -> Tensor:
    """Image and text embeddings (B, E) of unit length, and the number of each pair's picture (B,): texts of one picture
    share the probability that is to be theirs. Mean of both directions, nats."""
    same = (picture[:, None] == picture[None]).to(image.dtype)
    wanted, logits = same / same.sum(1, keepdim=True), image @ text.T / temperature
    return (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2


def negatives_elsewhere(similarity: Tensor, picture: Tensor) -> Tensor:
    """As ITM's `negative_weights` (B, B), but no text of the same picture is a negative either. Where all are of one
    picture there is none: rows of zeros."""
    return negative_weights(similarity).masked_fill(picture[:, None] == picture[None], 0)


def two_way_ranks(scores: Tensor, owner: Tensor, other: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Scores of n pictures and T texts (n, T), the picture of each text (T,); `other`: (T, n) from the texts' side,
    where candidates differ -> places, 0 the best, of each picture's best own text (n,) and of each text's picture (T,).
    """
    owned = owner[None] == torch.arange(len(scores), device=owner.device)[:, None]
    places = _places(scores).masked_fill(~owned, scores.shape[1]).amin(1)
    back = _places(scores.T if other is None else other)
    return places, back.gather(1, owner[:, None])[:, 0]


def _places(scores: Tensor) -> Tensor:
    return scores.argsort(dim=1, descending=True, stable=True).argsort(1)


def candidates(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Similarities (n, m) -> rows and columns (n min(k, m),) of each row's k most similar columns."""
    columns = similarity.topk(min(k, similarity.shape[1]), 1).indices
    rows = torch.arange(len(similarity), device=similarity.device)[:, None].expand_as(columns)
    return rows.flatten(), columns.flatten()


def rescored(similarity: Tensor, rows: Tensor, columns: Tensor, scores: Tensor, elsewhere: float = LEFT_OUT) -> Tensor:
    """(n, m) scores: the candidates' own, and `elsewhere` for all other pairs."""
    return torch.full_like(similarity, elsewhere).index_put_((rows, columns), scores.to(similarity.dtype))


def mutual_candidates(similarity: Tensor, k: int) -> Tensor:
    """(n, m) bool: whether row or column is among the k most similar ones of the other."""
    either = torch.zeros_like(similarity, dtype=torch.bool)
    either[candidates(similarity, k)] = True
    either.T[candidates(similarity.T, k)] = True
    return either
