"""What an explanation explains: a number that X-FM makes of a picture and a text.

X-FM's stop-gradient is not here: it is a rule of training (`Flow`), and words would otherwise get nothing from ITM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..config_utils import ConfigError, one_of, require
from ..model import XFM, ImageTokens


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
        no, yes = self.head("itm").head(self.fused[:, 0]).unbind(-1)
        return yes - no

    @property
    def itc(self) -> Tensor:
        """(B,) cosine."""
        itc = self.head("itc")
        return (itc.embed_image(self.patches.mean(1)) * itc.embed_text(self.text[:, 0])).sum(-1)

    def head(self, objective: str) -> Any:
        heads: Any = self.model.objectives
        if objective not in heads:
            raise ConfigError(f"target = {objective!r}: the model has no such head; it has {', '.join(heads)}")
        return heads[objective]


def model_outputs(model: XFM, text: Tensor, patches: Tensor) -> Outputs:
    """Encoded texts (B, L, D), none of them padded, and encoded patches (B, P, D), pair by pair."""
    own = torch.arange(len(text), device=text.device)
    return Outputs(model, text, patches, model.fusion(text, full_mask(text), ImageTokens.of_pictures(patches), own))


def full_mask(tokens: Tensor) -> Tensor:
    """(B, L, D) -> (B, L): every token may be seen."""
    return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


@dataclass(frozen=True)
class Target:
    """A number for each pairing."""

    name: str
    score: Callable[[Outputs], Tensor]  # -> (B,)
    head: str  # the objective's that says it; "": none
    token: int | None = 0  # of the fused text, that it is read off; None: of the text and the patches, before fusion


ITM = Target("itm", lambda out: out.itm, "itm")
ITC = Target("itc", lambda out: out.itc, "itc", None)
SIDES = ("x", "y", "width", "height")


def box_target(side: str) -> Target:
    """BBP: "x", "y" (of the centre), "width" or "height" of the box that the text names, as shares of the picture's."""
    place = SIDES.index(side)
    return Target(f"box {side}", lambda out: out.head("bbp").boxes(out.fused)[:, place], "bbp")


KNOWN = {target.name: target for target in (ITM, ITC, *map(box_target, SIDES))}


def word_target(name: str, places: Sequence[int], tokens: Sequence[int]) -> Target:
    """IMLM: the log-probability of a word, the sum over its tokens, each at its place, where the text says `<mask>`."""

    def score(out: Outputs) -> Tensor:
        likely = out.head("imlm").logits(out.fused[:, list(places)]).float().log_softmax(-1)  # (B, M, V)
        return likely[:, range(len(tokens)), list(tokens)].sum(-1)

    return Target(f"word {name}", score, "imlm", places[0])


def probe_class(name: str, probe: Callable[[Tensor], Tensor], label: int) -> Target:
    """A probe's class: `probe` maps mean patch tokens (B, D) to logits (B, C)."""
    require(label >= 0, "label", label, "the number of a class, 0 or more")
    return Target(f"{name} {label}", lambda out: probe(out.patches.mean(1))[:, label], "", None)


def named_target(target: str) -> Target:
    """ConfigError for an unknown name, with the near ones."""
    one_of("target", target, [*KNOWN, "word ..."])
    return KNOWN[target]
