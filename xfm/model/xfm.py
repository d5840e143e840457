"""X-FM: three encoders, and the objectives with the heads they own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .. import seeding
from ..config import ModelConfig
from .fusion import FusionEncoder
from .stacks import Stack
from .text import TextEncoder
from .vision import VisionEncoder, sine_cosine


class XFM(nn.Module):
    """`vision`, `text`, `fusion`, and `objectives[name]`, each with its head. Built by `xfm.objectives.build`."""

    def __init__(self, config: ModelConfig, objectives: Mapping[str, nn.Module]):
        super().__init__()
        self.config = config
        self.vision = VisionEncoder(config.vision)
        self.text = TextEncoder(config.text)
        self.fusion = FusionEncoder(config)
        self.objectives = nn.ModuleDict(objectives)

    @property
    def stacks(self) -> dict[str, Stack]:
        """The encoders by what people call them, each with its layers and attentions."""
        return {"language": self.text.stack, "vision": self.vision.stack, "fusion": self.fusion.stack}

    @property
    def device(self) -> torch.device:
        return self.text.token_type.device


@torch.no_grad()
def initialise(model: XFM, seed: int) -> None:
    """Fills every parameter by (seed, its name): an added or removed head changes no other weight.

    X-FM's scheme: encoders' matrices and tables normal with std `config.init_std`, projection out of each vision block
    divided by sqrt(2 (i + 1)), layer scale, relative biases 0; heads and the patch embedding as PyTorch's Linear.
    """
    for name, parameter in model.named_parameters():
        _fill(name, parameter, model, seeding.generator(seed, "init", name))


def _fill(name: str, p: Tensor, model: XFM, g: torch.Generator) -> None:
    config, last = model.config, name.rsplit(".", 1)[-1]
    owner = model.get_submodule(name.rsplit(".", 1)[0])
    if isinstance(owner, nn.LayerNorm):
        p.fill_(last == "weight")
    elif last in ("gamma1", "gamma2"):
        p.fill_(config.vision.layer_scale)
    elif last == "temperature":
        p.fill_(config.temperature)
    elif last == "positions":
        p.copy_(sine_cosine(config.vision.grid, config.vision.width))
    elif "relative_bias" in name:
        p.zero_()
    elif (name.startswith("objectives.") and "lm." not in name) or "patch_embed" in name:
        fan_in = owner.get_parameter("weight").shape[1]
        p.copy_(_draw(torch.Tensor.uniform_, p, g, -(fan_in**-0.5), fan_in**-0.5))
    elif last == "bias":
        p.zero_()
    else:
        p.copy_(_draw(torch.Tensor.normal_, p, g, 0.0, config.init_std))
        if name.startswith("vision.blocks.") and ("attention.out." in name or "mlp.fc2." in name):
            p.div_((2 * (int(name.split(".")[2]) + 1)) ** 0.5)
        if isinstance(owner, nn.Embedding):
            p[owner.padding_idx].zero_()


def _draw(fill, p: Tensor, g: torch.Generator, a: float, b: float) -> Tensor:
    """Drawn on the CPU in float32, so that the weights do not depend on the device or the dtype."""
    return fill(torch.empty(p.shape), a, b, generator=g)
