"""Targets of explanations: scalars that X-FM computes from an image and a text.

The stop-gradient belongs to training (`Flow`) and is not applied here: otherwise words would get no attribution of ITM.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from ..base.fields import ConfigError, one_of
from ..model import XFM, ImageTokens


@dataclass(frozen=True)
class Outputs:
    """Outputs of the encoders for B image-text pairs."""

    model: XFM
    text: Tensor  # (B, L, D)
    patches: Tensor  # (B, P, D)
    fused: Tensor  # (B, L, D)

    @property
    def itm(self) -> Tensor:
        """(B,) log-odds that the two belong together."""
        no, yes = self.head("itm").head(self.fused[:, 0]).unbind(-1)
        return yes - no

    @property
    def itc(self) -> Tensor:
        """(B,) cosine similarity."""
        itc, text = self.head("itc"), self.model.text.sentence(self.text, full_mask(self.text))
        return (itc.embed_image(self.patches.mean(1)) * itc.embed_text(text)).sum(-1)

    def head(self, objective: str) -> Any:
        """ConfigError for a head that the model does not have."""
        heads: Any = self.model.objectives
        if objective not in heads:
            raise ConfigError(f"target = {objective!r}: the model has no such head; it has {', '.join(heads)}")
        return heads[objective]


def model_outputs(model: XFM, text: Tensor, patches: Tensor) -> Outputs:
    """Encoded texts (B, L, D) without padding and encoded patches (B, P, D), fused pair by pair."""
    item = torch.arange(len(text), device=text.device)
    return Outputs(model, text, patches, model.fusion(text, full_mask(text), ImageTokens.of_pictures(patches), item))


def full_mask(tokens: Tensor) -> Tensor:
    """(B, L, D) -> (B, L) bool: no token is padding."""
    return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


@dataclass(frozen=True)
class Target:
    """Scalar function of an image-text pair, whose value explanations attribute."""

    name: str
    score: Callable[[Outputs], Tensor]  # -> (B,)
    head: str  # the objective whose head computes it; "": none
    places: tuple[int, ...] | None = (0,)  # of the fused tokens it is read from; None: before fusion, text and patches


ITM = Target("itm", attrgetter("itm"), "itm")  # all of these can be sent to another process
ITC = Target("itc", attrgetter("itc"), "itc", None)


def _box(index: int, out: Outputs) -> Tensor:
    return out.head("bbp").boxes(out.fused)[:, index]


# BBP: the centre and the size of the box of the text, as shares of the image's side
BOX = [Target(f"box {side}", partial(_box, i), "bbp") for i, side in enumerate(("x", "y", "width", "height"))]
TARGETS = {target.name: target for target in (ITM, ITC, *BOX)}


def word_target(name: str, places: Sequence[int], tokens: Sequence[int]) -> Target:
    """IMLM: the log-probability (nats) of a word, summed over its tokens, each at its place, where the text has
    `<mask>`."""
    return Target(f"word {name}", partial(_word, list(places), list(tokens)), "imlm", tuple(places))


def _word(places: list[int], tokens: list[int], out: Outputs) -> Tensor:
    log_probability = out.head("imlm").logits(out.fused[:, places]).float().log_softmax(-1)  # (B, M, V)
    return log_probability[:, range(len(tokens)), tokens].sum(-1)


def named_target(name: str) -> Target:
    """ConfigError for an unknown name, with the nearest one."""
    one_of("target", name, [*TARGETS, "word ..."])
    return TARGETS[name]
