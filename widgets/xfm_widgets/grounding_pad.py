"""Grounding by phrase: the predicted box against the true one, and the cross-attention behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import traitlets

from xfm.base.fields import require
from xfm.base.images import ImageLike, pixels, prepare
from xfm.base.strings import shown
from xfm.config import ConfigError
from xfm.plots import Figure
from xfm.plots.arrays import finite, numbers
from xfm.plots.palette import STRONGEST

from . import figures
from .choices import Flag, Place, Share, Text, Texts, told
from .live_page import LivePage
from .uploaded_picture import decoded_picture
from .view import encodable

if TYPE_CHECKING:
    import pandas as pd

    from xfm.data import Dataset
    from xfm.data.source import Example
    from xfm.data.tokenizer import Tokenizer
    from xfm.explain.vocabulary import SeenWords
    from xfm.model import XFM

    Ground = Callable[[str], Mapping[str, Any]]
    Given = tuple[ImageLike, Mapping[str, Sequence[float]], Ground]
    Asker = Callable[[ImageLike], tuple[np.ndarray, Ground]]

__all__ = ["GroundingPad"]

SIDES = ("x", "y", "width", "height")
FAR = 1_000_000  # pixels: no picture is as wide
MEAN = "mean"  # over layers, or over heads
SAME = 0.5  # IoU of a candidate that is the predicted box itself, from which on it is not drawn


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, its phrases with their true boxes, who answers, and what was answered so far."""

    image: np.ndarray  # (H, W, 3) uint8
    true: dict[str, list[float]]
    ground: Ground
    answers: dict[str, tuple[list[float] | None, float | None, np.ndarray | None]] = field(default_factory=dict)
    found: dict[str, dict[str, Any]] = field(default_factory=dict)  # phrase -> what `ground` gave, as the page draws it

    @property
    def phrases(self) -> list[str]:
        return list(dict.fromkeys([*self.true, *self.found]))

    def drawn(self) -> dict[str, Any]:
        height, width, _ = self.image.shape
        return {"image": self.image.tobytes(), "height": height, "width": width, "boxes": self.true,
                "found": self.found}  # fmt: skip


