"""Retrieval among a few pairs: a sentence against pictures, a picture against sentences, and a map of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets
from PIL import Image

from xfm.config import ConfigError
from xfm.config_utils import require
from xfm.plots import Figure
from xfm.plots.arrays import finite, numbers
from xfm.plots.style import message_figure

from . import figures
from .base import View, encodable
from .choices import Flag, Option, Place, Selected, told

if TYPE_CHECKING:
    import pandas as pd

    from xfm.evaluation.retrieval_set import RetrievalSet

    Rerank = Callable[[str, int, np.ndarray], np.ndarray]

__all__ = ["RetrievalExplorer"]

DIRECTIONS, ORDERS = ("text to image", "image to text"), ("ITC", "ITM re-ranked")
MOST, SIDE = 256, 48  # pairs, and pixels of a thumbnail's side


class RetrievalExplorer(View):
    """Ranked answers with the true ones marked, before and after ITM re-ranking, and a map to brush.

    RetrievalExplorer(retrieval_set(model, config, tokenizer))    # or a RetrievalSet of your own arrays
    RetrievalExplorer(large, rerank)    # rerank(direction, query, candidates (k,)) -> scores (k,), asked when needed
    """

    direction = Option(DIRECTIONS, DIRECTIONS[0])
    query = Place(0, of=lambda view: len(view._pairs.texts))  # which sentence, or picture
    order = Option(ORDERS, ORDERS[1])
    apart = Flag(False)  # the map: each modality's own mean taken off, not that of both
    selected = Selected(of=lambda view: len(view._pairs.texts), kinds=("pictures", "sentences"))  # brushed on the map
    asked = told(traitlets.Dict())  # what `rerank` returned: "image to text 3" -> float32 bytes, (N,)

    def __init__(self, pairs: RetrievalSet, rerank: Rerank | None = None, **traits: Any):
        """ConfigError for more than 256 pairs, and for texts, pictures and numbers that are none."""
        n = len(pairs.texts)
        if n > MOST:
            raise ConfigError(f"pairs: {n} pairs are too many for this view: at most {MOST}")
        for i, text in enumerate(pairs.texts):
            require(isinstance(text, str), f"pairs.texts[{i}]", text, "of type str")
        self._pairs, self._rerank = checked(pairs), rerank
        pairs, self._scores = self._pairs, {}
        planes = {"together": pairs.plane(), "apart": pairs.plane(apart=True)}
        payload = {
            "texts": list(pairs.texts), "side": SIDE, "sprite": _sprite(pairs.images), "k": pairs.reranked,
            "itc": _floats(pairs.similarity), "truth": np.asarray(pairs.truth, np.uint8).tobytes(),
            "itm": None if pairs.odds is None or rerank else _floats(pairs.odds), "asks": rerank is not None,
            "planes": {name: {"places": _floats(places), "shares": finite(shares).tolist()}
                       for name, (places, shares) in planes.items()}}  # fmt: skip
        empty = (
            "" if n else "No pairs: xfm.evaluation.retrieval_set.retrieval_set(model, config, tokenizer) makes a set."
        )
        nothing = {"pictures": [], "sentences": []}
        super().__init__(payload, empty, **{"selected": nothing, "credit": pairs.credit} | traits)
        self.observe(self._ask, ["direction", "query"])
        self._ask()

    def _ask(self, _: Any = None) -> None:
        name, pairs = f"{self.direction} {self.query}", self._pairs
        if self._rerank is None or not len(pairs.texts) or name in self._scores:
            return
        with self.reporting():
            first = pairs.ranking(self.direction, self.query)[: pairs.reranked]
            scores = numbers(self._rerank(self.direction, self.query, first), "rerank(...)", first.shape)
            row = np.full(len(pairs.texts), np.nan, np.float32)
            row[first] = scores
            self._scores[name] = row
            self.tell(asked={name: row.tobytes() for name, row in self._scores.items()})

    def itm(self) -> np.ndarray | None:
        """(N,) ITM's scores of the current query's candidates, NaN where there is none; None: no ITM."""
        if self._rerank is not None:
            return self._scores.get(f"{self.direction} {self.query}")
        odds = self._pairs.odds
        return None if odds is None else self._pairs.row(odds, self.direction, self.query)

    def data(self) -> pd.DataFrame:
        """The candidates of the current query in the current order."""
        import pandas as pd

        pairs, kind = self._pairs, "pictures" if self.direction == DIRECTIONS[0] else "sentences"
        columns = ["rank", "candidate", "sentence", "ITC", "ITM", "true", "rank by ITC", "selected"]
        if not len(pairs.texts):
            return pd.DataFrame(columns=columns)
        query, itm = (self.direction, self.query), self.itm()
        by_itc, order = pairs.ranking(*query), pairs.ranking(*query, itm if self.order == ORDERS[1] else None)
        return pd.DataFrame(
            {
                "rank": np.arange(1, len(order) + 1),
                "candidate": order,
                "sentence": encodable([pairs.texts[i] for i in order]),
                "ITC": pairs.row(pairs.similarity, *query)[order],
                "ITM": np.nan if itm is None else itm[order],
                "true": pairs.row(pairs.truth, *query)[order],
                "rank by ITC": by_itc.argsort()[order] + 1,
                "selected": np.isin(order, self.selected.get(kind, [])),
            },
            columns=columns,
        )

    def figure(self) -> Figure:
        n = len(self._pairs.texts)
        if not n:
            return message_figure(str(self.message))
        chosen = [*self.selected.get("pictures", []), *(n + i for i in self.selected.get("sentences", []))]
        itm = self.itm() if self.order == ORDERS[1] else None
        return figures.plot_retrieval(self._pairs, self.direction, self.query, itm, chosen, self.apart, self.credit)


def checked(pairs: RetrievalSet) -> RetrievalSet:
    """With pictures and numbers as they can be drawn. ConfigError, which names them, for what are none."""
    n = len(pairs.texts)
    given = {name: getattr(pairs, name) for name in ("similarity", "truth", "odds", "image_features", "text_features")}
    shapes = {"image_features": (n, None), "text_features": (n, None)}
    arrays = {
        name: numbers(values, f"pairs.{name}", shapes.get(name, (n, n)))
        for name, values in given.items()
        if values is not None
    }
    return replace(pairs, **arrays | {"truth": arrays["truth"] > 0})


def _sprite(images: np.ndarray) -> bytes:
    """All pictures (N, H, W, 3) uint8 below each other, each SIDE pixels square."""
    if images.shape[1:3] == (SIDE, SIDE):
        return np.ascontiguousarray(images).tobytes()
    return b"".join(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BOX).tobytes() for one in images)


def _floats(values: np.ndarray) -> bytes:
    return np.asarray(values, np.float32).tobytes()
