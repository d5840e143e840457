"""A moving average of the vision encoder as MIM's teacher, and data2vec's way to read it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class EmaTeacher:
    """Normalised pictures (B, 3, H, W) -> the averaged encoder's patch tokens (B, P, D), its weights after each step
    momentum * average + (1 - momentum) * weights, from those that training starts with (Tarvainen and Valpola 2017,
    1703.01780). No part of the model: never trained, never in train mode."""

    parts: tuple[str, ...] = ("vision",)  # of the model, that are averaged

    def __init__(self, model: Any, momentum: float) -> None:
        self.model, self.momentum = model, momentum
        copies = {name: copy.deepcopy(model.get_submodule(name)) for name in self.parts}
        self.average: dict[str, Any] = {name: part.eval().requires_grad_(False) for name, part in copies.items()}

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        return self.average["vision"](pictures)

    @torch.no_grad()
    def update(self) -> None:
        """After an optimizer's step."""
        for name, average in self.average.items():
            for mean, now in zip(average.parameters(), self.model.get_submodule(name).parameters(), strict=True):
                mean.lerp_(now, 1 - self.momentum)

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resume needs; the tensors themselves."""
        return {f"{name}.{n}": p.data for name, part in self.average.items() for n, p in part.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])


class TopLayers(EmaTeacher):
    """data2vec's target (Baevski et al. 2022, 2202.03555, section 3.3): the outputs of the averaged encoder's top K
    layers, each token of each normalised, then their mean, normalised again."""

    def __init__(self, model: Any, momentum: float, top: int) -> None:
        super().__init__(model, momentum)
        stack = model.vision.stack
        layers = self.average["vision"].get_submodule(stack.layers.partition(".")[2])
        self.prefix, self.seen = stack.prefix_tokens, threading.local()  # shards ask at the same time
        for layer in [*layers][-top:]:
            layer.register_forward_hook(lambda *call: vars(self.seen).get("outputs", []).append(call[-1]))

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        self.seen.outputs = []
        super().__call__(pictures)
        outputs = vars(self.seen).pop("outputs")
        states = [F.layer_norm(states[:, self.prefix :], states.shape[-1:]) for states in outputs]
        return F.layer_norm(torch.stack(states).mean(0), states[0].shape[-1:])