class GroundingPad(LivePage):
    """Grounding of typed or picked phrases in a picture, with evidence on how far to trust each box.

    GroundingPad.of(model, tokenizer, scenes, data)    # a scene or several, to leaf through
    GroundingPad(drawn, boxes, box_predictor(model, tokenizer, drawn))  # or prepare(picture, side)

    `ground(phrase)` returns {"box": x, y, width, height in pixels} and, where there is one, "attention": (patches,),
    (layers, heads, patches) or (layers, heads, pieces, patches), with "pieces" naming the word pieces; 1 + patches
    where the first image token stands for the picture. What else it may give, "presence", "candidates", "split" and
    "never_seen", `explain.box_predictor` says. The known phrases are predicted at once, so that they work in a file
    too; others need Python.
    """

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
        """Any image (see `images.prepare`), and the phrases with their true boxes: x, y, width, height in pixels;
        `further`: more such pictures; `asker(image)`: a picture of the reader's own as it is seen, and its `ground`.
        ConfigError for what is no image, no text or no box."""
        self._asker = asker
        self._pictures = [_picture(*given) for given in ((image, boxes, ground), *further)]
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
        """Scenes, or examples of user data, with their phrases and credit; of a phrase with several boxes that one is
        true which the prediction overlaps most. `data`: what the model was trained on, so that a phrase's words that
        were never seen are named. ConfigError for no scene."""
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
            return drawn, {phrase: _nearest(boxes, ground, phrase) for phrase, boxes in named.items()}, ground

        first, *further = map(given, scenes)
        credit = "; ".join(dict.fromkeys(s.credit for s in scenes if s.credit))
        view = cls(*first, further, asker, **{"credit": credit} | traits)
        view._model = model, tokenizer, seen
        return view

    @property
    def found(self) -> dict[str, dict[str, Any]]:
        """Phrase -> result of `ground`, for the picture on display."""
        return self._picture.found

    @property
    def _picture(self) -> Picture:
        return self._pictures[self.scene]

    _WITHOUT_MODEL = "only what GroundingPad.of(model, tokenizer, scenes) makes knows its model"

    def _given(self) -> dict[str, Any] | None:
        seen: SeenWords | None = cast(tuple, self._model)[2]
        return seen and {"words": sorted(seen.words), "held_out": list(seen.held_out)}

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        return {"whole": lambda _: self.send_state("payload"), "picture": self._hear_picture}

    def add(self, picture: ImageLike) -> None:
        """Appends any image that `images.prepare` accepts, and shows it. ConfigError for anything else, and for a
        view without an `asker`."""
        if self._asker is None:
            raise ConfigError("no `asker` was given: only the view's own pictures are answered for")
        drawn, ground = self._asker(picture)
        self._pictures.append(_picture(drawn, {}, ground))
        cast(dict[str, Any], self.payload)["pictures"].append(self._pictures[-1].drawn())
        self.send_state("payload")
        self.scene = len(self._pictures) - 1

    def _hear_picture(self, sent: str) -> None:
        with self.reporting():
            self.add(decoded_picture(sent))

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
                answer = picture.ground(phrase)
                box = _finite_box(answer["box"], "box")
                attention = _four(answer.get("attention"))
                iou = _overlap(box, picture.true.get(phrase))
                pieces = [str(p) for p in answer.get("pieces", [])] if attention is not None else []
                if attention is not None and len(pieces) not in (0, attention.shape[2]):
                    raise ConfigError(f"pieces: {len(pieces)}, must be {attention.shape[2]}, as the attention has")
                doubts = _doubts(answer)
                picture.answers[phrase] = (box, iou, attention)
                picture.found[phrase] = {"box": box, "iou": iou, "pieces": pieces} | doubts | _drawn(attention)
                count = len(picture.found)
                self.tell(newest={"scene": place, "phrase": phrase, "answer": picture.found[phrase], "count": count})

    def attention(self) -> np.ndarray | None:
        """(rows, columns) what is shown: a patch's share of the attention of `token`, in `layer` and `head` or their
        mean. None where there is none."""
        attention = self._picture.answers.get(self.phrase, (None,) * 3)[2]
        if attention is None:
            return None
        layers, heads, pieces, n = attention.shape
        rows = attention[:, :, min(max(self.token, 0), pieces - 1)]
        rows = rows.mean(0, keepdims=True) if self.layer < 0 else rows[[min(self.layer, layers - 1)]]
        rows = rows.mean(1) if self.head < 0 else rows[:, min(self.head, heads - 1)]
        side = _grid(n)
        return rows[0, n - side**2 :].reshape(side, side)

    def data(self) -> pd.DataFrame:
        """The phrases of the picture so far, with boxes in pixels; what is not known is NaN."""
        import pandas as pd

        rows, picture = [], self._picture
        for phrase in picture.phrases:
            if phrase in self.removed:
                continue
            true, (predicted, iou, _) = picture.true.get(phrase), picture.answers.get(phrase, (None,) * 3)
            nothing, presence = [math.nan] * 4, picture.found.get(phrase, {}).get("presence")
            rest = (math.nan if number is None else number for number in (iou, presence))
            rows.append([phrase, *(true or nothing), *(predicted or nothing), *rest])
        columns = ["phrase", *(f"true {s}" for s in SIDES), *(f"predicted {s}" for s in SIDES), "IoU", "presence"]
        return pd.DataFrame(encodable(rows), columns=columns)

    def figure(self) -> Figure:
        predicted, iou, _ = self._picture.answers.get(self.phrase, (None,) * 3)
        true, attention, found = self._picture.true.get(self.phrase), self.attention(), self.found.get(self.phrase, {})
        verdict = "no true box is known" if true is None else "no answer" if iou is None else f"IoU {iou:.2f}"
        if found.get("presence") is not None:
            verdict += f", presence {100 * found['presence']:.0f} %"
        pieces = found.get("pieces", [])
        of = f" of {pieces[min(max(self.token, 0), len(pieces) - 1)]!r}" if pieces else ""
        whole = self._picture.answers.get(self.phrase, (None,) * 3)[2]
        sizes = (1, 1) if whole is None else whole.shape[:2]
        layer, head = (MEAN if i < 0 else min(i, n - 1) for i, n in zip((self.layer, self.head), sizes, strict=True))
        label = f"cross-attention{of}, layer {layer}, head {head}"
        title = f"“{self.phrase}”: {verdict}"
        image, others = self._picture.image, _elsewhere(found, predicted) if self.candidates else ()
        return figures.grounding(image, title, predicted, true, attention, label, self.credit, others)


def _elsewhere(found: Mapping[str, Any], predicted: list[float] | None) -> list[tuple[list[float], float]]:
    """The candidates, with their shares, that are another place than the predicted box."""
    boxes = [(c["box"], c["share"] or 0.0) for c in found.get("candidates", ()) if c["box"]]
    return [(box, share) for box, share in boxes if (_overlap(box, predicted) or 0) < SAME]


