"""THE PAPER: which tensor feeds which loss. Its two techniques are here and nowhere else (X-FM, section 3.2).
A `Flow` is one stream's forward pass, lazy and memoised: a loss that is off costs nothing, what is shared is made once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from . import seeding
from .batch import MimTarget, Pairs, Regions, Texts, normalise, standardise
from .config import FlowConfig
from .model import XFM, ImageTokens
from .model.vision import patchify


@dataclass(eq=False)
class Flow:
    model: XFM
    batch: Any  # one of the four streams' batches
    config: FlowConfig
    active: tuple[str, ...]  # the objectives that will ask
    key: tuple[object, ...]  # of every draw: (seed, step, stream[, rank])
    guide: Callable[[Tensor], Tensor] | None = None  # pictures -> (n, P, C), for mim_target "frozen" and "teacher"
    fused_pairs: int = 0  # pairs that go through the fusion encoder (0: all)

    def text_gradient(self, objective: str) -> float:
        return 1.0 if objective == "mlm" else getattr(self.config.text_gradient, objective)

    def cross(self, text: Tensor, objective: str) -> Tensor:
        """THE STOP-GRADIENT: every crossing of text into a multimodal loss. 0 stops, 1 passes, between is a dose."""
        share, stopped = self.text_gradient(objective), text.detach()
        return stopped if share == 0 else text if share == 1 else stopped + share * (text - stopped)

    @cached_property
    def mim_target(self) -> MimTarget:
        """THE GUIDANCE: hidden patches predict the unmasked outputs of the encoder that other losses are shaping."""
        if self.config.mim_target == "pixels":
            return MimTarget(standardise(patchify(self.pictures, self.model.config.vision.patch_size)), None)
        patches = (self.patches if self.guide is None else self.guide(self.pictures)).detach()
        return MimTarget(patches, patches.mean(1))

    def encode(self, encoder: str, purpose: str, uses: list[bool], *inputs: Tensor) -> Tensor:
        """One pass of an encoder, its dropout keyed; without a graph where nothing that uses it sends a gradient."""
        if self.model.training:
            torch.manual_seed(seeding.seed(*self.key, encoder, purpose))
        with torch.set_grad_enabled(torch.is_grad_enabled() and any(uses)):
            return getattr(self.model, encoder)(*inputs)

    @cached_property
    def text(self) -> Tensor:  # (B, L, D)
        uses = [self.text_gradient(o) > 0 for o in self.active if o in ("itc", "itm", "bbp")]
        return self.encode("text", "whole", uses, self.batch.words.ids, self.batch.words.mask)

    @cached_property
    def masked_text(self) -> Tensor:  # of every sentence for MLM, of the fused captions for IMLM
        words, n, use = self.batch.words, self.fused_count, "mlm" if isinstance(self.batch, Texts) else "imlm"
        return self.encode("text", "masked", [self.text_gradient(use) > 0], words.masked_ids[:n], words.mask[:n])

    @cached_property
    def pictures(self) -> Tensor:  # (n, 3, H, W)
        return normalise(self.batch.image).to(self.model.vision.mask_token.dtype)

    @cached_property
    def patches(self) -> Tensor:  # (n, P, D): one pass for ITC, ITM, IMLM, BBP and the MIM target
        return self.encode("vision", "whole", [o != "mim" for o in self.active], self.pictures)

    @cached_property
    def masked_patches(self) -> Tensor:
        return self.encode("vision", "masked", [True], self.pictures, self.batch.image_mask)

    @cached_property
    def image(self) -> ImageTokens:
        """What texts are paired with: item i is text i's own; after the regions come their whole pictures."""
        if isinstance(self.batch, Regions):
            return ImageTokens.of_regions(self.patches, self.batch.owner, self.batch.patches)
        return ImageTokens.of_pictures(self.patches)

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:  # of images and of texts, (B, E) each, of unit length
        itc: Any = self.model.objectives["itc"]
        text = self.cross(self.text[:, 0], "itc")
        return itc.embed_image(self.image.pooled[: len(text)]), itc.embed_text(text)

    @cached_property
    def fused(self) -> dict[str, Tensor]:
        """(N, L, D) by objective: one pass of the fusion encoder over the pairings of all active objectives."""
        asks: dict[str, Any] = {o: self.model.objectives[o] for o in self.active}
        pairings = {o: ask.pairing(self) for o, ask in asks.items() if hasattr(ask, "pairing")}
        text = torch.cat([self.cross(p.text, o) for o, p in pairings.items()])
        mask, item = (torch.cat([getattr(p, f) for p in pairings.values()]) for f in ("mask", "item"))
        fused = self.encode("fusion", "pairings", [True], text, mask, self.image, item)  # type: ignore[arg-type]
        return dict(zip(pairings, fused.split([len(p.item) for p in pairings.values()]), strict=True))

    @property
    def fused_count(self) -> int | None:  # how many pairs are fused; None: all
        return self.fused_pairs or None if isinstance(self.batch, Pairs) else None
