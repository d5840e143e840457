"""What is read off the encoders: labels of texts, of pictures, of texts about one picture or two."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ...model import XFM, ImageTokens
from ...model.blocks import compared, pooled, two_layer_head

PUBLISHED_WIDTHS = (1, 2, 4, 2, 1)  # of the hidden layers, as multiples of the features


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
