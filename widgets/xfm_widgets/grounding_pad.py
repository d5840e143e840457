"""Grounding by phrase: the predicted box against the true one, and the cross-attention behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from xfm.config import ConfigError
from xfm.config_utils import require
from xfm.images import ImageLike, pixels, prepare
from xfm.plots import Figure
from xfm.plots.arrays import finite, numbers
from xfm.text import shown

from . import esm, figures
from .base import ALIVE, View, decoded_json, encodable
from .choices import Place, Text, told
from .page_model import page_model

if TYPE_CHECKING:
    import pandas as pd

    from xfm.model import XFM

    Ground = Callable[[str], Mapping[str, Any]]

__all__ = ["GroundingPad"]

SIDES = ("x", "y", "width", "height")
FAR = 1_000_000  # pixels: no picture is as wide
SAME = "mean"  # over layers, or over heads


class GroundingPad(View):
    """A picture; type or pick a phrase, and see where it is found.

    GroundingPad(scene.image, phrase_boxes(scene), box_predictor(model, tokenizer, scene.image))

    `ground(phrase)` returns {"box": x, y, width, height in pixels} and, where there is one, "attention": (patches,),
    (layers, heads, patches) or (layers, heads, pieces, patches), with "pieces" naming the word pieces; 1 + patches
    where the first image token stands for the picture. The known phrases are predicted at once, so that they work
    in a file too; others need Python.
    """

    phrase = Text()
    layer = Place(-1)  # -1: the mean over all
    head = Place(-1)
    token = Place(0)  # the word piece whose attention is shown; 0 is <s>, which the box is of
    patch = Place(-1)  # the patch that is pointed at; -1: none
    newest = told(traitlets.Dict())  # the last finding: phrase, answer, and how many there are; a page keeps the others

    def __init__(self, image: ImageLike, boxes: Mapping[str, Sequence[float]], ground: Ground, **traits: Any):
        """Any image (see `xfm.images.prepare`), and the phrases with their true boxes: x, y, width, height in pixels.
        ConfigError for what is no image, no text or no box."""
        self._image, self._ground, self._answers = pixels(image), ground, {}
        for phrase in boxes:
            require(isinstance(phrase, str), "boxes", phrase, "boxes by phrase, of type str")
        self._true = {phrase: _box_of(box, f"boxes[{shown(phrase)}]") for phrase, box in boxes.items()}
        height, width, _ = self._image.shape
        payload = {"image": self._image.tobytes(), "height": height, "width": width, "boxes": self._true}
        self.found: dict[str, dict[str, Any]] = {}  # phrase -> what `ground` returned, as the page draws it
        for phrase in self._true:
            if not self.message:
                self._ask(phrase)
        # `found` grows within the payload, so that a page or a file that begins has all, and nothing is sent for it
        super().__init__(payload | {"found": self.found}, **{"phrase": next(iter(self._true), "")} | traits)
        self.observe(lambda _: self._ask(self.phrase), "phrase")
        if not self.message:
            self._ask(self.phrase)

    @classmethod
    def of(
        cls, model: XFM, tokenizer: Any, image: ImageLike, boxes: Mapping[str, Sequence[float]], **traits: Any
    ) -> GroundingPad:
        """Any image (see `xfm.images.prepare`), and phrases with their true boxes in pixels of the prepared image.
        ConfigError as `GroundingPad`."""
        from xfm import explain

        prepared = prepare(image, model.config.vision.image_size)
        view = cls(prepared, boxes, explain.box_predictor(model, tokenizer, prepared), **traits)
        view._model = model, tokenizer
        return view

    _WITHOUT_MODEL = "only what GroundingPad.of(model, tokenizer, image, boxes) makes knows its model"
    _model: tuple[XFM, Any] | None = None

    def _kernel(self) -> str:
        if self._model is None:
            return ""
        return f"{esm.export(ALIVE, 'groundingPad')}({decoded_json(page_model(*self._model))})"

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        return {"whole": lambda _: self.send_state("payload")}

    def _ask(self, phrase: str) -> None:
        with self.reporting():
            if phrase.strip() and phrase not in self.found:
                answer = self._ground(phrase)
                box = numbers(answer["box"], "box", (4,))
                predicted = _box_of(box, "box") if np.isfinite(box).all() else None
                attention = _four(answer.get("attention"))
                iou = _overlap(predicted, self._true.get(phrase))
                pieces = [str(p) for p in answer.get("pieces", [])] if attention is not None else []
                if attention is not None and len(pieces) not in (0, attention.shape[2]):
                    raise ConfigError(f"pieces: {len(pieces)}, must be {attention.shape[2]}, as the attention has")
                self._answers[phrase] = (predicted, iou, attention)
                self.found[phrase] = {"box": predicted, "iou": iou, "pieces": pieces} | _drawn(attention)
                self.tell(newest={"phrase": phrase, "answer": self.found[phrase], "count": len(self.found)})

    def attention(self) -> np.ndarray | None:
        """(rows, columns) what is shown: a patch's share of the attention of `token`, in `layer` and `head` or their
        mean. None where there is none."""
        attention = self._answers.get(self.phrase, (None,) * 3)[2]
        if attention is None:
            return None
        layers, heads, pieces, n = attention.shape
        rows = attention[:, :, min(max(self.token, 0), pieces - 1)]
        rows = rows.mean(0, keepdims=True) if self.layer < 0 else rows[[min(self.layer, layers - 1)]]
        rows = rows.mean(1) if self.head < 0 else rows[:, min(self.head, heads - 1)]
        side = _grid(n)
        return rows[0, n - side**2 :].reshape(side, side)

    def data(self) -> pd.DataFrame:
        """The phrases so far, with boxes in pixels; what is not known is NaN."""
        import pandas as pd

        rows = []
        for phrase in dict.fromkeys([*self._true, *self._answers]):
            true, (predicted, iou, _) = self._true.get(phrase), self._answers.get(phrase, (None,) * 3)
            nothing = [math.nan] * 4
            values = [*(true or nothing), *(predicted or nothing), math.nan if iou is None else iou]
            rows.append([phrase, *values])
        columns = ["phrase", *(f"true {s}" for s in SIDES), *(f"predicted {s}" for s in SIDES), "IoU"]
        return pd.DataFrame(encodable(rows), columns=columns)

    def figure(self) -> Figure:
        predicted, iou, _ = self._answers.get(self.phrase, (None,) * 3)
        true, attention = self._true.get(self.phrase), self.attention()
        verdict = "no true box is known" if true is None else "no answer" if iou is None else f"IoU {iou:.2f}"
        pieces = self.found.get(self.phrase, {}).get("pieces", [])
        of = f" of {pieces[min(max(self.token, 0), len(pieces) - 1)]!r}" if pieces else ""
        layer, head = (SAME if i < 0 else i for i in (self.layer, self.head))
        label = f"cross-attention{of}, layer {layer}, head {head}"
        title = f"“{self.phrase}”: {verdict}"
        return figures.grounding(self._image, title, predicted, true, attention, label, self.credit)


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
