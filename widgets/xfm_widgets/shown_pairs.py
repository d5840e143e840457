"""A retrieval set as RetrievalExplorer draws it, and with a query of the reader's own in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from xfm.base.fields import require
from xfm.plots.arrays import numbers

if TYPE_CHECKING:
    from xfm.data.tokenizer import Tokenizer
    from xfm.tasks.retrieval_set import RetrievalSet

MOST, PAIRS = 256, 24  # at most; by default: a page of them and the shipped model has less than 8 MB
SIDE, LARGE = 48, 192  # pixels of a side: of a thumbnail, and of a drawing at a screen's resolution


def checked_pairs(pairs: RetrievalSet) -> RetrievalSet:
    """With pictures and numbers as they can be drawn. ConfigError, which names them, for more than 256 pairs and for
    texts and numbers that are none."""
    n = len(pairs.texts)
    require(n <= MOST, "pairs", f"{n} pairs", f"at most {MOST}: more are too many for this view")
    for i, text in enumerate(pairs.texts):
        require(isinstance(text, str), f"pairs.texts[{i}]", text, "of type str")
    given = {name: getattr(pairs, name) for name in ("similarity", "truth", "odds", "image_features", "text_features")}
    shapes = {"image_features": (n, None), "text_features": (n, None)}
    arrays = {name: numbers(values, f"pairs.{name}", shapes.get(name, (n, n)))
              for name, values in given.items() if values is not None}  # fmt: skip
    return replace(pairs, **arrays | {"truth": arrays["truth"] > 0})


def square_pictures(images: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 -> (N, SIDE, SIDE, 3), a copy"""
    if images.shape[1:3] == (SIDE, SIDE) or not len(images):
        return images.copy()
    return np.stack([np.array(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BOX)) for one in images])


def with_query(pairs: RetrievalSet, query: int, itc: np.ndarray, content: str | np.ndarray | None) -> RetrievalSet:
    """The set with a sentence, or a picture (SIDE, SIDE, 3), in place of its `query`, and its scores (N,): none of them
    is known to be true, and it has no place on the map."""
    is_text = isinstance(content, str)
    row = np.s_[:, query] if is_text else np.s_[query]
    similarity, truth = pairs.similarity.copy(), pairs.truth.copy()
    similarity[row], truth[row] = itc, False
    features = (pairs.text_features if is_text else pairs.image_features).astype(float)
    features[query] = np.nan
    if isinstance(content, str):
        texts = (*pairs.texts[:query], content, *pairs.texts[query + 1 :])
        return replace(pairs, similarity=similarity, truth=truth, texts=texts, text_features=features)
    images = square_pictures(pairs.images)
    images[query] = content
    return replace(pairs, similarity=similarity, truth=truth, images=images, image_features=features)


def split_words(tokenizer: Tokenizer, text: str, longest: int) -> Sequence[Any]:
    """The words of a sentence that are several pieces, each with them."""
    from xfm.explain.token_axes import token_axis

    axis = token_axis(tokenizer, text, tokenizer.encode(text, longest))
    owned = [*zip(axis.owner, axis.pieces, strict=True)]
    pieces = [(word, [piece for owner, piece in owned if owner == i]) for i, word in enumerate(axis.words)]
    return [(word, own) for word, own in pieces if len(own) > 1]
