"""Image-text contrast, open_clip's ClipLoss bit for bit: the one multimodal loss that reaches the language encoder."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import RunConfig
from ..flow import Flow
from ..model import encoders
from ..model.batch import LossOut
from ..model.replicas import gathered
from .base import Level, Measure, Objective, widen

RANGE = (0.001, 0.5)  # of the temperature


class ITC(Objective):
    """Its projections and temperature are also what hard negatives and retrieval are found by."""

    title = "image–text contrast"
    streams = ("pairs", "regions")
    reads = ("text", "image", "features")
    provides = ("features",)
    accuracy_key = "accuracy"

    def __init__(self, config: RunConfig):
        super().__init__()
        model = config.model
        self.initial_temperature = model.temperature
        image, text = (getattr(encoder, "contrastive_head", nn.Linear) for encoder in encoders(model))
        self.image: nn.Linear = image(model.vision.width, model.embed_dim)
        self.text: nn.Linear = text(model.text.width, model.embed_dim)
        self.temperature = nn.Parameter(torch.tensor(model.temperature))

    @classmethod
    def chance(cls, config: RunConfig, stream: str, measure: Measure = "loss") -> Level | None:
        batch = getattr(config.data, stream) // config.train.accumulate  # a part contrasts with itself
        return (math.log(batch), f"chance, ln {batch}") if measure == "loss" else (1 / batch, f"chance, 1 in {batch}")

    def initial_value(self, name: str) -> float | None:
        return self.initial_temperature if name == "temperature" else None

    @torch.no_grad()
    def constrain(self) -> None:
        """The temperature into [0.001, 0.5], as the published code does before every multimodal forward."""
        self.temperature.clamp_(*RANGE)

    def embed_image(self, pooled: Tensor) -> Tensor:
        """(B, D) -> (B, E) of unit length"""
        return F.normalize(widen(self.image(pooled)), dim=-1)

    def embed_text(self, sentence: Tensor) -> Tensor:
        """(B, D) -> (B, E) of unit length"""
        return F.normalize(widen(self.text(sentence)), dim=-1)

    def forward(self, flow: Flow) -> LossOut:
        image, text = flow.features
        images, texts, scale = gathered(image), gathered(text), 1 / self.temperature
        labels = torch.arange(len(texts), device=texts.device)
        texts_of = scale * images @ texts.T
        image_to_text = F.cross_entropy(texts_of, labels)
        text_to_image = F.cross_entropy(scale * texts @ images.T, labels)  # a transpose would have other last bits
        correct = texts_of.argmax(1) == labels  # of all peers, whose parts of a batch may differ in length
        return LossOut((image_to_text + text_to_image) / 2, {"accuracy": correct.float().mean()})
