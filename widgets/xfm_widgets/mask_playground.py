"""Patches and words switched off and on: what is guessed for them, with the picture, without it, and by MIM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import traitlets

from xfm.base import seeding
from xfm.base.fields import require
from xfm.base.images import ImageLike
from xfm.config import MaskConfig
from xfm.data.masking import block_mask, span_positions
from xfm.plots import Figure
from xfm.plots.palette import STRONGEST

from . import figures
from .choices import Place, Places, Share, told
from .json_values import finite, float_bytes, sharp, square_pixels, table
from .live_page import OneQuestion

if TYPE_CHECKING:
    import pandas as pd

    from xfm.explain.token_axes import TokenAxis
    from xfm.guests.guest import Guest
    from xfm.model import XFM

Predict = Callable[[np.ndarray, np.ndarray], Mapping[str, Any]]
RANGE = 2.5  # standard deviations of a patch's pixels, from black to white
SIDES = {"with": True, "without": False}


@dataclass(frozen=True, eq=False)
class Answer:
    """What was guessed, and of which hidden parts."""

    of: dict[str, list[int]] | None = None
    words: list[dict[str, Any]] = field(default_factory=list)
    agreement: np.ndarray | None = None  # (P,)
    pixels: np.ndarray | None = None  # (side, side, 3) uint8
    target: str | None = None


class MaskPlayground(OneQuestion):
    """Paint on the picture, click words: what X-FM makes of what is left.

    MaskPlayground.of(model, tokenizer, scene.image, scene.caption.text, config.data.mask)
    """

    hidden_patches = Places(of=lambda view: view._grid**2)
    hidden_pieces = Places(of=lambda view: len(view._words.pieces))  # word pieces; the first and the last stay
    patch = Place(-1, of=lambda view: view._grid**2)
    token = Place(-1, of=lambda view: len(view._words.pieces))
    opacity = Share(STRONGEST)  # of the maps over the picture, where they are strongest
    answer = told(traitlets.Dict())  # the last one, and what it is "of"
    pixels = told(traitlets.Bytes())  # MIM's pixel target as a picture

    def __init__(
        self,
        image: ImageLike,
        words: TokenAxis,
        grid: int,
        predict: Predict | None,
        mask: MaskConfig | None = None,
        **traits: Any,
    ):
        """Shows what a model predicts for hidden patches and word pieces.

        Args:
            image: any image that `xfm.base.images.prepare` accepts, of grid x grid patches.
            predict: (hidden patches (P,) bool, hidden pieces (L,) bool) -> predictions, see `explain.masked_predictor`.
            mask: how much "hide at random" hides; by default the paper's fractions.

        Raises:
            ConfigError: for what is no image, and where it does not fall into that many patches.
        """
        require(isinstance(grid, int) and grid > 0, "grid", grid, "a whole number above 0")
        self._image, self._words, self._grid, self._predict = square_pixels(image, grid), words, grid, predict
        side = len(self._image)
        self._mask = mask or MaskConfig(image_patches=max(1, round(grid**2 * 75 / 196)))
        self._answered = Answer()
        payload = {"image": self._image.tobytes(), "side": side, "grid": grid, "pieces": list(words.pieces),
                   "owner": list(words.owner), "can": predict is not None, "takes": False,
                   "crisp": sharp(self._image)}  # fmt: skip
        super().__init__(payload, **traits)
        self._draws = 0
        self._answer()

    def acts(self) -> Mapping[str, Callable[[str], None]]:
        return {**super().acts(), "hide at random": lambda _: self.hide_at_random()}

    @classmethod
    def of(
        cls,
        model: XFM | Guest,
        tokenizer: Any,
        image: ImageLike,
        text: str,
        mask: MaskConfig | None = None,
        **traits: Any,
    ) -> MaskPlayground:
        """Shows a model's predictions for any image and a text. A guest makes none, which `message` reports.

        Raises:
            ConfigError: for what is no image, and for a text that is empty or too long.
        """
        from xfm import explain
        from xfm.guests.guest import Guest

        if isinstance(model, Guest):
            inputs = model.inputs(image, text)
            view = cls(inputs.image, inputs.words, inputs.grid.grid, None, mask, **traits)
            view.message = view._standing = (
                f"{model.label} compares whole pictures with whole texts: it was never trained to guess hidden patches "
                "or words, so parts can be hidden, and nothing is guessed. AttributionLab shows what a removal changes."
            )
            return view
        inputs = explain.make_inputs(model, tokenizer, image, text)
        predict = explain.masked_predictor(model, tokenizer, inputs.image, text)
        view = cls(inputs.image, inputs.words, inputs.grid.grid, predict, mask, **traits)
        view._model = model, tokenizer, text
        view.redraw(takes=True)
        if view.typed:
            view._retext()
        return view

    def _given(self) -> dict[str, Any]:
        mask = {"patches": min(self._mask.image_patches, self._grid**2), "smallest": self._mask.smallest_block,
                "share": self._mask.caption_share, "most": self._mask.caption_most,
                "spans": self._mask.span_share}  # fmt: skip
        return {"text": cast(tuple, self._model)[2], "mask": mask}

    def _turn(self, picture: ImageLike | None) -> None:
        from xfm import explain

        model, tokenizer, text = self._loaded()
        inputs = explain.make_inputs(
            model, tokenizer, self._image if picture is None else picture, self.typed.strip() or text
        )
        if inputs.words.pieces != self._words.pieces:
            self.hidden_pieces = []
        self._image, self._words = inputs.image, inputs.words
        self._predict = explain.masked_predictor(model, tokenizer, inputs.image, inputs.text)
        pieces, owner = list(inputs.words.pieces), list(inputs.words.owner)
        crisp = sharp(inputs.image, picture)
        self.redraw(image=inputs.image.tobytes(), crisp=crisp, pieces=pieces, owner=owner)
        self._answered = Answer()
        self._answer()

    def hide_at_random(self, seed: int | None = None) -> None:
        """Blocks of patches and spans of word pieces, as many as in pretraining; without a seed others each time."""
        seed, self._draws = self._draws if seed is None else seed, self._draws + 1
        rng, mask = seeding.rng("mask playground", seed), self._mask
        hidden = block_mask(self._grid, min(mask.image_patches, self._grid**2), mask.smallest_block, rng)
        length = len(self._words.pieces)
        with self.hold_trait_notifications():
            self.hidden_patches = np.flatnonzero(hidden).tolist()
            self.hidden_pieces = span_positions(length, mask.caption_share, mask.caption_most, mask.span_share, rng)

    def hidden(self) -> tuple[np.ndarray, np.ndarray]:
        """(P,) and (L,) bool"""
        patches, pieces = np.arange(self._grid**2), np.arange(len(self._words.pieces))
        return np.isin(patches, self.hidden_patches), np.isin(pieces, self.hidden_pieces)

    @traitlets.observe("hidden_patches", "hidden_pieces")
    def _answer(self, _: Any = None) -> None:
        hidden = {"patches": self.hidden_patches, "pieces": self.hidden_pieces}
        if not hasattr(self, "_draws") or hidden == self._answered.of:
            return
        self._answered = Answer(hidden)
        if self._predict is not None:
            with self.reporting():
                self._answered = self._read(self._predict(*self.hidden()), hidden)
        new = self._answered
        if new.pixels is not None:
            self.tell(pixels=new.pixels.tobytes())
        agreement = None if new.agreement is None else float_bytes(new.agreement)
        self.tell(answer={"of": hidden, "words": new.words, "agreement": agreement, "target": new.target})

    def _read(self, given: Mapping[str, Any], hidden: dict[str, list[int]]) -> Answer:
        """What `predict` returned."""
        words = [
            {"place": w["place"], "piece": w["piece"]} | {s: _guessed(w[s]) for s in SIDES} for w in given["words"]
        ]
        return Answer(hidden, words, given["agreement"], self._picture(given["pixels"]), given["target"])

    def _picture(self, standardised: np.ndarray) -> np.ndarray:
        """Standardised patches (P, 3 size²), each (channel, y, x) -> (side, side, 3) uint8"""
        grid, side = self._grid, len(self._image)
        parts = standardised.reshape(grid, grid, 3, side // grid, side // grid).transpose(0, 3, 1, 4, 2)
        return (255 * np.clip(0.5 + np.nan_to_num(parts) / (2 * RANGE), 0, 1)).astype(np.uint8).reshape(side, side, 3)

    def data(self) -> pd.DataFrame:
        """A row a guess (`picture`: whether given the picture), and a row a hidden patch with its agreement."""
        rows = []
        for w in self._answered.words:
            for name, with_picture in SIDES.items():
                guesses = enumerate((w[name] or {}).get("guesses", ()), 1)
                rows += [("word piece", w["place"], w["piece"], with_picture, i, g, p, None) for i, (g, p) in guesses]
        agreement = np.full(self._grid**2, np.nan) if self._answered.agreement is None else self._answered.agreement
        rows += [("patch", i, *[None] * 5, float(agreement[i])) for i in self.hidden_patches]
        return table(rows, ["part", "place", "piece", "picture", "rank", "guess", "probability", "agreement"])

    def figure(self) -> Figure:
        patches, pieces = self.hidden()
        several = "" if pieces.sum() == 1 else "s"
        title = f"{patches.sum()} of {len(patches)} patches and {pieces.sum()} word piece{several} hidden"
        new = self._answered
        return figures.masked_prediction(self._image, patches, new.agreement, new.pixels, new.words, title, self.credit)


def _guessed(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    return {"guesses": [[g, finite(p)] for g, p in given["guesses"]], "truth": finite(given["truth"])}
