"""Views whose model can run in the page: in a file without Python, and beside a kernel that is busy.

A page that shows such a view asks for the model once it is idle: first what it is, "model", and, once a page, its
"weights", part by part, with the code that runs it. From then on it answers what it also asks Python for, and is told
what Python is done with: a "turn" (a number) with choices, an "act" (a name) with other requests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from xfm.base.fields import ConfigError
from xfm.base.images import ImageLike

from . import esm
from .choices import Flag, Text
from .json_values import decoded_picture, encodable
from .page_model import HEADS, page_model, with_heads
from .pages import PAGE_KERNEL, STATIC
from .view import View

if TYPE_CHECKING:
    from xfm.data.tokenizer import Tokenizer
    from xfm.explain.box_prediction import SeenWords
    from xfm.model import XFM

LIVE = STATIC / "live.js"  # answers a view in the page, beside Python
PART = 500_000  # bytes of the weights at once: Jupyter's server drops what is beyond 1 MB a second


@dataclass(frozen=True)
class Parcel:
    """A model on its way to a page."""

    digest: str
    weights: bytes
    rest: dict[str, Any]  # "payload": a `PageModelPayload` without its weights; "code": an ES module

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Parcel:
        weights, others = payload["weights"], {name: part for name, part in payload.items() if name != "weights"}
        code = f"{esm.join(PAGE_KERNEL)}\nexport default {esm.constant(PAGE_KERNEL)};\n"
        rest = encodable({"payload": others, "code": code})
        digest = hashlib.sha256(json.dumps(rest).encode() + weights).hexdigest()
        return cls(digest, weights, rest)


class LivePage(View, abstract=True):
    """A view that has its model where `of` made it, and then takes the reader's pictures. page_kernel.js has a function
    of each one's name, which is told what `_given` returns."""

    _heads: ClassVar[tuple[str, ...]] = HEADS  # that the view asks, in a page of its own
    as_seen = Flag(False)  # pictures are shown in the pixels that the model is given
    _model: tuple[XFM, Tokenizer, Any] | None = None  # the third is the view's own
    _parcel: Parcel | None = None

    def show(self, picture: ImageLike) -> None:
        """Turns to any image (see `images.prepare`). ConfigError for what is none, and in a view without a model."""
        raise NotImplementedError

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        return {"picture": self._show_sent}

    def _show_sent(self, content: str) -> None:
        with self.reporting():
            self.show(decoded_picture(content))

    def _loaded(self) -> tuple[XFM, Tokenizer, Any]:
        """ConfigError in a view without a model."""
        if self._model is None:
            raise ConfigError(f"{type(self).__name__} has no model. Make it with {type(self).__name__}.of(...).")
        return self._model

    def _without_model(self) -> str:
        return f"this {super()._without_model()} {type(self).__name__}.of(...) has one."

    def _given(self) -> Any:
        """JSON, with bytes for arrays, that the page needs beside the model."""
        raise NotImplementedError

    @classmethod
    def _answers(cls) -> str:
        """The name of the function that answers the view in a page."""
        return cls.__name__[0].lower() + cls.__name__[1:]

    @classmethod
    def _module(cls) -> str:
        modules, live = esm.join(cls._script, LIVE), esm.export(LIVE, "live")
        return f"{modules}\nexport default {live}({esm.export(cls._script)}, '{cls._answers()}');\n"

    def _brings(self) -> tuple[str, dict[str, Any], Any] | None:
        if self._model is None:
            return None
        return self._answers(), with_heads(page_model(*self._model[:2]), self._heads), self._given()

    # ---- beside a kernel

    def _acts(self) -> Mapping[str, Callable[[str], None]]:
        return {**super()._acts(), "model": self._send_model, "weights": self._send_weights}

    def _hear(self, widget: Any, content: Any, buffers: Any) -> None:
        super()._hear(widget, content, buffers)
        if isinstance(content, dict) and isinstance(act := content.get("act"), str):
            self.send({"done": act})

    def set_state(self, sync_data: Any) -> None:
        super().set_state(sync_data)
        if isinstance(sync_data, dict) and isinstance(turn := sync_data.get("turn"), int):
            self.send({"answered": turn})

    def _posted(self) -> Parcel | None:
        """None where there is no model that a page can run."""
        if self._parcel is None and self._model is not None:
            with suppress(ConfigError):
                self._parcel = Parcel.of(page_model(*self._model[:2]))
        return self._parcel

    def _send_model(self, _: str) -> None:
        if parcel := self._posted():
            buffers: list[bytes] = []
            given = encodable(apart(self._given(), buffers))
            self.send({"model": {"digest": parcel.digest, "size": len(parcel.weights), "given": given}}, buffers)

    def _send_weights(self, of: str) -> None:
        """`of`: a digest, and the byte where the part begins."""
        digest, _, at = of.partition(" ")
        if not (parcel := self._posted()) or parcel.digest != digest or not (at.isascii() and at.isdigit()):
            return
        begin = int(at)
        self.send(
            {"part": {"digest": digest, "at": begin} | ({} if begin else parcel.rest)},
            [parcel.weights[begin : begin + PART]],
        )
        if begin + PART >= len(parcel.weights):
            self._parcel = None  # the page has it: megabytes for nobody


class OneQuestion(LivePage, abstract=True):
    """A view of one picture and one sentence, in place of which the reader may give others."""

    typed = Text()  # the reader's sentence; "": the given one

    def __init__(self, *given: Any, **traits: Any) -> None:
        super().__init__(*given, **traits)
        self.observe(self._retext, "typed")

    def show(self, picture: ImageLike) -> None:
        """Another picture in place of that one, any image (see `images.prepare`), with the same sentence. ConfigError
        for what is no image, and in a view that `of` has not made of an X-FM."""
        self._turn(picture)
        self.tell(credit="")

    def _retext(self, _: Any = None) -> None:
        with self.reporting():
            self._turn(None)

    def _turn(self, picture: ImageLike | None) -> None:
        """Asks anew: of another picture, or (None) of the one that is shown with the sentence that is typed."""
        raise NotImplementedError


def seen_payload(seen: SeenWords | None) -> dict[str, list[str]] | None:
    """A `SeenWordsPayload` of payloads.d.ts."""
    return seen and {"words": sorted(seen.words), "held_out": list(seen.held_out), "first": list(seen.first)}


def apart(value: Any, buffers: list[bytes]) -> Any:
    """The same JSON with {"$buffer": i} for each bytes, which is put behind `buffers`."""
    if isinstance(value, bytes):
        buffers.append(value)
        return {"$buffer": len(buffers) - 1}
    if isinstance(value, Mapping):
        return {key: apart(inner, buffers) for key, inner in value.items()}
    return [apart(inner, buffers) for inner in value] if isinstance(value, list | tuple) else value
