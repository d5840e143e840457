"""Fine-grained recognition of animals and plants, by a linear head and by prompts ("Leveraging Vision-Language
Foundation Models for Fine-Grained Downstream Tasks", 2307.06795)."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...base import seeding
from ...data.source import Split
from ...data.world import openmoji
from ...model import XFM
from ..finetuning.labelled import likeliest
from ..finetuning.task import Answer, TaskBatch
from .picture_tasks import Concept

CATEGORY = "Animals & Nature"


class Fine(Concept):
    """Which animal or plant, by full fine-tuning with a linear head: what the prompts are compared with."""

    name, title = "fine", "animals and plants, linear head"

    @cached_property
    def concepts(self) -> tuple[int, ...]:
        return tuple(c for c in self.world.pool("train") if openmoji.concepts()[c].category == CATEGORY)

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(sorted(self.label(c) for c in self.concepts))

    def concept(self, split: Split, index: int) -> int:
        return self.concepts[seeding.seed("task", "fine", split, index) % len(self.concepts)]


class PromptHead(nn.Module):
    """ITC's projections and temperature, copied: what compares pictures with prompts."""

    def __init__(self, model: XFM):
        super().__init__()
        self.itc: Any = copy.deepcopy(model.objectives["itc"])

    def forward(self, model: XFM, images: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Normalised pictures (B, 3, H, W), T prompts (T, L) and their mask -> logits (B, T)"""
        image = self.itc.embed_image(model.vision(images).mean(1))
        text = self.itc.embed_text(model.text.sentence(model.text(ids, mask), mask))
        return image @ text.T / self.itc.temperature


class FinePrompts(Fine):
    """The same by prompts alone, two tasks at once: which class ("a picture of a lion"), and of each family of classes
    (OpenMoji's subcategory) whether the picture has it, by the odds of a positive and a negative prompt ("a picture of
    an animal mammal", "a picture without an animal mammal"). No layer is new; both encoders learn."""

    name, title = "fine_prompts", "animals and plants, positive and negative prompts"
    heads = ("itc",)
    other_head = ""

    @cached_property
    def families(self) -> tuple[str, ...]:
        return tuple(sorted({openmoji.concepts()[c].subcategory for c in self.concepts}))

    @cached_property
    def family_of(self) -> dict[str, str]:
        return {self.label(c): openmoji.concepts()[c].subcategory for c in self.concepts}

    @cached_property
    def prompts(self) -> list[list[int]]:
        """Tokens of a prompt for each label, then a positive and a negative one for each family."""
        words = [f"a picture of a {name}" for name in self.labels]
        for family in (f.replace("-", " ") for f in self.families):
            words += [f"a picture of a {family}", f"a picture without a {family}"]
        return [self.tokenizer.encode(text, self.config.data.text_tokens) for text in words]

    def head(self, model: XFM) -> PromptHead:  # type: ignore[override]
        return PromptHead(model)

    def loss(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor:
        classes, pairs = self._logits(model, head, batch)
        wanted = torch.tensor([self.labels.index(t) for t in batch.targets], device=classes.device)
        lacks = [self.family_of[t] != family for t in batch.targets for family in self.families]
        of_families = F.cross_entropy(pairs.flatten(0, 1), torch.tensor(lacks, device=classes.device).long())
        return F.cross_entropy(classes, wanted) + of_families

    def predict(self, model: XFM, head: Any, batch: TaskBatch) -> list[Answer]:
        return likeliest(self._logits(model, head, batch)[0], self.labels)

    def _logits(self, model: XFM, head: PromptHead, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """(B, classes), and (B, families, 2): has it, has it not"""
        ids, mask = (x.to(batch.images[0].device) for x in self.tokenizer.pad(self.prompts))
        logits = head(model, batch.images[0], ids, mask).float()
        return logits[:, : len(self.labels)], logits[:, len(self.labels) :].unflatten(1, (-1, 2))
