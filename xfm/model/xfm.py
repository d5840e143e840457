"""X-FM: three encoders, and the losses with the heads they own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..base import seeding
from ..base.fields import one_of
from ..config import ConfigError, ModelConfig
from .fusion import FusionEncoder
from .openclip_towers import OpenClipText, OpenClipVision
from .stacks import Stack
from .text import BertEncoder, TextEncoder
from .vision import VisionEncoder

# Another encoder is a file in this folder and a line here; it has the methods of the one that is there.
VISION_ENCODERS: dict[str, Callable[..., Any]] = {"beit": VisionEncoder, "open_clip": OpenClipVision}
TEXT_ENCODERS: dict[str, Callable[..., Any]] = {"roberta": TextEncoder, "bert": BertEncoder, "open_clip": OpenClipText}
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d)


def encoders(config: ModelConfig) -> tuple[Any, Any]:
    """The vision encoder's class and the language encoder's. ConfigError for one that there is not."""
    one_of("model.vision.encoder", config.vision.encoder, VISION_ENCODERS)
    one_of("model.text.encoder", config.text.encoder, TEXT_ENCODERS)
    return VISION_ENCODERS[config.vision.encoder], TEXT_ENCODERS[config.text.encoder]


class XFM(nn.Module):
    """`vision`, `text`, `fusion`, and `objectives[name]`, each with its head. Built by `objectives.pretraining.build`.

    ConfigError for an encoder that there is not.
    """

    def __init__(self, config: ModelConfig, objectives: Mapping[str, nn.Module]):
        super().__init__()
        self.config, (vision, text) = config, encoders(config)
        self.vision: VisionEncoder = vision(config.vision)
        self.text: TextEncoder = text(config.text)
        self.fusion, self.objectives = FusionEncoder(config), nn.ModuleDict(objectives)

    @property
    def stacks(self) -> dict[str, Stack]:
        """The encoders by what people call them, each with its layers and attentions."""
        return {"language": self.text.stack, "vision": self.vision.stack, "fusion": self.fusion.stack}

    @property
    def contrastive_name(self) -> str:
        """The loss whose head embeds pictures and texts in one space. ConfigError where the model has none."""
        losses: dict[str, Any] = dict(self.objectives.items())
        if name := next((name for name, loss in losses.items() if "features" in loss.provides), ""):
            return name
        raise ConfigError(f"objectives = {', '.join(losses)}: none has contrastive heads; add itc, at weight 0 perhaps")

    @property
    def contrastive(self) -> Any:
        return self.objectives[self.contrastive_name]

    @property
    def device(self) -> torch.device:
        return next(self.text.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.text.parameters()).dtype

    def is_new_head(self, parameter: str) -> bool:
        """Whether a parameter, by its name, is of a head that no warm start brings."""
        part, _, rest = parameter.partition(".")
        loss: Any = self.objectives[rest.partition(".")[0]] if part == "objectives" else None
        return loss is not None and loss.new_heads


@torch.no_grad()
def initialise(model: XFM, seed: int) -> None:
    """Fills every parameter by (seed, its name): an added or removed head changes no other weight.

    X-FM's scheme: encoders' matrices and tables normal with std `config.init_std`, biases and relative positions 0, the
    projection out of each vision block divided by sqrt(2 (i + 1)); new heads and the patch embedding as PyTorch's
    Linear. An encoder or a loss may say otherwise by `initial_divisor(name)` and, as the module that holds a parameter
    may, by `initial_value(name)`, and `initial_draw(name)`: "normal" with a mean and a deviation, or "uniform" between
    two bounds.
    """
    for name, parameter in model.named_parameters():
        _fill(model, name, parameter, seeding.generator(seed, "init", name))


def _fill(model: XFM, name: str, p: Tensor, g: torch.Generator) -> None:
    path = name.split(".")
    depth = 2 if path[0] == "objectives" else 1
    part: Any = model.get_submodule(".".join(path[:depth]))
    local, module = ".".join(path[depth:]), model.get_submodule(name.rpartition(".")[0])
    value, draw = (
        next((getattr(owner, hook)(local) for owner in (module, part) if hasattr(owner, hook)), None)
        for hook in ("initial_value", "initial_draw")
    )
    if isinstance(module, NORMS):
        p.fill_(path[-1] == "weight")
    elif value is not None:
        p.copy_(torch.as_tensor(value))
    elif draw is not None:
        p.copy_(_drawn(p, g, *draw))
    elif model.is_new_head(name) or local.startswith("patch_embed."):
        bound = module.get_parameter("weight").shape[1] ** -0.5
        p.copy_(_drawn(p, g, "uniform", -bound, bound))
    elif path[-1].endswith("bias"):  # attention's in_proj_bias, too
        p.zero_()
    else:
        p.copy_(_drawn(p, g, "normal", 0.0, model.config.init_std))
        if hasattr(part, "initial_divisor"):
            p.div_(part.initial_divisor(local))
        if isinstance(module, nn.Embedding):
            p[module.padding_idx].zero_()


def _drawn(p: Tensor, g: torch.Generator, fill: str, a: float, b: float) -> Tensor:
    """On the CPU in float32, so that the weights do not depend on the device or the dtype."""
    return getattr(torch.empty(p.shape), f"{fill}_")(a, b, generator=g)
