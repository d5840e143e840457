"""Retrieval among a few pairs: a sentence against pictures, a picture against sentences, and a map of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import traitlets
from PIL import Image, ImageOps

from xfm.base.images import ImageLike, decode, prepare
from xfm.config import ConfigError
from xfm.data.world.crisp import crisp
from xfm.plots import Figure
from xfm.plots.arrays import finite
from xfm.plots.style import message_figure

from . import figures
from .choices import Flag, Option, Place, Places, Text, told
from .json_values import float_bytes, table
from .live_page import LivePage, seen_payload
from .shown_pairs import LARGE, PAIRS, SIDE, checked_pairs, split_words, square_pictures, with_query

if TYPE_CHECKING:
    import pandas as pd

    from xfm.config import RunConfig
    from xfm.data import Dataset
    from xfm.data.tokenizer import Tokenizer
    from xfm.explain.box_prediction import SeenWords
    from xfm.model import XFM
    from xfm.tasks.retrieval_set import OwnScores, RetrievalSet

    Score = Callable[[Any, str], OwnScores]

DIRECTIONS, ORDERS = ("text to image", "image to text"), ("ITC", "ITM re-ranked")


class RetrievalExplorer(LivePage):
    """Ranked answers with the true ones marked, before and after ITM re-ranking, and a map to brush.

    RetrievalExplorer.of(model, config, tokenizer)    # and the user's queries: a sentence, a picture
    RetrievalExplorer(pairs)    # a RetrievalSet of the user's arrays
    """

    _heads = ("itc", "itm")
    direction = Option(DIRECTIONS, DIRECTIONS[0])
    query = Place(0, of=lambda view: len(view._pairs.texts))  # which sentence, or picture
    own = Flag(False)  # the query is the user's: `typed`, or the picture that `ask_with` was given last
    typed = Text()  # a sentence of the user's
    order = Option(ORDERS, ORDERS[1])
    apart = Flag(False)  # the map: each modality's own mean taken off, not that of both
    selected = Places(of=lambda view: 2 * len(view._pairs.texts))  # on the map: pictures from 0, sentences from N
    own_scores = told(traitlets.Dict())  # by direction, what `score` returned for the user's query

    def __init__(self, pairs: RetrievalSet, score: Score | None = None, **traits: Any):
        """Shows a retrieval set of at most 256 pairs.

        Args:
            score: (query, direction) -> `OwnScores` of the user's own query.

        Raises:
            ConfigError: for more pairs, and for what are no texts, pictures or numbers.
        """
        self._pairs, self._score = checked_pairs(pairs), score
        pairs, sprite = self._pairs, square_pictures(pairs.images)
        self._own_picture: np.ndarray | None = None  # (SIDE, SIDE, 3)
        self._own: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}  # by direction
        planes = {"together": pairs.plane(), "apart": pairs.plane(apart=True)}
        payload = {
            "texts": list(pairs.texts), "side": SIDE, "sprite": sprite.tobytes(), "k": pairs.reranked,
            "crisp": [crisp(image, LARGE) for image in np.asarray(pairs.images)],
            "itc": float_bytes(pairs.similarity), "truth": np.asarray(pairs.truth, np.uint8).tobytes(),
            "scores": score is not None, "itm": None if pairs.odds is None else float_bytes(pairs.odds),
            "planes": {name: {"places": float_bytes(places), "shares": finite(shares).tolist()}
                       for name, (places, shares) in planes.items()}}  # fmt: skip
        no_pairs = "No pairs: xfm.tasks.retrieval_set.retrieval_set(model, config, tokenizer) makes a set."
        super().__init__(payload, "" if pairs.texts else no_pairs, **{"credit": pairs.credit} | traits)
        self.observe(self._ask_typed, "typed")
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
        """Shows a set, by default the first 24 distinct test pairs, with the model to answer the user's queries.

        Args:
            data: training data of the model, to name words of a query that it never saw.
        """
        from xfm.explain import seen_words
        from xfm.tasks.retrieval_set import query_scorer, retrieval_set

        pairs = retrieval_set(model, config, tokenizer, PAIRS) if pairs is None else pairs
        view = cls(pairs, score=query_scorer(model, config, tokenizer, pairs), **traits)
        view._model = model, tokenizer, config.data.caption_tokens
        view._seen = None if data is None else seen_words(data)
        if view.typed:  # and was answered before it was known what speaks against its words
            view.tell(own_scores=view._told_scores())
        return view

    _seen: SeenWords | None = None

    def _given(self) -> dict[str, Any]:
        model, _, longest = cast(tuple, self._model)
        side = model.config.vision.image_size
        seen = b"".join(prepare(image, side).tobytes() for image in self._pairs.images)
        pictures = None if seen == self.drawn["sprite"] else seen
        return {"longest": longest, "pictures": pictures, "seen": seen_payload(self._seen)}

    # ---- the user's queries

    def show(self, picture: ImageLike) -> None:
        """Asks with any image (see `xfm.base.images.prepare`). ConfigError for what is none."""
        whole = decode(picture, "picture")
        self._own_picture = np.array(ImageOps.fit(whole, (SIDE, SIDE), Image.Resampling.BICUBIC))
        self._answer(whole, DIRECTIONS[1])
        with self.hold_trait_notifications():
            self.direction, self.own = DIRECTIONS[1], True

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
            raise ConfigError("Only the set's own queries are answered: RetrievalExplorer.of(...) has a model.")
        return self._score(query, direction)

    def _told_scores(self) -> dict[str, Any]:
        picture = None if self._own_picture is None else self._own_picture.tobytes()
        of = {DIRECTIONS[0]: self._told_words, DIRECTIONS[1]: lambda: {"picture": picture}}
        return {
            direction: {"itc": float_bytes(itc), "itm": None if itm is None else float_bytes(itm)} | of[direction]()
            for direction, (itc, itm) in self._own.items()
        }

    def _told_words(self) -> dict[str, Any]:
        """The sentence, and what of it the model may not know, as `explain.box_predictor` says it of a phrase."""
        if self._model is None:
            return {"text": self.typed}
        _, tokenizer, longest = self._model
        split = split_words(tokenizer, self.typed, longest)
        return {"text": self.typed, "split": split, "never_seen": self._seen and self._seen.never(self.typed)}

    @property
    def _is_own(self) -> bool:
        return self.own and self.direction in self._own

    def _with_own(self) -> RetrievalSet:
        """The set, the user's query in the place of the set's."""
        if not self._is_own:
            return self._pairs
        content = self.typed if self.direction == DIRECTIONS[0] else self._own_picture
        return with_query(self._pairs, self.query, self._own[self.direction][0], content)

    def itm(self) -> np.ndarray | None:
        """(N,) ITM's scores of the current query's candidates, NaN where there is none; None: no ITM."""
        if self._is_own:
            return self._own[self.direction][1]
        odds = self._pairs.odds
        return None if odds is None else self._pairs.row(odds, self.direction, self.query)

    def data(self) -> pd.DataFrame:
        """The candidates of the current query in the current order."""
        pairs, first = self._with_own(), 0 if self.direction == DIRECTIONS[0] else len(self._pairs.texts)
        columns = ["rank", "candidate", "sentence", "ITC", "ITM", "true", "rank by ITC", "selected"]
        if not len(pairs.texts):
            return table([], columns)
        query, itm = (self.direction, self.query), self.itm()
        by_itc, order = pairs.ranking(*query), pairs.ranking(*query, itm if self.order == ORDERS[1] else None)
        rows = zip(
            range(1, len(order) + 1),
            order.tolist(),
            [self._pairs.texts[i] for i in order],  # the user's query is none of them
            pairs.row(pairs.similarity, *query)[order],
            [np.nan] * len(order) if itm is None else itm[order],
            pairs.row(pairs.truth, *query)[order],
            by_itc.argsort()[order] + 1,
            np.isin(first + order, self.selected),
            strict=True,
        )
        return table(rows, columns)

    def figure(self) -> Figure:
        if not self._pairs.texts:
            return message_figure(str(self.message))
        itm = self.itm() if self.order == ORDERS[1] else None
        options = {"selected": self.selected, "apart": self.apart, "credit": self.credit}
        return figures.plot_retrieval(self._with_own(), self.direction, self.query, itm, **options)
