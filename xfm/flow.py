"""THE PAPER: which tensor feeds which loss. Its two techniques are here and nowhere else (X-FM, section 3.2).

A `Flow` is one stream's forward pass, lazy and memoised: a loss that is off costs nothing, a tensor that several losses
use is computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from . import keyed
from .batch import Images, Pairs, Regions, Stream, Texts, normalise
from .config import FlowConfig
from .model import XFM, ImageTokens
from .model.vision import patchify

CROSSING = ("itm", "imlm", "bbp")  # the fusion encoder's objectives, which the paper stops


@dataclass(frozen=True)
class Pairing:
    """N texts for the fusion encoder and the item of `Flow.image` that each is paired with."""

    text: Tensor  # (N, L, D)
    mask: Tensor  # (N, L) bool
    item: Tensor  # (N,) int64


@dataclass(frozen=True)
class MimTarget:
    patches: Tensor  # (B, P, C)
    pooled: Tensor | None  # (B, C); None where a mean over patches means nothing


@dataclass(eq=False)
class Flow:
    model: XFM
    batch: Stream
    config: FlowConfig
    active: tuple[str, ...]  # the objectives that will ask
    key: tuple[object, ...]  # of the draws: (seed, step, stream[, rank])
    guide: Callable[[Tensor], Tensor] | None = None  # pictures -> (B, P, C), for mim_target "frozen" and "teacher"
    fused_pairs: int = 0  # pairs through the fusion encoder (0: all)

    def text_gradient(self, objective: str) -> float:
        return 1.0 if objective == "mlm" else getattr(self.config.text_gradient, objective)

    def cross(self, text: Tensor, objective: str) -> Tensor:
        """THE STOP-GRADIENT: every crossing of text into a multimodal loss. 0 stops, 1 passes, between is a dose."""
        share = self.text_gradient(objective)
        stopped = text.detach()
        return stopped if share == 0 else text if share == 1 else stopped + share * (text - stopped)

    @cached_property
    def mim_target(self) -> MimTarget:
        """THE GUIDANCE: what hidden patches must predict."""
        return TARGETS[self.config.mim_target](self)

    def encode_text(self, ids: Tensor, name: str, *objectives: str) -> Tensor:
        """(B, L, D); without a graph where every objective that uses it is stopped."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and any(map(self.text_gradient, objectives))):
            self.noise(name)
            return self.model.text(ids, self.batch.words.mask[: len(ids)])  # type: ignore[union-attr]

    @cached_property
    def text(self) -> Tensor:
        uses = [o for o in self.active if o in ("itc", "itm", "bbp")]
        return self.encode_text(self.batch.words.ids, "text", *uses)  # type: ignore[union-attr]

    @cached_property
    def masked_text(self) -> Tensor:
        """Of all sentences for MLM, of the pairs that are fused for IMLM."""
        use, n = ("mlm", None) if isinstance(self.batch, Texts) else ("imlm", self.fused_count)
        return self.encode_text(self.batch.words.masked_ids[:n], "masked text", use)  # type: ignore[union-attr]

    @cached_property
    def pictures(self) -> Tensor:
        return normalise(self.batch.image).to(self.model.vision.mask_token.dtype)  # type: ignore[union-attr]

    @cached_property
    def patches(self) -> Tensor:
        """(n, P, D), one pass for ITC, ITM, IMLM, BBP and the MIM target; without a graph where only MIM asks."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and any(o != "mim" for o in self.active)):
            self.noise("picture")
            return self.model.vision(self.pictures)

    @cached_property
    def masked_patches(self) -> Tensor:
        self.noise("masked picture")
        return self.model.vision(self.pictures, self.batch.image_mask)  # type: ignore[union-attr]

    @cached_property
    def image(self) -> ImageTokens:
        """What the texts are about: item i is text i's; after the regions come their whole pictures."""
        if isinstance(self.batch, Regions):
            return ImageTokens.of_regions(self.patches, self.batch.owner, self.batch.patches)
        return ImageTokens.of_pictures(self.patches)

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """Image and text features (B, E) each, of unit length."""
        itc = self.model.objectives["itc"]
        text = self.cross(self.text[:, 0], "itc")
        return itc.embed_image(self.image.pooled[: len(text)]), itc.embed_text(text)  # type: ignore[operator]

    @property
    def fused_count(self) -> int:
        """How many texts of the stream go through the fusion encoder."""
        count = len(self.batch.words.ids)  # type: ignore[union-attr]
        return min(self.fused_pairs or count, count) if isinstance(self.batch, Pairs) else count

    @cached_property
    def fused(self) -> dict[str, Tensor]:
        """(N, L, D) by objective: one pass of the fusion encoder over the pairings of all active objectives."""
        asked = {o: self.model.objectives[o].pairing(self) for o in self.active if o in CROSSING}  # type: ignore[operator]
        text = torch.cat([self.cross(p.text, o) for o, p in asked.items()])
        mask, item = (torch.cat([getattr(p, f) for p in asked.values()]) for f in ("mask", "item"))
        self.noise("fusion")
        parts = self.model.fusion(text, mask, self.image, item).split([len(p.item) for p in asked.values()])
        return dict(zip(asked, parts, strict=True))

    def noise(self, purpose: str) -> None:
        """Keys the dropout and drop path of the next pass."""
        if self.model.training:
            torch.manual_seed(keyed.seed(*self.key, "noise", purpose))


def _own(flow: Flow) -> MimTarget:
    patches = flow.patches.detach()
    return MimTarget(patches, patches.mean(1))


def _guided(flow: Flow) -> MimTarget:
    with torch.no_grad():
        patches = flow.guide(flow.pictures)  # type: ignore[misc]
    return MimTarget(patches, patches.mean(1))


def _pixels(flow: Flow) -> MimTarget:
    """Each patch's pixels, normalised by its own mean and deviation (MAE)."""
    p = patchify(flow.pictures, flow.model.config.vision.patch_size)
    return MimTarget((p - p.mean(-1, keepdim=True)) / (p.var(-1, keepdim=True) + 1e-6).sqrt(), None)


TARGETS: dict[str, Callable[[Flow], MimTarget]] = {
    "self": _own, "frozen": _guided, "pixels": _pixels, "teacher": _guided
}  # fmt: skip

STREAM_OBJECTIVES: dict[type[Stream], tuple[str, ...]] = {
    Pairs: ("itc", "itm", "imlm", "mim"),
    Regions: ("itc", "itm", "imlm", "bbp"),
    Images: ("mim",),
    Texts: ("mlm",),
}
