"""open_clip's towers as encoders: CLIP's, with its projections, from its own start.

open_clip is imported where a tower is made: no other model needs it.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..config import TextConfig, VisionConfig
from .attention import prefers_explicit
from .stacks import AttentionSite, Stack

Draw = tuple[str, float, float]
IMAGE = AttentionSite("attn", "image", "image")


class Projection(nn.Linear):
    """CLIP's, from a tower into the contrastive space: no bias, and drawn wider than PyTorch's Linear."""

    def __init__(self, width: int, outputs: int):
        super().__init__(width, outputs, bias=False)

    def initial_draw(self, _: str) -> Draw:
        return "normal", 0.0, self.in_features**-0.5


class OpenClipVision(nn.Module):
    """`open_clip.transformer.VisionTransformer`: pictures (B, 3, H, W) -> patch tokens (B, P, D) after its last norm,
    whose mean is what it projects (open_clip's `pool_type` "avg"). A tower has neither drop path nor layer scale, and
    always absolute positions: those fields are of no account."""

    stack = Stack("vision", "vision.tower.transformer.resblocks", {"vision": IMAGE}, prefix_tokens=1)
    contrastive_head = Projection
    random = False

    def __init__(self, config: VisionConfig):
        super().__init__()
        from open_clip.transformer import VisionTransformer

        size, patch, width = config.image_size, config.patch_size, config.width
        self.tower: Any = VisionTransformer(size, patch, width, config.depth, config.heads, 4.0, pool_type="avg")
        self.tower.proj = None  # the loss's head
        self.mask_token = nn.Parameter(torch.zeros(width))

    def initial_value(self, name: str) -> float | None:
        """The mask token starts as a patch of the mean colour, since `conv1` has no bias."""
        return 0.0 if name == "mask_token" else None

    def initial_draw(self, name: str) -> Draw | None:
        """PyTorch's defaults, and the class token and the positions by the width (open_clip)."""
        if name in ("tower.class_embedding", "tower.positional_embedding"):
            return "normal", 0.0, self.tower.conv1.out_channels**-0.5
        return _default_draw(self, name)

    def forward(self, image: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Normalised pictures (B, 3, H, W), patches to hide (B, P) bool -> patch tokens (B, P, D)."""
        x = self.embed(image)
        return self.encode(x if hidden is None else torch.where(hidden[..., None], self.mask_token.to(x.dtype), x))

    def embed(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, P, D): each patch by itself, without its place."""
        return self.tower.conv1(image).flatten(2).mT

    def encode(self, x: Tensor) -> Tensor:
        """Embedded patches (B, P, D) -> patch tokens. The class token only takes part, and is dropped."""
        first = self.tower.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        x = torch.cat([first, x], 1) + self.tower.positional_embedding.to(x.dtype)
        return self.tower.ln_post(_blocks(self, self.tower.ln_pre(x)))[:, 1:]


class OpenClipText(nn.Module):
    """`open_clip.transformer.TextTransformer`: token ids and mask (B, L) -> states (B, L, D) after its last norm. A
    token sees those before it, so the last one, `</s>`, stands for the text. It has no dropout."""

    stack = Stack("text", "text.tower.transformer.resblocks", {"language": AttentionSite("attn", "text", "text")})
    contrastive_head = Projection
    random = False

    def __init__(self, config: TextConfig):
        super().__init__()
        from open_clip.transformer import TextTransformer

        positions = config.positions - 2  # the padding rule, which takes the first two, is RoBERTa's
        sizes = positions, config.vocabulary, config.width, config.heads, config.depth
        ratio = (config.intermediate + 0.5) / config.width  # which open_clip multiplies and rounds down
        self.tower: Any = TextTransformer(*sizes, ratio, output_dim=None)

    @property
    def word(self) -> nn.Embedding:
        return self.tower.token_embedding

    def initial_draw(self, name: str) -> Draw | None:
        """open_clip's: its own deviations for the tables and the matrices, PyTorch's defaults for the biases."""
        std = self.tower.width**-0.5
        outward = std * (2 * self.tower.transformer.layers) ** -0.5
        stds = {"token_embedding.weight": 0.02, "positional_embedding": 0.01, "attn.in_proj_weight": std}
        stds |= {"attn.out_proj.weight": outward, "mlp.c_proj.weight": outward}
        stds |= {"mlp.c_fc.weight": (2 * self.tower.width) ** -0.5}
        std = next((std for end, std in stds.items() if name.endswith(end)), None)
        return _default_draw(self, name) if std is None else ("normal", 0.0, std)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token ids and mask (B, L), True where a token is, padding last -> (B, L, D)"""
        return self.encode(self.embed(ids), mask)

    def embed(self, ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, D): what the first layer sees."""
        return self.word(ids) + self.tower.positional_embedding[: ids.shape[1]]

    def encode(self, x: Tensor, mask: Tensor) -> Tensor:
        """Embedded tokens (B, L, D) -> (B, L, D). No token sees one after it, so none sees padding."""
        causal = self.tower.attn_mask[: x.shape[1], : x.shape[1]]
        return self.tower.ln_final(_blocks(self, x, attn_mask=causal))

    def sentence(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, L, D), (B, L) -> (B, D): the state of the last token."""
        return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]


def _blocks(encoder: Any, x: Tensor, **mask: Tensor) -> Tensor:
    """A tower's layers, by SDPA's plain kernel where it trains in bf16 on a CPU: the fused one's backward pass takes
    eight times as long there, more than half of a step."""
    plain = encoder.training and prefers_explicit(x) and torch.is_autocast_enabled("cpu")
    with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
        return encoder.tower.transformer(x, **mask)


def _default_draw(encoder: nn.Module, name: str) -> Draw | None:
    """How PyTorch draws a parameter of Linear, Conv2d (by how many numbers enter) and MultiheadAttention."""
    owner, _, last = name.rpartition(".")
    module: Any = encoder.get_submodule(owner)
    if last == "in_proj_weight":
        bound = (6 / sum(module.in_proj_weight.shape)) ** 0.5  # Xavier's
    elif isinstance(module, nn.Linear | nn.Conv2d) and not name.endswith("out_proj.bias"):
        bound = module.weight[0].numel() ** -0.5
    else:  # attention's biases are 0, norms are filled elsewhere
        return None
    return "uniform", -bound, bound
