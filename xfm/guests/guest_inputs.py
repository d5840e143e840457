"""One picture and one text of a guest, as explanations ask about them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..base.fields import ConfigError
from ..base.strings import shown
from ..diagnostics import hooks
from ..explain.inputs import AttributionInputs, Site, Through


@dataclass(frozen=True, eq=False, repr=False)
class GuestInputs(AttributionInputs):
    """Made by `Guest.inputs`: patches are pixels (P, 3 patch²)."""

    ids: Tensor = field(kw_only=True)  # (T,)
    left_out: Tensor | None = None  # (L,) bool: the question is what these pieces add

    def outputs(self, patches: Tensor, pieces: Tensor) -> Any:
        guest, grid = self.model, self.grid
        rest = guest.side - grid.grid * grid.size  # what no patch covers: the mean colour
        pictures = rearrange(patches, "b (y x) (c p q) -> b c (y p) (x q)", y=grid.grid, c=3, p=grid.size)
        embedding = guest.net.get_submodule(guest.embedding)

        def embedded(_: nn.Module, __: object, out: Tensor) -> Tensor:
            return torch.cat([pieces.to(out.dtype), out[:, pieces.shape[1] :]], 1)

        image = guest.image_features(F.pad(pictures, (0, rest, 0, rest)))
        with embedding.register_forward_hook(embedded):
            text = guest.text_features(self.ids.expand(len(pieces), -1))
        return guest(image, text)

    def __call__(self, patches: Tensor, pieces: Tensor) -> Tensor:
        score = super().__call__(patches, pieces)
        if self.left_out is None:
            return score
        without = torch.where(self.left_out.to(pieces.device)[:, None], self.masked_pieces, pieces)
        return score - super().__call__(patches, without)

    def through(self, patches: Tensor, pieces: Tensor, image: Through, text: Through) -> Tensor:
        self._one_pass()
        guest, grid, length = self.model, self.grid.grid, pieces.shape[1]
        for name, tower in (("picture", guest.image_tower), ("text", guest.text_tower)):
            if not tower.features:
                raise ConfigError(f"{guest.label}: no module of its {name} tower is known to have features a place")

        def of_picture(_: nn.Module, __: object, out: Tensor) -> Tensor:
            if out.ndim == 4:
                places = F.interpolate(out, (grid, grid), mode="bilinear")  # a no-op where there is one a patch
                passed = image(hooks.tokens(places)).mT.unflatten(2, (grid, grid))
                return F.interpolate(passed, out.shape[2:], mode="bilinear")
            before = out.shape[1] - grid**2
            return torch.cat([out[:, :before], image(out[:, before:])], 1)

        def of_text(_: nn.Module, __: object, out: Tensor) -> Tensor:
            return torch.cat([text(out[:, :length]), out[:, length:]], 1)

        towers = ((guest.image_tower, of_picture), (guest.text_tower, of_text))
        with ExitStack() as stack:
            for tower, hook in towers:
                stack.enter_context(guest.net.get_submodule(tower.features).register_forward_hook(hook))
            return super().__call__(patches, pieces)

    @property
    def paired(self) -> nn.Module:
        return self.model

    @property
    def reads(self) -> dict[str, int | None]:
        return {"language": self.model.tokenise(self.text).read, "vision": self.model.image_tower.read}

    def sites(self) -> dict[str, Site]:
        self._one_pass()
        sites = {}
        towers = (("language", self.model.text_tower, "words"), ("vision", self.model.image_tower, "patches"))
        for name, tower, axis_name in towers:
            if tower.attentions:
                sites[name] = Site([f"net.{n}" for n in tower.attentions], axis_name, axis_name)
            if tower.attentions and tower.pool:
                sites[f"{name} pool"] = Site([f"net.{tower.pool}"], axis_name, axis_name)
        return sites

    def traced(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A tower without a class token has none that is pooled but after its last layer, by the attention that pools;
        what it has besides, as registers, counts as that token."""
        traced, patches, length = {}, len(self.patches), len(self.pieces)
        if "language" in maps:
            traced["language"] = maps["language"][..., :length, :length]
        if (vision := maps.get("vision")) is not None:
            others = vision[..., : vision.shape[-1] - patches].sum(-1, keepdim=True)
            columns = torch.cat([others, vision[..., -patches:]], -1)
            first = columns[..., :1, :] if vision.shape[-1] > patches else torch.zeros_like(columns[..., :1, :])
            traced["vision"] = torch.cat([first, columns[..., -patches:, :]], -2)
            pool = maps.get("vision pool")
            if pool is not None and pool.shape[1] == vision.shape[1]:
                traced["vision"][-1, :, 0, 1:] = pool[0, :, 0, -patches:]
        return traced

    def _one_pass(self) -> None:
        if self.left_out is not None:
            raise ConfigError(
                f"target = {shown(self.target.name)}: what a word adds is the difference of two passes, which no "
                "pass's attention or features tell; use a gradient or perturbation method, 'integrated gradients' say"
            )
