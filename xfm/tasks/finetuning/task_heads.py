"""What is read off the encoders: labels of texts, of pictures, of texts about one picture or two; and which of several
texts and pictures belong together, by contrast, by matching, or by both (ALBEF; X-FM, 4)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model import XFM, ImageTokens
from ...model.blocks import compared, pooled, two_layer_head
from ...objectives.itm import negative_weights

PUBLISHED_WIDTHS = (1, 2, 4, 2, 1)  # of the hidden layers, as multiples of the features
LEFT_OUT = -100.0  # the score of a candidate that contrast has left out


def fused_token(model: XFM, text: Tensor, mask: Tensor, patches: Tensor) -> Tensor:
    """Text states (B, L, D), their mask (B, L), and a picture's patches (B, P, C) for each -> (B, D): token 0 of the
    fusion encoder's output, which looks at the whole picture."""
    image = ImageTokens.of_pictures(patches)
    return model.fusion(text, mask, image, torch.arange(len(text), device=text.device))[:, 0]


class TextClassifier(nn.Module):
    """GLUE: labels of a text, or of two joined by </s></s>; with one class a score, as STS-B's."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.head = two_layer_head(width, classes)

    def forward(self, model: XFM, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids and mask (B, L) -> (B, K)"""
        return self.head(model.text.sentence(model.text(ids, mask), mask))


class PairClassifier(nn.Module):
    """Labels of two texts that are encoded apart, from both features side by side (InferSent), standardised, by one
    linear layer: what small encoders learn in few steps, in which two texts read as one are not compared yet."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(8 * width, affine=False)
        self.head = nn.Linear(8 * width, classes)

    def forward(self, model: XFM, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids and mask (2 B, L), all the first texts before all the second -> (B, K)"""
        features = compared(*pooled(model.text, ids, mask).chunk(2)).float()
        self.norm.train(self.training and len(features) > 1)  # one alone has no deviation
        return self.head(self.norm(features))


class TwoPictureClassifier(nn.Module):
    """NLVR2: whether a statement about two pictures is true. The statement is fused with each alone."""

    def __init__(self, width: int, classes: int = 2):
        super().__init__()
        self.head = two_layer_head(2 * width, classes)

    def forward(self, model: XFM, ids: Tensor, mask: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Ids and mask (B, L), two normalised pictures (B, 3, H, W) a statement -> (B, K)"""
        text, patches = model.text(ids, mask), model.vision(torch.cat([left, right])).chunk(2)
        return self.head(torch.cat([fused_token(model, text, mask, each) for each in patches], 1))


class ImageClassifier(nn.Module):
    """Labels of pictures, from the mean of the patches.

    `published`: the published head, also for what it calls linear evaluation, is a five-layer MLP on that mean taken
    twice (48.8 million parameters for a thousand classes at base); otherwise one linear layer.
    """

    def __init__(self, width: int, classes: int, published: bool = False):
        super().__init__()
        self.published = published
        if not published:
            self.head: nn.Module = nn.Linear(width, classes)
            return
        widths = [2 * width * times for times in PUBLISHED_WIDTHS]
        hidden = [(nn.Linear(i, o), nn.LayerNorm(o), nn.GELU()) for i, o in pairwise(widths)]
        self.head = nn.Sequential(*(layer for group in hidden for layer in group), nn.Linear(widths[-1], classes))

    def forward(self, model: XFM, image: Tensor) -> Tensor:
        """Normalised pictures (B, 3, H, W) -> (B, K)"""
        mean = model.vision(image).mean(1)
        return self.head(torch.cat([mean, mean], 1) if self.published else mean)


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
