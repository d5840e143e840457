"""Grounding by phrase: the predicted box against the true one, and the cross-attention behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import traitlets

from xfm.base.fields import require
from xfm.base.images import ImageLike, prepare
from xfm.config import ConfigError
from xfm.plots import Figure
from xfm.plots.palette import STRONGEST

from . import figures
from .choices import Flag, Place, Share, Text, Texts, told
from .grounded_pictures import Ground, Picture, elsewhere, grid_of, nearest_box, picture_of, read_answer, unlike
from .json_values import table
from .live_page import LivePage, seen_payload

if TYPE_CHECKING:
    import pandas as pd

    from xfm.data import Dataset
    from xfm.data.source import Example
    from xfm.data.tokenizer import Tokenizer
    from xfm.model import XFM

    Given = tuple[ImageLike, Mapping[str, Sequence[float]], Ground]
    Asker = Callable[[ImageLike], tuple[np.ndarray, Ground]]

SIDES = ("x", "y", "width", "height")
MEAN = "mean"  # over layers, or over heads


class GroundingPad(LivePage):
    """Grounding of typed or picked phrases in a picture, with evidence on how far to trust each box.

    GroundingPad.of(model, tokenizer, scenes, data)    # a scene or several, to leaf through

    The known phrases are predicted at once, so that they work in a file too; others need Python.
    """

    _heads = ("itm", "bbp")
    scene = Place(0, of=lambda view: len(view._pictures))  # which of the pictures
    phrase = Text()
    typed = Texts()  # phrases of the reader's own that are listed with every picture
    removed = Texts()  # phrases that are listed no more
    candidates = Flag(True)  # they are drawn
    opacity = Share(STRONGEST)  # of the patch with the most attention; the others' less, by their weight
    layer = Place(-1)  # -1: the mean over all
    head = Place(-1)
    token = Place(0)  # the word piece whose attention is shown; 0 is <s>, which the box is of
    patch = Place(-1)  # the patch that is pointed at; -1: none
    newest = told(traitlets.Dict())  # the last finding, and how many its picture has; a page keeps the others

    def __init__(
        self,
        image: ImageLike,
        boxes: Mapping[str, Sequence[float]],
        ground: Ground,
        further: Sequence[Given] = (),
        asker: Asker | None = None,
        **traits: Any,
    ):
        """Shows the boxes that a model predicts for phrases of a picture.

        Args:
            image: any image that `xfm.base.images.prepare` accepts.
            boxes: true boxes by phrase: x, y, width, height in pixels.
            ground: phrase -> answer, as `explain.box_predictor` makes it.
            further: more pictures with their boxes and `ground`.
            asker: a picture of the reader's own -> the picture as it is seen, and its `ground`.

        Raises:
            ConfigError: for what is no image, no text or no box.
        """
        self._asker = asker
        self._pictures = [picture_of(*given) for given in ((image, boxes, ground), *further)]
        for place, picture in enumerate(self._pictures):
            for phrase in picture.true:
                if not self.message:
                    self._ask(place, phrase)
        # `found` grows within the payload, so that a page or a file that begins has all, and nothing is sent for it
        first = self._pictures[traits["scene"] if traits.get("scene") in range(len(self._pictures)) else 0]
        payload = {"pictures": [p.drawn() for p in self._pictures], "takes": asker is not None}
        super().__init__(payload, **{"phrase": next(iter(first.true), "")} | traits)
        self.observe(lambda _: self._ask(self.scene, self.phrase), "phrase")
        self.observe(self._leaf, "scene")
        if not self.message:
            self._ask(self.scene, self.phrase)

    @classmethod
    def of(
        cls,
        model: XFM,
        tokenizer: Tokenizer,
        scenes: Example | Sequence[Example],
        data: Dataset | None = None,
        **traits: Any,
    ) -> GroundingPad:
        """Shows scenes, or examples of user data, with their phrases and credit.

        Args:
            scenes: of several boxes of a phrase the true one is that which the prediction overlaps most.
            data: training data of the model, to name words of a phrase that it never saw.

        Raises:
            ConfigError: for no scene.
        """
        from xfm import explain
        from xfm.explain.box_prediction import region_box

        scenes = list(scenes) if isinstance(scenes, Sequence) else [scenes]
        require(bool(scenes), "scenes", scenes, "one or more")
        seen = None if data is None else explain.seen_words(data)

        def asker(image: ImageLike) -> tuple[np.ndarray, Ground]:
            drawn = prepare(image, model.config.vision.image_size)
            return drawn, cache(explain.box_predictor(model, tokenizer, drawn, seen))

        def given(scene: Example) -> Given:
            drawn, ground = asker(scene.image)
            named: dict[str, list[Any]] = {}
            for region in scene.regions:
                named.setdefault(region.text, []).append(region_box(region, len(drawn)))
            return drawn, {phrase: nearest_box(boxes, ground, phrase) for phrase, boxes in named.items()}, ground

        first, *further = map(given, scenes)
        credit = "; ".join(dict.fromkeys(s.credit for s in scenes if s.credit))
        view = cls(*first, further, asker, **{"credit": credit} | traits)
        view._model = model, tokenizer, seen
        pairs = zip(view._pictures, scenes, strict=True)
        view._pictures = [replace(picture, unlike=unlike(scene, data)) for picture, scene in pairs]
        view.redraw(pictures=[picture.drawn() for picture in view._pictures])
        return view

    @property
    def found(self) -> dict[str, dict[str, Any]]:
        """Phrase -> result of `ground`, for the picture on display."""
        return self._picture.found

    @property
    def _picture(self) -> Picture:
        return self._pictures[self.scene]

    def _given(self) -> dict[str, list[str]] | None:
        return seen_payload(cast(tuple, self._model)[2])

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        return {**super().acts(), "whole": lambda _: self.send_state("payload")}

    def show(self, picture: ImageLike) -> None:
        """Turns to any image (see `images.prepare`), behind the others. ConfigError for what is none, and where nobody
        answers for it."""
        if self._asker is None:
            raise ConfigError("no `asker` was given: only the view's own pictures are answered for")
        drawn, ground = self._asker(picture)
        self._pictures.append(picture_of(drawn, {}, ground, picture))
        self.drawn["pictures"].append(self._pictures[-1].drawn())
        self.send_state("payload")
        self.scene = len(self._pictures) - 1

    def _leaf(self, _: Any) -> None:
        """Another picture has other phrases."""
        listed = [phrase for phrase in self._picture.phrases if phrase not in self.removed]
        if self.phrase in listed:
            self._ask(self.scene, self.phrase)
        else:
            self.phrase = next(iter(listed), "")

    def _ask(self, place: int, phrase: str) -> None:
        picture = self._pictures[place]
        with self.reporting():
            if phrase.strip() and phrase not in picture.found:
                answer, attention = read_answer(picture.ground(phrase), picture.true.get(phrase))
                picture.found[phrase], picture.attention[phrase] = answer, attention
                self.tell(newest={"scene": place, "phrase": phrase, "answer": answer, "count": len(picture.found)})

    def attention(self) -> np.ndarray | None:
        """(rows, columns) what is shown: a patch's share of the attention of `token`, in `layer` and `head` or their
        mean. None where there is none."""
        attention = self._picture.attention.get(self.phrase)
        if attention is None:
            return None
        layers, heads, pieces, n = attention.shape
        rows = attention[:, :, min(max(self.token, 0), pieces - 1)]
        rows = rows.mean(0, keepdims=True) if self.layer < 0 else rows[[min(self.layer, layers - 1)]]
        rows = rows.mean(1) if self.head < 0 else rows[:, min(self.head, heads - 1)]
        side = grid_of(n)
        return rows[0, n - side**2 :].reshape(side, side)

    def data(self) -> pd.DataFrame:
        """The phrases of the picture so far, with boxes in pixels; what is not known is NaN."""
        rows, picture, nothing = [], self._picture, [math.nan] * 4
        for phrase in picture.phrases:
            if phrase not in self.removed:
                found = picture.found.get(phrase, {})
                rest = (math.nan if x is None else x for x in (found.get("iou"), found.get("presence")))
                rows.append([phrase, *(picture.true.get(phrase) or nothing), *(found.get("box") or nothing), *rest])
        sides = [f"{which} {side}" for which in ("true", "predicted") for side in SIDES]
        return table(rows, ["phrase", *sides, "IoU", "presence"])

    def figure(self) -> Figure:
        found, true = self.found.get(self.phrase, {}), self._picture.true.get(self.phrase)
        iou = found.get("iou")
        verdict = "no true box is known" if true is None else "no answer" if iou is None else f"IoU {iou:.2f}"
        if found.get("presence") is not None:
            verdict += f", presence {100 * found['presence']:.0f} %"
        pieces = found.get("pieces", [])
        of = f" of {pieces[min(max(self.token, 0), len(pieces) - 1)]!r}" if pieces else ""
        sizes = (found.get("shape") or (1, 1))[:2]
        layer, head = (MEAN if i < 0 else min(i, n - 1) for i, n in zip((self.layer, self.head), sizes, strict=True))
        boxes = {name: box for name, box in (("true", true), ("predicted", found.get("box"))) if box is not None}
        label, title = f"cross-attention{of}, layer {layer}, head {head}", f"“{self.phrase}”: {verdict}"
        others, credit = elsewhere(found) if self.candidates else (), "" if self._picture.own else self.credit
        return figures.grounding(self._picture.image, title, boxes, self.attention(), label, others, credit)
