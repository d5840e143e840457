"""Inputs of explanations: a target of one image and one text, as a function of embedded patches and word pieces.

Both are differentiable, and both can be masked as in pretraining: a patch becomes MIM's mask token, a word piece MLM's
`<mask>`. `<s>`, `</s>` and what the target itself masks are never masked further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..base.fields import require
from ..base.html_card import card, clipped, picture, table
from ..base.numbers import significant
from ..data.tokenizer import Tokenizer
from ..diagnostics import hooks
from ..model.modes import eval_mode
from .targets import Outputs, Target, full_mask, model_outputs
from .token_axes import PatchAxis, TokenAxis

BATCH = 128  # forward passes at once
Through = Callable[[Tensor], Tensor]


class Site(NamedTuple):
    """The attentions behind one map, layer by layer."""

    modules: list[str]  # dotted names
    queries: str  # "words" or "patches"
    keys: str


@dataclass(frozen=True, eq=False, repr=False)
class AttributionInputs:
    """Inputs of an explanation, by `make_inputs` or `scene_inputs`; calls need the model in eval mode (`eval_mode`)."""

    model: Any  # an XFM, or a `guests.guest.Guest`
    target: Target
    image: np.ndarray  # (side, side, 3) uint8, as the model sees it
    text: str
    words: TokenAxis
    grid: PatchAxis
    patches: Tensor  # (P, D) embedded, on the model's device
    pieces: Tensor  # (L, D)
    masked_patches: Tensor  # (P, D), the same with all of them masked
    masked_pieces: Tensor  # (L, D)
    fixed: Tensor  # (L,) bool, on the CPU: pieces that are never masked
    objects: dict[str, np.ndarray] = field(default_factory=dict)  # phrase: (side, side) bool, where known
    truth: np.ndarray | None = None  # (side, side) bool, what the text is about, where known ...
    name_pieces: Tensor | None = None  # ... and (L,) bool, on the CPU, the pieces that name it
    credit: str = ""  # what figures of the picture must say
    tokenizer: Tokenizer | None = None  # of an XFM

    def outputs(self, patches: Tensor, pieces: Tensor) -> Outputs:
        """Embedded patches (B, P, D) and pieces (B, L, D) through the three encoders."""
        text = self.model.text.encode(pieces, full_mask(pieces))
        return model_outputs(self.model, text, self.model.vision.encode(patches))

    def __call__(self, patches: Tensor, pieces: Tensor) -> Tensor:
        """Embedded patches (B, P, D) and pieces (B, L, D) -> the target (B,) float32."""
        return self.target.score(self.outputs(patches, pieces)).float() + _nothing_of(patches, pieces)

    def through(self, patches: Tensor, pieces: Tensor, image: Through, text: Through) -> Tensor:
        """The target (B,) with what the encoders return, (B, P, D) and (B, L, D), passed through two functions."""
        encoded = image(self.model.vision.encode(patches))
        words = text(self.model.text.encode(pieces, full_mask(pieces)))
        return self.target.score(model_outputs(self.model, words, encoded)).float() + _nothing_of(encoded, words)

    @property
    def paired(self) -> nn.Module:
        """The module that takes the encoded pairs, called once a pass."""
        return self.model.fusion

    @property
    def reads(self) -> dict[str, int | None]:
        """The token that an encoder's own feature is read from, which "itc" compares; None: the mean of the patches."""
        places = torch.arange(len(self.pieces))[None, :, None]
        return {"language": int(self.model.text.sentence(places, full_mask(places))), "vision": None}

    def sites(self) -> dict[str, Site]:
        """Attention modules by the name of their map."""
        axes, sites = {"text": "words", "image": "patches"}, {}
        for stack in self.model.stacks.values():
            layers = range(len(hooks.layers(self.model, stack)))
            for name, site in stack.attentions.items() if layers else ():
                modules = [stack.attention(name, layer) for layer in layers]
                sites[name] = Site(modules, axes[site.queries], axes[site.keys])
        return sites

    def traced(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """(layer, head, query, key) by map, as a pass has them -> of the words and of the pooled token and the patches,
        as a `Trace` has them."""
        return dict(maps)

    def mask(self, keep_patches: Tensor, keep_pieces: Tensor) -> tuple[Tensor, Tensor]:
        """Masks to keep, (B, P) and (B, L) bool -> embeddings with the rest masked, (B, P, D) and (B, L, D)."""
        device = self.patches.device
        patches, pieces = (keep.to(device)[..., None] for keep in (keep_patches, keep_pieces | self.fixed))
        return (
            torch.where(patches, self.patches, self.masked_patches),
            torch.where(pieces, self.pieces, self.masked_pieces),
        )

    def masked_scores(self, keep_patches: Tensor, keep_pieces: Tensor) -> Tensor:
        """Masks to keep, (B, P) and (B, L) bool -> the target (B,) with the rest masked, on the CPU."""
        with torch.no_grad(), eval_mode(self.model):
            batches = zip(keep_patches.split(BATCH), keep_pieces.split(BATCH), strict=True)
            return torch.cat([self(*self.mask(*keep)).cpu() for keep in batches])

    @property
    def keep_all(self) -> tuple[Tensor, Tensor]:
        """Masks (P,) and (L,) bool that keep everything."""
        return torch.ones(len(self.patches), dtype=torch.bool), torch.ones(len(self.pieces), dtype=torch.bool)

    def score(self) -> float:
        """The target of the whole image and text."""
        return self.masked_scores(*(keep[None] for keep in self.keep_all)).item()

    def total_effect(self) -> float:
        """The score minus that with everything masked: what a complete attribution adds up to."""
        return self.score() - self.masked_scores(*(~keep[None] for keep in self.keep_all)).item()

    def object_patches(self) -> dict[str, Tensor]:
        """phrase -> (P,) bool: the patches of which the object covers a tenth or more. ConfigError without objects."""
        require(bool(self.objects), "objects", self.objects, "given: masks by phrase, as `scene_inputs` has them")
        return {name: self.grid.shares(torch.from_numpy(mask)) >= 0.1 for name, mask in self.objects.items()}

    def __repr__(self) -> str:
        sizes = f"{len(self.words.words)} words, {len(self.patches)} patches"
        return f"{type(self).__name__}({clipped(self.target.name)} of {clipped(self.text)!r}, {sizes})"

    def _repr_html_(self) -> str:
        rows = [("text", self.text), ("pieces", " ".join(self.words.pieces)), ("target", self.target.name),
                ("score", significant(self.score())), ("objects", ", ".join(self.objects) or "not known"),
                ("patches", f"{self.grid.grid} × {self.grid.grid}")]  # fmt: skip
        return card(f"{self.target.name} of “{self.text}”", picture(self.image, self.credit), table(("", ""), rows))


def _nothing_of(*sides: Tensor) -> Tensor:
    """(B,) zeros of sides (B, N, D): where a target does not read one, its gradient there is 0 instead of missing."""
    return torch.stack([0 * side.sum((1, 2), dtype=torch.float32) for side in sides]).sum(0)
