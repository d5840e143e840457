"""Retrieval among a few pairs: a sentence against pictures, a picture against sentences, and a map of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import traitlets
from PIL import Image, ImageOps

from xfm.base.fields import require
from xfm.base.images import ImageLike, decode, prepare
from xfm.config import ConfigError
from xfm.plots import Figure
from xfm.plots.arrays import finite, numbers
from xfm.plots.style import message_figure

from . import figures
from .choices import Flag, Option, Place, Selected, Text, told
from .live_page import LivePage
from .uploaded_picture import decoded_picture
from .view import encodable

if TYPE_CHECKING:
    import pandas as pd

    from xfm.config import RunConfig
    from xfm.data import Dataset
    from xfm.data.tokenizer import Tokenizer
    from xfm.explain.vocabulary import SeenWords
    from xfm.model import XFM
    from xfm.tasks.retrieval_set import OwnScores, RetrievalSet

    Rerank = Callable[[str, int, np.ndarray], np.ndarray]
    Score = Callable[[Any, str], OwnScores]

__all__ = ["RetrievalExplorer"]

DIRECTIONS, ORDERS = ("text to image", "image to text"), ("ITC", "ITM re-ranked")
MOST, SIDE = 256, 48  # pairs, and pixels of a thumbnail's side


class RetrievalExplorer(LivePage):
    """Ranked answers with the true ones marked, before and after ITM re-ranking, and a map to brush.

    RetrievalExplorer.of(model, config, tokenizer)    # also answers a user's sentence or picture
    RetrievalExplorer(pairs)    # a RetrievalSet of user data
    RetrievalExplorer(large, rerank)    # rerank(direction, query, candidates (k,)) -> scores (k,), asked when needed
    RetrievalExplorer(pairs, score=query_scorer(...))    # score(sentence or picture, direction) -> OwnScores
    """

    direction = Option(DIRECTIONS, DIRECTIONS[0])
    query = Place(0, of=lambda view: len(view._pairs.texts))  # which sentence, or picture
    own = Flag(False)  # the query is the user's: `typed`, or the last picture passed to `ask_with`
    typed = Text()  # the user's sentence
    order = Option(ORDERS, ORDERS[1])
    apart = Flag(False)  # the map: each modality's own mean taken off, not that of both
    selected = Selected(of=lambda view: len(view._pairs.texts), kinds=("pictures", "sentences"))  # brushed on the map
    newest = told(traitlets.Dict())  # what `rerank` returned last, and for how many queries; a page keeps the others
    own_scores = told(traitlets.Dict())  # by direction, what `score` returned for the user's query

    def __init__(self, pairs: RetrievalSet, rerank: Rerank | None = None, score: Score | None = None, **traits: Any):
        """ConfigError for more than 256 pairs, and for invalid texts, pictures and numbers."""
        n = len(pairs.texts)
        if n > MOST:
            raise ConfigError(f"pairs: {n} pairs are too many for this view: at most {MOST}")
        for i, text in enumerate(pairs.texts):
            require(isinstance(text, str), f"pairs.texts[{i}]", text, "of type str")
        self._pairs, self._rerank, self._score = checked(pairs), rerank, score
        pairs, self._rows, self._asked = self._pairs, {}, {}
        self._own_picture: np.ndarray | None = None  # (SIDE, SIDE, 3)
        self._own: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}  # by direction
        planes = {"together": pairs.plane(), "apart": pairs.plane(apart=True)}
        payload = {
            "texts": list(pairs.texts), "side": SIDE, "sprite": _sprite(pairs.images), "k": pairs.reranked,
            "itc": _floats(pairs.similarity), "truth": np.asarray(pairs.truth, np.uint8).tobytes(),
            "itm": None if pairs.odds is None or rerank else _floats(pairs.odds), "asks": rerank is not None,
            "scores": score is not None, "asked": self._asked,  # which grows, so that a page that begins has all
            "planes": {name: {"places": _floats(places), "shares": finite(shares).tolist()}
                       for name, (places, shares) in planes.items()}}  # fmt: skip
        empty = "" if n else "No pairs: xfm.tasks.retrieval_set.retrieval_set(model, config, tokenizer) makes a set."
        nothing = {"pictures": [], "sentences": []}
        super().__init__(payload, empty, **{"selected": nothing, "credit": pairs.credit} | traits)
        self.observe(self._ask, ["direction", "query"])
        self.observe(self._ask_typed, "typed")
        self._ask()
        if self.typed:
            self._ask_typed()

    @classmethod
    def of(
        cls,
        model: XFM,
        config: RunConfig,
        tokenizer: Tokenizer,
        pairs: RetrievalSet | None = None,
        data: Dataset | None = None,
        **traits: Any,
    ) -> RetrievalExplorer:
        """Explorer of a set (by default the first 64 distinct test pairs) whose model answers a user's queries; `data`:
        the model's training data, by which words of a query that training lacked are marked."""
        from xfm.explain import seen_words
        from xfm.tasks.retrieval_set import query_scorer, retrieval_set

        pairs = retrieval_set(model, config, tokenizer) if pairs is None else pairs
        view = cls(pairs, score=query_scorer(model, config, tokenizer, pairs), **traits)
        view._model = model, tokenizer, config.data.caption_tokens
        view._seen = None if data is None else seen_words(data)
        if view.typed:  # and was answered before it was known what speaks against its words
            view.tell(own_scores=view._told_scores())
        return view

    _seen: SeenWords | None = None
    _WITHOUT_MODEL = "only what RetrievalExplorer.of(model, config, tokenizer) makes knows its model"

    def _given(self) -> dict[str, Any]:
        model, _, longest = cast(tuple, self._model)
        side = model.config.vision.image_size
        seen = b"".join(prepare(image, side).tobytes() for image in self._pairs.images)
        pictures = None if seen == cast(dict[str, Any], self.payload)["sprite"] else seen
        seen = self._seen and {"words": sorted(self._seen.words), "held_out": list(self._seen.held_out)}
        return {"longest": longest, "pictures": pictures, "seen": seen}

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        return {"whole": lambda _: self.send_state("payload"), "picture": self._hear_picture}

    def _ask(self, _: Any = None) -> None:
        name, pairs = f"{self.direction} {self.query}", self._pairs
        if self._rerank is None or not len(pairs.texts) or name in self._rows:
            return
        with self.reporting():
            first = pairs.ranking(self.direction, self.query)[: pairs.reranked]
            scores = numbers(self._rerank(self.direction, self.query, first), "rerank(...)", first.shape)
            row = np.full(len(pairs.texts), np.nan, np.float32)
            row[first] = scores
            self._rows[name], self._asked[name] = row, row.tobytes()
            self.tell(newest={"query": name, "row": self._asked[name], "count": len(self._asked)})

    # ---- the user's queries

    def ask_with(self, picture: ImageLike) -> None:
        """Queries with any image that `xfm.base.images.prepare` accepts. ConfigError for anything else."""
        whole = decode(picture, "picture")
        self._own_picture = np.array(ImageOps.fit(whole, (SIDE, SIDE), Image.Resampling.BICUBIC))
        self._answer(whole, DIRECTIONS[1])
        with self.hold_trait_notifications():
            self.direction, self.own = DIRECTIONS[1], True

    def _hear_picture(self, sent: str) -> None:
        with self.reporting():
            self.ask_with(decoded_picture(sent))

    def _ask_typed(self, _: Any = None) -> None:
        with self.reporting():
            self._answer(self.typed if self.typed.strip() else None, DIRECTIONS[0])

    def _answer(self, query: Any, direction: str) -> None:
        """What was found for the query before is gone, also where this one is none, or fails."""
        self._own.pop(direction, None)
        try:
            if query is not None:
                self._own[direction] = self._found(query, direction)
        finally:
            self.tell(own_scores=self._told_scores())

    def _found(self, query: Any, direction: str) -> tuple[np.ndarray, np.ndarray | None]:
        """(N,) the scores by ITC, and by ITM where there is one."""
        if self._score is None:
            raise ConfigError("No `score` was given: only the set's own queries are answered.")
        n = len(self._pairs.texts)
        itc, itm = self._score(query, direction)
        return numbers(itc, "score(...).itc", (n,)), None if itm is None else numbers(itm, "score(...).itm", (n,))

    def _told_scores(self) -> dict[str, Any]:
        picture = None if self._own_picture is None else self._own_picture.tobytes()
        of = {DIRECTIONS[0]: self._told_words, DIRECTIONS[1]: lambda: {"picture": picture}}
        return {
            direction: {"itc": _floats(itc), "itm": None if itm is None else _floats(itm)} | of[direction]()
            for direction, (itc, itm) in self._own.items()
        }

    def _told_words(self) -> dict[str, Any]:
        """The sentence, and what of it the model may not know, as `explain.box_predictor` says it of a phrase."""
        if self._model is None:
            return {"text": self.typed}
        from xfm.explain.token_axes import token_axis

        _, tokenizer, longest = self._model
        axis = token_axis(tokenizer, self.typed, tokenizer.encode(self.typed, longest))
        owned = [*zip(axis.owner, axis.pieces, strict=True)]
        pieces = [(word, [piece for owner, piece in owned if owner == i]) for i, word in enumerate(axis.words)]
        split = [(word, own) for word, own in pieces if len(own) > 1]
        return {"text": self.typed, "split": split, "never_seen": self._seen and self._seen.never(self.typed)}

    @property
    def _is_own(self) -> bool:
        return self.own and self.direction in self._own

    def _drawn(self) -> RetrievalSet:
        """The set with the user's query in place of its own; the query's true answers and its place on the map are
        unknown."""
        if not self._is_own:
            return self._pairs
        pairs, query, text = self._pairs, self.query, self.direction == DIRECTIONS[0]
        row = np.s_[:, query] if text else np.s_[query]
        similarity, truth = pairs.similarity.copy(), pairs.truth.copy()
        similarity[row], truth[row] = self._own[self.direction][0], False
        if text:
            features = pairs.text_features.astype(float)
            features[query] = np.nan
            texts = (*pairs.texts[:query], self.typed, *pairs.texts[query + 1 :])
            return replace(pairs, similarity=similarity, truth=truth, texts=texts, text_features=features)
        images, features = _square(pairs.images), pairs.image_features.astype(float)
        features[query], images[query] = np.nan, self._own_picture
        return replace(pairs, similarity=similarity, truth=truth, images=images, image_features=features)

    def itm(self) -> np.ndarray | None:
        """(N,) ITM's scores of the current query's candidates, NaN where there is none; None: no ITM."""
        if self._is_own:
            return self._own[self.direction][1]
        if self._rerank is not None:
            return self._rows.get(f"{self.direction} {self.query}")
        odds = self._pairs.odds
        return None if odds is None else self._pairs.row(odds, self.direction, self.query)

    def data(self) -> pd.DataFrame:
        """Table of the current query's candidates, in the current order."""
        import pandas as pd

        pairs, kind = self._drawn(), "pictures" if self.direction == DIRECTIONS[0] else "sentences"
        columns = ["rank", "candidate", "sentence", "ITC", "ITM", "true", "rank by ITC", "selected"]
        if not len(pairs.texts):
            return pd.DataFrame(columns=columns)
        query, itm = (self.direction, self.query), self.itm()
        by_itc, order = pairs.ranking(*query), pairs.ranking(*query, itm if self.order == ORDERS[1] else None)
        return pd.DataFrame(
            {
                "rank": np.arange(1, len(order) + 1),
                "candidate": order,
                "sentence": encodable([self._pairs.texts[i] for i in order]),  # a user's query is not among them
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
        options = {"selected": chosen, "apart": self.apart, "credit": self.credit, "own": self._is_own}
        return figures.plot_retrieval(self._drawn(), self.direction, self.query, itm, **options)


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
    return np.ascontiguousarray(_square(images)).tobytes()


def _square(images: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) uint8 -> (N, SIDE, SIDE, 3), a copy"""
    if images.shape[1:3] == (SIDE, SIDE) or not len(images):
        return images.copy()
    return np.stack([np.array(Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BOX)) for one in images])


def _floats(values: np.ndarray) -> bytes:
    return np.asarray(values, np.float32).tobytes()
