"""A small retrieval set as plain arrays: what a view needs to show the ranks that the evaluation counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..base.fields import one_of, require
from ..base.images import ImageLike, prepare
from ..config import RunConfig
from ..data.source import CaptionedImage, Split
from ..data.tokenizer import Tokenizer
from ..model import XFM
from .context import EvalContext, reproducibly
from .world import retrieval


@dataclass(frozen=True, eq=False)
class RetrievalSet:
    """N pictures and texts with score matrices (N, N): rows are pictures, columns texts. ConfigError for other
    shapes."""

    images: np.ndarray  # (N, H, W, 3) uint8
    texts: tuple[str, ...]  # (N)
    similarity: np.ndarray  # (N, N) ITC: cosines
    image_features: np.ndarray  # (N, E)
    text_features: np.ndarray  # (N, E)
    truth: np.ndarray  # (N, N) bool: the text is true of the picture
    odds: np.ndarray | None = None  # (N, N) ITM: log-odds of belonging together; NaN where not computed. None: no ITM
    reranked: int = retrieval.RERANKED  # of each query's candidates, the best by ITC, re-ranked by ITM
    credit: str = ""  # what figures of the pictures must say

    def __post_init__(self) -> None:
        n, images = len(self.texts), np.asarray(self.images)
        fits = images.ndim == 4 and images.shape[::3] == (n, 3) and images.dtype == np.uint8
        require(fits, "images", f"{images.dtype} {images.shape}", f"uint8 ({n}, H, W, 3), as there are {n} texts")
        for name, matrix in {"similarity": self.similarity, "truth": self.truth, "odds": self.odds}.items():
            shape = (n, n) if matrix is None else np.shape(matrix)
            require(shape == (n, n), f"{name}.shape", shape, f"({n}, {n}): pictures, sentences")
        shapes = np.shape(self.image_features), np.shape(self.text_features)
        same = shapes[0] == shapes[1] and len(shapes[0]) == 2 and shapes[0][0] == n
        require(same, "shapes of image_features, text_features", shapes, f"({n}, E) each")
        require(self.reranked >= 1, "reranked", self.reranked, "positive")

    def row(self, matrix: np.ndarray, direction: str, query: int) -> np.ndarray:
        """(N,) the entries of one of the matrices for a query's candidates; `direction` as in retrieval.DIRECTIONS."""
        one_of("direction", direction, retrieval.DIRECTIONS)
        return matrix[query] if direction == "image to text" else matrix[:, query]

    def ranking(self, direction: str, query: int, itm: np.ndarray | None = None) -> np.ndarray:
        """(N,) the candidates, the best first: by ITC and, with `itm` (N,), the first `reranked` of them by that. Of
        equals the true one comes last, as the evaluation counts; NaN comes behind all."""
        true = self.row(self.truth, direction, query)

        def order(places: np.ndarray, scores: np.ndarray) -> np.ndarray:
            worst = np.where(np.isnan(scores), -np.inf, scores)[places]
            return places[np.lexsort((places, true[places], -worst))]

        by_itc = order(np.arange(len(true)), self.row(self.similarity, direction, query))
        if itm is None:
            return by_itc
        return np.concatenate([order(by_itc[: self.reranked], itm), by_itc[self.reranked :]])

    def plane(self, apart: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """PCA of all features at once: coordinates (2N, 2) of pictures, then of texts, and the explained variance ratio
        of each axis (2,). `apart`: each modality is centred by itself, which hides the modality gap. Features that are
        not finite have no coordinates (NaN)."""
        features = np.concatenate([self.image_features, self.text_features]).astype(float)
        places, ratios = np.full((len(features), 2), np.nan), np.zeros(2)
        finite = np.isfinite(features).all(1)
        picture = np.arange(len(features)) < len(self.texts)
        for group in (finite & picture, finite & ~picture) if apart else (finite,):
            if group.any():
                features[group] -= features[group].mean(0)
        if finite.any():
            _, sizes, axes = np.linalg.svd(features[finite], full_matrices=False)
            axes = axes[:2] * np.sign(axes[:2].sum(1, keepdims=True) + 1e-12)  # the same sign with every library
            places[finite, : len(axes)] = features[finite] @ axes.T
            places[finite, len(axes) :] = 0
            ratios[: len(axes)] = (sizes**2 / max(float((sizes**2).sum()), 1e-12))[:2]
        return places, ratios


def retrieval_set(
    model: XFM,
    config: RunConfig,
    tokenizer: Tokenizer,
    n: int = 64,
    split: Split = "test",
    seed: int = 0,
    checked: bool = True,
) -> RetrievalSet:
    """First `n` pairs of the retrieval task, drawn and scored as by `evaluate`; the model's mode is restored.

    `checked`: draws pairs until every text is true of one picture only. RuntimeError where the world is too small for
    `n` such pairs; ConfigError for data without pairs, and for a model without ITC.
    """
    require("itc" in model.objectives, "objectives", list(model.objectives), "with itc, which retrieval is by")
    context = EvalContext(model, config, tokenizer, split, seed)
    examples = context.examples("retrieval", retrieval.ATTEMPTS if checked else n)
    pairs = retrieval.distinct_pairs(examples, n) if checked else list(examples)
    texts = tuple(pair.text for pair in pairs)
    with reproducibly(model):
        image, text = context.image_features(pairs), context.text_features(texts)
        similarity = image @ text.T
        odds = retrieval.match_best(context, pairs, similarity).numpy() if "itm" in model.objectives else None
    truth = np.array([[retrieval.caption_fits(caption, picture) for caption in pairs] for picture in pairs])
    images = np.stack([pair.image for pair in pairs])
    credit = "; ".join(dict.fromkeys(pair.credit for pair in pairs if pair.credit))
    numbers = similarity.numpy(), image.numpy(), text.numpy(), truth, odds
    return RetrievalSet(images, texts, *numbers, credit=credit)


class OwnScores(NamedTuple):
    """Of a query that is none of the set's, for its N candidates."""

    itc: np.ndarray  # (N,) cosines
    itm: np.ndarray | None  # (N,) log-odds of belonging together, NaN beyond the best by ITC; None: no ITM


def query_scorer(
    model: XFM, config: RunConfig, tokenizer: Tokenizer, pairs: RetrievalSet
) -> Callable[[str | ImageLike, str], OwnScores]:
    """Function `score(query, direction)`: scores a sentence against the pictures of a set ("text to image"), or any
    image (see `xfm.base.images.prepare`) against its sentences ("image to text"). The model's mode is restored.

    `score` raises ConfigError for what is no text or no image, and for a text that is empty or too long."""
    context, side = EvalContext(model, config, tokenizer), config.model.vision.image_size
    pictures = [CaptionedImage(prepare(image, side)) for image in pairs.images]
    longest = config.data.caption_tokens

    def score(query: str | ImageLike, direction: str) -> OwnScores:
        one_of("direction", direction, retrieval.DIRECTIONS)
        if direction == "text to image":
            require(isinstance(query, str) and bool(query.strip()), "query", query, "some words")
            count = len(tokenizer.encode(str(query), 1 << 30))
            require(count <= longest, "query", f"{str(query)[:40]}... ({count} tokens)", f"of at most {longest} tokens")
            shown, texts = pictures, [str(query)]
        else:
            shown, texts = [CaptionedImage(prepare(query, side))], list(pairs.texts)
        with reproducibly(model):
            features = context.image_features(shown) @ context.text_features(texts).T
            itc = features.flatten()
            if "itm" not in model.objectives:
                return OwnScores(itc.numpy(), None)
            best = itc.topk(min(pairs.reranked, len(itc))).indices
            query_places, itm = torch.zeros_like(best), torch.full_like(itc, torch.nan)
            places = (best, query_places) if direction == "text to image" else (query_places, best)
            itm[best] = context.match_logits(shown, texts, *places)
        return OwnScores(itc.numpy(), itm.numpy())

    return score
