"""THE PAPER: which tensor feeds which loss. Its two techniques are here and nowhere else (X-FM, section 3.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .config import FlowConfig
from .interventions.shuffled_pictures import mismatched
from .model import XFM, ImageTokens
from .model.batch import FusionBatch, MimTarget, Regions, normalise, standardise
from .model.encoder_calls import Pass, one_pass
from .model.vision import patchify


@dataclass(eq=False)
class Flow:
    """One stream's forward pass, lazy and memoised: a loss that is off costs nothing, what is shared is made once."""

    model: XFM
    batch: Any  # one of the four streams' batches
    config: FlowConfig
    active: tuple[str, ...]  # the losses that will read it
    key: tuple[object, ...]  # of every draw: (seed, step, stream[, rank])
    mim_teacher: Callable[[Tensor], Tensor] | None = None  # pictures -> (n, P, C), where another network is the target
    mlm_teacher: Callable[..., Tensor] | None = None  # `interventions.distillation.mlm_of` the warm start
    fusion_count: int | None = None  # pairs that go through the fusion encoder (None: all)
    shuffled: bool = False  # there, texts meet other texts' pictures

    def objective(self, name: str) -> Any:
        return self.model.objectives[name]

    def text_gradient(self, objective: str) -> float:
        return self.config.text_gradient.get(objective, self.objective(objective).text_gradient)

    def cross(self, states: Tensor, objective: str = "") -> Tensor:
        """THE STOP-GRADIENT: every crossing of text into a multimodal loss (without one: of patches). 0 stops it."""
        scale = self.text_gradient(objective) if objective else self.config.image_gradient
        stopped = states.detach()
        return stopped if scale == 0 else states if scale == 1 else stopped + scale * (states - stopped)

    @cached_property
    def mim_target(self) -> MimTarget:
        """THE GUIDANCE: hidden patches predict the unmasked outputs of the encoder that other losses are shaping."""
        if self.config.mim_target == "pixels":
            return MimTarget(standardise(patchify(self.pictures, self.model.config.vision.patch_size)), None)
        patches = (self.patches if self.mim_teacher is None else self.mim_teacher(self.pictures)).detach()
        return MimTarget(patches, patches.mean(1))

    def reading(self, *tensors: str) -> list[str]:  # the active losses that read one of these
        return [o for o in self.active if not {*tensors}.isdisjoint(self.objective(o).reads)]

    @one_pass
    def text(self) -> Pass:  # (B, L, D)
        graph = any(self.text_gradient(o) > 0 for o in self.reading("text", "features"))
        return Pass("text", "whole", graph, (self.batch.tokens.ids, self.batch.tokens.mask))

    @one_pass
    def masked_text(self) -> Pass:  # of every sentence, or of the captions that are fused
        tokens, n = self.batch.tokens, self.fusion_count
        graph = any(self.text_gradient(o) > 0 for o in self.reading("masked_text"))
        return Pass("text", "masked", graph, (tokens.masked_ids[:n], tokens.mask[:n]))

    @cached_property
    def pictures(self) -> Tensor:  # (n, 3, H, W)
        return normalise(self.batch.image).to(self.model.dtype)

    @one_pass
    def patches(self) -> Pass:  # (n, P, D): one for all losses and the MIM target, which sends no gradient
        return Pass("vision", "whole", bool(self.reading("image", "features", "fused")), (self.pictures,))

    @one_pass
    def masked_patches(self) -> Pass:
        return Pass("vision", "masked", True, (self.pictures, self.batch.image_mask))

    def image_of(self, patches: Tensor) -> ImageTokens:  # item i is text i's own; after regions, their whole pictures
        if isinstance(self.batch, Regions):
            return ImageTokens.of_regions(patches, self.batch.owner, self.batch.patches)
        return ImageTokens.of_pictures(patches)

    @cached_property
    def image(self) -> ImageTokens:
        return self.image_of(self.patches)

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:  # contrastive, of images and of texts, (B, E) each, of unit length
        heads, name = self.model.contrastive, self.model.contrastive_name
        text = self.cross(self.model.text.sentence(self.text, self.batch.tokens.mask), name)
        return heads.embed_image(self.image.pooled[: len(text)]), heads.embed_text(text)

    @cached_property
    def pairings(self) -> dict[str, FusionBatch]:  # by loss
        return {o: self.objective(o).paired(self, o) for o in self.reading("fused")}

    @one_pass
    def fusion(self) -> Pass:  # (N, L, D): one for the pairings of all losses
        text = torch.cat([self.cross(p.text, o) for o, p in self.pairings.items()])
        mask, item = (torch.cat([getattr(p, f) for p in self.pairings.values()]) for f in ("mask", "item"))
        patches = mismatched(self.cross(self.patches), self.key) if self.shuffled else self.cross(self.patches)
        image = self.image if patches is self.patches else self.image_of(patches)
        return Pass("fusion", "pairings", True, (text, mask, image, item))

    @cached_property
    def fused(self) -> dict[str, Tensor]:  # by loss
        return dict(zip(self.pairings, self.fusion.split([len(p.item) for p in self.pairings.values()]), strict=True))
