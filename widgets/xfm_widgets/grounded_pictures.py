"""Pictures with phrases, and what is answered for them, checked and as GroundingPad sends it to the browser."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xfm.base.fields import require
from xfm.base.images import ImageLike, pixels
from xfm.base.strings import shown
from xfm.config import ConfigError
from xfm.plots.arrays import numbers

from .json_values import finite, float_bytes, sharp

if TYPE_CHECKING:
    from xfm.data import Dataset

Ground = Callable[[str], Mapping[str, Any]]
FAR = 1_000_000  # pixels: no picture is as wide
SAME = 0.5  # IoU of a candidate that is the predicted box itself, from which on it is not drawn


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, its phrases with their true boxes, who answers, and what was answered so far."""

    image: np.ndarray  # (H, W, 3) uint8
    true: dict[str, list[float]]
    ground: Ground
    own: bool = False  # the reader's, of which training had none
    crisp: bytes = b""  # the same at a screen's resolution
    unlike: bool = False  # drawn in a style that training had not
    found: dict[str, dict[str, Any]] = field(default_factory=dict)  # phrase -> what `ground` gave, as the page draws it
    attention: dict[str, np.ndarray | None] = field(default_factory=dict)  # phrase -> (layers, heads, pieces, tokens)

    @property
    def phrases(self) -> list[str]:
        return list(dict.fromkeys([*self.true, *self.found]))

    def drawn(self) -> dict[str, Any]:
        height, width, _ = self.image.shape
        return {"image": self.image.tobytes(), "height": height, "width": width, "boxes": self.true,
                "found": self.found, "own": self.own, "crisp": self.crisp, "unlike": self.unlike}  # fmt: skip


def unlike(example: Any, data: Dataset | None) -> bool:
    """Whether the training data have no picture in the style of an example: a verdict was measured of theirs alone."""
    styles = {thing.style for thing in getattr(example, "objects", ())}
    sources = [source for source in data.sources if "images" in source.provides] if data else []
    trained = [set(getattr(source, "styles", ())) for source in sources]
    return bool(trained) and (bool(styles - set().union(*trained)) if styles else all(trained))


def elsewhere(found: Mapping[str, Any]) -> list[tuple[list[float], float]]:
    """The candidates, with their shares, that are another place than the predicted box."""
    boxes = [(c["box"], c["share"] or 0.0) for c in found.get("candidates", ()) if c["box"]]
    return [(box, share) for box, share in boxes if (iou(box, found.get("box")) or 0) < SAME]


def picture_of(
    image: ImageLike, boxes: Mapping[str, Sequence[float]], ground: Ground, own: ImageLike | None = None
) -> Picture:
    """`own`: what the reader has given. ConfigError for what is no image, no text or no box."""
    for phrase in boxes:
        require(isinstance(phrase, str), "boxes", phrase, "boxes by phrase, of type str")
    true = {phrase: _box_of(box, f"boxes[{shown(phrase)}]") for phrase, box in boxes.items()}
    seen = pixels(image)
    return Picture(seen, true, ground, own is not None, crisp=sharp(seen, own))


def nearest_box(boxes: list[Any], ground: Ground, phrase: str) -> Sequence[float]:
    """Of the boxes that a phrase names the one that its prediction overlaps most: of several dogs any may be meant."""
    if len(boxes) > 1:
        with suppress(ConfigError):  # which the view says when it asks
            predicted = ground(phrase)["box"]
            return max(boxes, key=lambda box: iou(box, predicted) or 0)
    return boxes[0]


def read_answer(answer: Mapping[str, Any], true: list[float] | None) -> tuple[dict[str, Any], np.ndarray | None]:
    """What `ground` returned, as the page draws it, and its attention (layers, heads, pieces, tokens)."""
    box, attention, never = [*map(float, answer["box"])], answer.get("attention"), answer.get("never_seen")
    candidates = [{"box": [*map(float, one["box"])], "share": finite(one["share"]), "presence": finite(one["presence"])}
                  for one in answer.get("candidates", ())]  # fmt: skip
    doubts = {"presence": finite(answer.get("presence")), "candidates": candidates,
              "split": [(word, [*pieces]) for word, pieces in answer.get("split", ())],
              "never_seen": None if never is None else [*never], "begins": [*answer.get("begins", ())]}  # fmt: skip
    drawn = {"box": box, "iou": iou(box, true), "pieces": [*answer.get("pieces", ())]} | doubts | _drawn(attention)
    return drawn, attention


def _box_of(box: Sequence[float] | np.ndarray, name: str) -> list[float]:
    values = numbers(box, name, (4,))
    require(bool((np.abs(values) < FAR).all()), name, values.tolist(), f"x, y, width, height in pixels, below {FAR:,}")
    return values.tolist()


def iou(a: Sequence[float] | None, b: Sequence[float] | None) -> float | None:
    """IoU of two boxes; None where one is missing."""
    if a is None or b is None:
        return None
    w, h = (max(0.0, min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    union = a[2] * a[3] + b[2] * b[3] - w * h
    return w * h / union if union > 0 else 0.0


def grid_of(tokens: int) -> int:
    """Patches a side, of so many patches or of one token more; 0 where they make no square."""
    return next((math.isqrt(n) for n in (tokens, tokens - 1) if n > 0 and math.isqrt(n) ** 2 == n), 0)


def _drawn(attention: np.ndarray | None) -> dict[str, Any]:
    """A byte a weight, a row's largest as 255, and the rows' largest; NaN as 0."""
    if attention is None:
        return {"shape": []}
    values = np.nan_to_num(attention, posinf=0, neginf=0).clip(0)
    most = values.max(-1, keepdims=True)
    small = np.round(values / np.maximum(most, 1e-12) * 255).astype(np.uint8)
    shape = [*attention.shape[:3], attention.shape[3], grid_of(attention.shape[3])]
    return {"shape": shape, "weights": small.tobytes(), "most": float_bytes(most)}
