"""The vision encoder: a BEiT-v2-style transformer whose token 0 is the mean of its normalised patches (X-FM, 3.1)."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from ..config import VisionConfig
from .blocks import VisionBlock
from .stacks import AttentionSite, Stack


def patchify(image: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, P, 3 size²), patches row by row, each as (channel, y, x)."""
    return rearrange(image, "b c (y p) (x q) -> b (y x) (c p q)", p=size, q=size)


def relative_index(grid: int) -> Tensor:
    """(S, S) rows of a relative-bias table of (2 grid - 1)² + 3 rows: query a, key b; the last three are the class
    token's: class to any, any to class, class to class."""
    y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    dy, dx = (v.flatten()[:, None] - v.flatten()[None, :] + grid - 1 for v in (y, x))
    rows = (2 * grid - 1) ** 2 + 3
    index = torch.full((grid**2 + 1, grid**2 + 1), rows - 1)
    index[1:, 1:] = dy * (2 * grid - 1) + dx
    index[0, 1:], index[1:, 0] = rows - 3, rows - 2
    return index


def sine_cosine(grid: int, width: int) -> Tensor:
    """(P, D) fixed 2-D positions (MoCo v3): half the width for y, half for x. A start, not a constant."""
    frequency = 10000 ** -(torch.arange(width // 4) / (width // 4))
    y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    angles = [v.flatten()[:, None] * frequency for v in (y, x)]
    return torch.cat([f(a) for a in angles for f in (torch.sin, torch.cos)], 1)


class VisionEncoder(nn.Module):
    """BEiT-v2 with relative positions in every block: pictures (B, 3, H, W) -> patch tokens (B, P, D)."""

    stack = Stack("vision", "vision.blocks", {"vision": AttentionSite("attention", "image", "image")},
                  per_layer=("vision.relative_bias",), prefix_tokens=1)  # fmt: skip

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = config
        self.random = config.drop_path > 0
        width, depth = config.width, config.depth
        self.patch_embed = nn.Linear(3 * config.patch_size**2, width)
        self.cls_token, self.mask_token = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        if config.absolute_positions:
            self.positions = nn.Parameter(sine_cosine(config.grid, width))
        self.blocks = nn.ModuleList(
            VisionBlock(width, config.heads, config.drop_path * i / max(depth - 1, 1)) for i in range(depth)
        )
        rows = (2 * config.grid - 1) ** 2 + 3
        self.relative_bias = nn.ParameterList(nn.Parameter(torch.zeros(rows, config.heads)) for _ in range(depth))
        self.register_buffer("relative_index", relative_index(config.grid), persistent=False)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def initial_value(self, name: str) -> Tensor | float | None:
        """What a parameter starts as, where that is not drawn."""
        if name == "positions":
            return sine_cosine(self.config.grid, self.config.width)
        if name.startswith("relative_bias."):
            return 0.0
        return self.config.layer_scale if name.endswith((".gamma1", ".gamma2")) else None

    def initial_divisor(self, name: str) -> float:
        """The projections out of block i are divided by sqrt(2 (i + 1)) (BEiT)."""
        outward = name.startswith("blocks.") and name.endswith((".attention.out.weight", ".mlp.fc2.weight"))
        return (2 * (int(name.split(".")[1]) + 1)) ** 0.5 if outward else 1.0

    def forward(self, image: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Normalised pictures (B, 3, H, W), patches to hide (B, P) bool -> normalised patch tokens (B, P, D).

        All patches, hidden ones too, go through every block.
        """
        x = self.embed(image)
        if hidden is not None:
            x = torch.where(hidden[..., None], self.mask_token.to(x.dtype), x)
        return self.encode(x)

    def embed(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, P, D): each patch by itself, without its place."""
        return self.patch_embed(patchify(image, self.config.patch_size))

    def encode(self, x: Tensor) -> Tensor:
        """Embedded patches (B, P, D) -> normalised patch tokens. The class token only takes part: patches attend to it,
        and it is dropped."""
        if self.config.absolute_positions:
            x = x + self.positions
        x = torch.cat([repeat(self.cls_token.to(x.dtype), "d -> b 1 d", b=len(x)), x], 1)
        for block, table in zip(self.blocks, self.relative_bias, strict=True):
            x = block(x, rearrange(table[self.relative_index], "q k h -> h q k"))
        return self.norm(x[:, 1:])
