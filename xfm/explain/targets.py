"""What an explanation explains: a number that X-FM makes of one picture and one text, as a function of its inputs.

The inputs are normalised pixels and embedded words, so that both can be differentiated, moved and taken away. X-FM's
stop-gradient is not here: it is a rule of training (`Flow`), and words would otherwise get nothing from ITM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..model import XFM, ImageTokens
from ..model.attention import additive
from ..tree import ConfigError, one_of, require


@dataclass(frozen=True)
class Outputs:
    """B pairings of a picture with a text."""

    model: XFM
    text: Tensor  # (B, L, D)
    patches: Tensor  # (B, P, D)
    fused: Tensor  # (B, L, D)

    @property
    def itm(self) -> Tensor:
        """(B,) log-odds of belonging together."""
        head: Any = self.model.objectives["itm"]
        no, yes = head.head(self.fused[:, 0]).unbind(-1)
        return yes - no

    @property
    def itc(self) -> Tensor:
        """(B,) cosine."""
        heads: Any = self.model.objectives["itc"]
        return (heads.embed_image(self.patches.mean(1)) * heads.embed_text(self.text[:, 0])).sum(-1)


def run(model: XFM, pixels: Tensor, words: Tensor) -> Outputs:
    """Pixels (B, 3, H, W), normalised, and embedded words (B, L, D), none of them padding."""
    patches = model.vision(pixels)
    mask = torch.ones(words.shape[:2], dtype=torch.bool, device=words.device)
    text = words
    for layer in model.text.layers:
        text = layer(text, additive(mask))
    own = torch.arange(len(text), device=text.device)
    return Outputs(model, text, patches, model.fusion(text, mask, ImageTokens.of_pictures(patches), own))


@dataclass(frozen=True)
class Target:
    """A number for each pairing."""

    name: str
    score: Callable[[Outputs], Tensor]  # -> (B,)
    token: int | None = 0  # of the fused text, that it is read off; None: of the text and the patches, before fusion


ITM = Target("itm", lambda out: out.itm)
ITC = Target("itc", lambda out: out.itc, None)
SIDES = ("x", "y", "width", "height")


def word(place: int, token: int) -> Target:
    """IMLM: the log-probability of a token at a place of the text, where the text says `<mask>`."""

    def score(out: Outputs) -> Tensor:
        imlm: Any = out.model.objectives["imlm"]
        require(0 < place < out.fused.shape[1] - 1, "place", place, f"of a word, 1 to {out.fused.shape[1] - 2}")
        return imlm.logits(out.fused[:, place]).float().log_softmax(-1)[:, token]

    return Target(f"word {token} at {place}", score, place)


def box(side: str) -> Target:
    """BBP: "x", "y" (of the centre), "width" or "height" of the box that the text names, as shares of the picture's."""
    one_of("side", side, SIDES)

    def score(out: Outputs) -> Tensor:
        bbp: Any = out.model.objectives["bbp"]
        return bbp.boxes(out.fused)[:, SIDES.index(side)]

    return Target(f"box {side}", score)


def read(name: str, probe: Callable[[Tensor], Tensor], label: int) -> Target:
    """A probe's class: `probe` maps mean patch tokens (B, D) to logits (B, C)."""
    return Target(f"{name} {label}", lambda out: probe(out.patches.mean(1))[:, label], None)


def named(target: str | Target) -> Target:
    """ConfigError for an unknown name, with the near ones."""
    if isinstance(target, Target):
        return target
    known = {t.name: t for t in (ITM, ITC)} | {f"box {side}": box(side) for side in SIDES}
    one_of("target", target, known)
    return known[target]


def require_objective(model: XFM, target: Target) -> None:
    """ConfigError where the model lacks the head that the target is read off."""
    needs = {"itm": "itm", "itc": "itc", "word": "imlm", "box": "bbp"}.get(target.name.split()[0])
    if needs and needs not in model.objectives:
        raise ConfigError(f"target = {target.name!r}: the model has no head of {needs.upper()}; it has "
                          f"{', '.join(model.objectives)}")  # fmt: skip