def _picture(image: ImageLike, boxes: Mapping[str, Sequence[float]], ground: Ground) -> Picture:
    """ConfigError for what is no image, no text or no box."""
    drawn = pixels(image)
    for phrase in boxes:
        require(isinstance(phrase, str), "boxes", phrase, "boxes by phrase, of type str")
    return Picture(drawn, {phrase: _box_of(box, f"boxes[{shown(phrase)}]") for phrase, box in boxes.items()}, ground)


def _nearest(boxes: list[Any], ground: Ground, phrase: str) -> Sequence[float]:
    """Of the boxes that a phrase names the one that its prediction overlaps most: of several dogs any may be meant."""
    if len(boxes) > 1:
        with suppress(ConfigError):  # which the view says when it asks
            predicted = ground(phrase)["box"]
            return max(boxes, key=lambda box: _overlap(box, predicted) or 0)
    return boxes[0]


def _doubts(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What `ground` said beside the box. ConfigError for what is none."""
    candidates = [
        {
            "box": _finite_box(one["box"], f"candidates[{i}].box"),
            "share": _share(one["share"], f"candidates[{i}].share"),
            "presence": _share(one.get("presence"), f"candidates[{i}].presence"),
        }
        for i, one in enumerate(answer.get("candidates") or ())
    ]
    split = [(str(word), [str(piece) for piece in pieces]) for word, pieces in answer.get("split") or ()]
    never = answer.get("never_seen")
    seen = None if never is None else [str(word) for word in never]
    return {"presence": _share(answer.get("presence"), "presence"), "candidates": candidates, "split": split,
            "never_seen": seen}  # fmt: skip


def _share(value: Any, name: str) -> float | None:
    """A probability or a share; None where it is not given, or not finite."""
    if value is None:
        return None
    number = float(numbers([value], name, (1,))[0])
    require(not math.isfinite(number) or 0 <= number <= 1, name, number, "in [0, 1]")
    return number if math.isfinite(number) else None


def _finite_box(box: Any, name: str) -> list[float] | None:
    """None where it is not finite."""
    values = numbers(box, name, (4,))
    return _box_of(values, name) if np.isfinite(values).all() else None


def _box_of(box: Sequence[float] | np.ndarray, name: str) -> list[float]:
    values = numbers(box, name, (4,))
    require(bool((np.abs(values) < FAR).all()), name, values.tolist(), f"x, y, width, height in pixels, below {FAR:,}")
    return values.tolist()


def _overlap(a: Sequence[float] | None, b: Sequence[float] | None) -> float | None:
    """IoU of two boxes; None where one is missing."""
    if a is None or b is None:
        return None
    w, h = (max(0.0, min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    union = a[2] * a[3] + b[2] * b[3] - w * h
    return w * h / union if union > 0 else 0.0


def _four(attention: Any) -> np.ndarray | None:
    """(layers, heads, pieces, image tokens) float32, of what `ground` gave."""
    if attention is None:
        return None
    values = numbers(attention, "attention").astype(np.float32)
    if values.ndim not in (1, 3, 4) or not values.size or _grid(values.shape[-1]) == 0:
        allowed = "(patches,), (layers, heads, patches) or (layers, heads, pieces, patches) of a square grid"
        raise ConfigError(f"attention.shape = {values.shape}: must be {allowed}")
    return values.reshape({1: (1, 1, 1, -1), 3: (*values.shape[:2], 1, -1), 4: values.shape}[values.ndim])


def _grid(tokens: int) -> int:
    """Patches a side, of so many patches or of one token more; 0 where they make no square."""
    return next((math.isqrt(n) for n in (tokens, tokens - 1) if n > 0 and math.isqrt(n) ** 2 == n), 0)


def _drawn(attention: np.ndarray | None) -> dict[str, Any]:
    """A byte a weight, a row's largest as 255, and the rows' largest; NaN as 0."""
    if attention is None:
        return {"shape": []}
    values = finite(attention).clip(0)
    most = values.max(-1, keepdims=True)
    small = np.round(values / np.maximum(most, 1e-12) * 255).astype(np.uint8)
    shape = [*attention.shape[:3], attention.shape[3], _grid(attention.shape[3])]
    return {"shape": shape, "weights": small.tobytes(), "most": most.astype(np.float32).tobytes()}
