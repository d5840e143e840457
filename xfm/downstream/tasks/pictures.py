"""Vision: what a drawn picture of one object shows, by full fine-tuning or by a head on frozen features."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import seeding
from ...data.source import Split
from ...data.synthetic import openmoji
from ...data.synthetic.scenes import World
from ...model import XFM
from ..heads import ImageClassifier
from ..task import Answer, Item, Task, TaskBatch, likeliest

__all__ = ["Concept", "LabelledPictures", "Subcategory"]


class LabelledPictures(Task):
    """Pictures of one object, each with one of `labels`, which is read off the mean of the patches."""

    family = "vision"
    needs = frozenset({"objects"})

    @property
    def world(self) -> World:
        return self.data.world

    @abstractmethod
    def label(self, concept: int) -> str: ...

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({self.label(c) for c in self.world.pool("train")}))

    def embedded_item(self, split: Split, index: int) -> Item:
        pool = self.world.pool(split)
        concept = pool[seeding.seed("task", self.name, split, index) % len(pool)]
        scene = self.world.scene(split, index, concepts=(concept,), phrases=False)
        return Item((), (scene.image,), self.label(concept))

    def head(self, model: XFM) -> ImageClassifier:
        return ImageClassifier(model.config.vision.width, len(self.labels))

    def loss(self, model: XFM, head: ImageClassifier, batch: TaskBatch) -> Tensor:
        image = batch.images[0]
        wanted = torch.tensor([self.labels.index(t) for t in batch.targets], device=image.device)
        return F.cross_entropy(head(model, image).float(), wanted)

    def predict(self, model: XFM, head: ImageClassifier, batch: TaskBatch) -> list[Answer]:
        return likeliest(head(model, batch.images[0]), self.labels)


class Concept(LabelledPictures):
    """Which of the world's concepts."""

    name, title = "concept", "concept of a picture"

    def label(self, concept: int) -> str:
        return openmoji.concepts()[concept].name


class Subcategory(LabelledPictures):
    """Which of OpenMoji's subcategories, such as animal-mammal or food-fruit."""

    name, title = "subcategory", "subcategory of a picture"

    def label(self, concept: int) -> str:
        return openmoji.concepts()[concept].subcategory
