"""A small gallery for retrieval as plain arrays: what a view needs to show the ranks that the evaluation counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import RunConfig
from ..config_utils import one_of, require
from ..data.synthetic.grammar import is_true
from ..data.synthetic.scenes import Split
from ..data.tokenizer import Tokenizer
from ..model import XFM
from .context import EvalContext, inference_mode
from .tasks import retrieval


@dataclass(frozen=True, eq=False)
class RetrievalSet:
    """N pictures and N sentences; matrices have a row a picture, a column a sentence. ConfigError for other shapes."""

    images: np.ndarray  # (N, H, W, 3) uint8
    texts: tuple[str, ...]  # (N)
    similarity: np.ndarray  # (N, N) ITC: cosines
    image_features: np.ndarray  # (N, E)
    text_features: np.ndarray  # (N, E)
    truth: np.ndarray  # (N, N) bool: the sentence is true of the picture
    odds: np.ndarray | None = None  # (N, N) ITM: log-odds of belonging together; NaN where not asked. None: no ITM
    reranked: int = retrieval.RERANKED  # of each query's candidates, the best by ITC, ordered again by ITM

    def __post_init__(self) -> None:
        n, images = len(self.texts), np.asarray(self.images)
        fits = images.ndim == 4 and images.shape[::3] == (n, 3) and images.dtype == np.uint8
        require(fits, "images", f"{images.dtype} {images.shape}", f"uint8 ({n}, H, W, 3), as there are {n} texts")
        square = {"similarity": self.similarity, "truth": self.truth, "odds": self.odds}
        for name, matrix in square.items():
            shape = (n, n) if matrix is None else np.shape(matrix)
            require(shape == (n, n), f"{name}.shape", shape, f"({n}, {n}): pictures, sentences")
        shapes = np.shape(self.image_features), np.shape(self.text_features)
        same = shapes[0] == shapes[1] and len(shapes[0]) == 2 and shapes[0][0] == n
        require(same, "shapes of image_features, text_features", shapes, f"({n}, E) each")
        require(self.reranked >= 1, "reranked", self.reranked, "positive")

    def row(self, matrix: np.ndarray, direction: str, query: int) -> np.ndarray:
        """(N,) what one of the matrices has for each candidate of a query; `direction` as in retrieval.DIRECTIONS."""
        one_of("direction", direction, retrieval.DIRECTIONS)
        return matrix[query] if direction == "image to text" else matrix[:, query]

    def ranking(self, direction: str, query: int, itm: np.ndarray | None = None) -> np.ndarray:
        """(N,) the candidates, the best first: by ITC and, with `itm` (N,), the first `reranked` of them by that. Of
        equals the true one comes last, as the evaluation counts; what has no number comes behind all."""
        true = self.row(self.truth, direction, query)

        def ordered(places: np.ndarray, scores: np.ndarray) -> np.ndarray:
            worst = np.where(np.isnan(scores), -np.inf, scores)[places]
            return places[np.lexsort((places, true[places], -worst))]

        by_itc = ordered(np.arange(len(true)), self.row(self.similarity, direction, query))
        if itm is None:
            return by_itc
        return np.concatenate([ordered(by_itc[: self.reranked], itm), by_itc[self.reranked :]])

    def plane(self, apart: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """PCA of all features at once: the places (2N, 2) of pictures, then of sentences, and the share of the variance
        along each axis (2,). `apart`: each modality's own mean is taken off first, not that of both, so that the gap
        between the two is not seen. Features that are not finite have no place (NaN)."""
        features = np.concatenate([self.image_features, self.text_features]).astype(float)
        places, shares = np.full((len(features), 2), np.nan), np.zeros(2)
        known = np.isfinite(features).all(1)
        picture = np.arange(len(features)) < len(self.texts)
        for group in (known & picture, known & ~picture) if apart else (known,):
            if group.any():
                features[group] -= features[group].mean(0)
        if known.any():
            _, sizes, axes = np.linalg.svd(features[known], full_matrices=False)
            axes = axes[:2] * np.sign(
                axes[:2].sum(1, keepdims=True) + 1e-12
            )  # a sign of its own, whatever the library's
            places[known, : len(axes)] = features[known] @ axes.T
            places[known, len(axes) :] = 0
            shares[: len(axes)] = (sizes**2 / max(float((sizes**2).sum()), 1e-12))[:2]
        return places, shares


def retrieval_set(
    model: XFM,
    config: RunConfig,
    tokenizer: Tokenizer,
    n: int = 64,
    split: Split = "test",
    seed: int = 0,
    checked: bool = True,
) -> RetrievalSet:
    """The first `n` pairs of the retrieval task, as `evaluate` draws and scores them; the model's mode is restored.

    `checked`: every sentence is true of one picture alone; without, pictures and sentences come as they are drawn.
    RuntimeError where the world is too small for `n` checked pairs.
    """
    subject = EvalContext(model, config, tokenizer, split, seed)
    if checked:
        scenes = retrieval.checked_gallery(lambda i: subject.scene("retrieval", i), n)
    else:
        scenes = subject.scenes("retrieval", n)
    captions = retrieval.captions(scenes)
    texts = tuple(caption.text for caption in captions)
    with inference_mode(model):
        image, text = subject.image_features(scenes), subject.text_features(texts)
        similarity = image @ text.T
        odds = retrieval.matching(subject, scenes, similarity)
    truth = np.array([[is_true(caption, scene.objects) for caption in captions] for scene in scenes])
    images = np.stack([s.image for s in scenes])
    return RetrievalSet(images, texts, similarity.numpy(), image.numpy(), text.numpy(), truth, odds.numpy())
