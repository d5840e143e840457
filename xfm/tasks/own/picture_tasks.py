"""Vision: what a drawn picture of one object shows, by full fine-tuning or by a head on frozen features.

Tested as well where the world has that: on styles that pre-training did not show; where a label is of many concepts, on
concepts that it did not show. Animals and plants also by prompts, as in "Leveraging Vision-Language Foundation Models
for Fine-Grained Downstream Tasks" (2307.06795).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...base import seeding
from ...config import ConfigError
from ...data.source import Split
from ...data.world import openmoji
from ...data.world.scenes import ATTEMPTS, Scene, World
from ...data.world.styles import STYLES
from ...model import XFM
from ..baselines import from_pixels
from ..finetuning.labelled import Labelled
from ..finetuning.task import Item, TaskBatch
from ..finetuning.task_heads import ImageClassifier

ANIMALS = "Animals & Nature"  # and plants: a category of OpenMoji
TENTHS: dict[int, Split] = {0: "test", 1: "test", 2: "validation"}  # of an unseen concept's pictures; else train


class Pictures(Labelled):
    """Pictures whose label is read off the mean of the patches."""

    family = "vision"
    other_head = "five layers on the mean of the patches"
    baseline_name = "raw pixels"
    baseline_items = 2000

    def head(self, model: XFM) -> ImageClassifier:
        return ImageClassifier(model.config.vision.width, len(self.labels), self.published)

    def logits(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor:
        return head(model, batch.images[0])

    def baseline(self, train: Sequence[Item]) -> Callable[[Sequence[Item]], list[Any]] | None:
        return from_pixels(train, self.config.model.vision.width, self.picture)


class DrawnPictures(Pictures):
    """Of one object each, drawn by the world."""

    needs = frozenset({"objects"})
    field: ClassVar[str]  # of a concept of OpenMoji, which is the label

    def label(self, concept: int) -> str:
        return getattr(openmoji.concepts()[concept], self.field)

    @cached_property
    def concepts(self) -> Sequence[int]:
        """Those that labels are of."""
        return self.world.pool("train")

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(sorted({self.label(c) for c in self.concepts}))

    def concept(self, split: Split, index: int) -> int:
        pool = self.world.pool(split)
        return pool[seeding.seed("task", self.name, split, index) % len(pool)]

    def label_of(self, split: Split, index: int) -> str:
        """Without drawing it."""
        return self.label(self.concept(split, index))

    def embedded_item(self, split: Split, index: int) -> Item:
        return self._drawn(self.world, split, index)

    def tests(self) -> Mapping[str, Sequence[Item]]:
        world, tests = self.world, {"": self.items("test")}
        if others := tuple(style for style in STYLES if style not in world.styles):
            elsewhere = replace(world, styles=others)
            tests["held-out style"] = [self._drawn(elsewhere, "test", i) for i in range(self.tested)]
        if nameable := {c for c in world.pool("unseen_concepts") if self.label(c) in self.labels}:
            places = (i for i in range(self.tested) if self.concept("unseen_concepts", i) in nameable)
            tests["unseen concepts"] = [self._drawn(world, "unseen_concepts", i) for i in places]
        return tests

    def _drawn(self, world: World, split: Split, index: int) -> Item:
        concept = self.concept(split, index)
        scene = world.scene(split, index, concepts=(concept,), phrases=False)
        return Item((), (scene.image,), self.label(concept))


class Concept(DrawnPictures):
    """Which of the world's concepts."""

    name, title, field = "concept", "concept of a picture", "name"


class Subcategory(DrawnPictures):
    """Which of OpenMoji's subcategories, such as animal-mammal or food-fruit."""

    name, title, field = "subcategory", "subcategory of a picture", "subcategory"


class Category(DrawnPictures):
    """Which of OpenMoji's categories, such as Animals & Nature."""

    name, title, field = "category", "category of a picture", "category"


class UnseenConcept(Concept):
    """Which of the concepts that pre-training did not show, learnt from other pictures of them."""

    name, title = "unseen_concept", "concept of a picture (unseen concepts)"

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        if not self.world.unseen_names:
            seen = f"the run's world of {self.world.concepts} concepts has seen them all"
            raise ConfigError(f"task = {self.name!r}: {seen}")

    @cached_property
    def concepts(self) -> Sequence[int]:
        return self.world.pool("unseen_concepts")

    def concept(self, split: Split, index: int) -> int:
        return super().concept("unseen_concepts", seeding.seed(split, index))

    tests = Pictures.tests  # of no further styles and concepts

    def _drawn(self, world: World, split: Split, index: int) -> Item:
        concept = self.concept(split, index)
        return Item((), (self._of_part(world, split, index, concept).image,), self.label(concept))

    def _of_part(self, world: World, split: Split, index: int, concept: int) -> Scene:
        """The first of draws whose content puts it in the split: the world has no such splits of unseen concepts."""
        for attempt in range(ATTEMPTS):
            key = seeding.seed("part", split, index, attempt)
            scene = world.scene("unseen_concepts", key, concepts=(concept,), phrases=False)
            if TENTHS.get(seeding.seed("part", scene.content) % 10, "train") == split:
                return scene
        raise RuntimeError(f"{ATTEMPTS} draws gave no picture of concept {concept} for {split}")


class Fine(Concept):
    """Which animal or plant, by full fine-tuning with a linear head: what the prompts are compared with."""

    name, title = "fine", "animals and plants, linear head"

    @cached_property
    def concepts(self) -> Sequence[int]:
        return [c for c in self.world.pool("train") if openmoji.concepts()[c].category == ANIMALS]

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
        names = [f"of a {name}" for name in self.labels]
        names += [f"{has} a {f.replace('-', ' ')}" for f in self.families for has in ("of", "without")]
        return [self.tokenizer.encode(f"a picture {name}", self.config.data.text_tokens) for name in names]

    def head(self, model: XFM) -> PromptHead:  # type: ignore[override]
        return PromptHead(model)

    def loss(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor:
        classes, pairs = self._logits(model, head, batch)
        wanted = torch.tensor([self.labels.index(t) for t in batch.targets], device=classes.device)
        lacks = [self.family_of[t] != family for t in batch.targets for family in self.families]
        of_families = F.cross_entropy(pairs.flatten(0, 1), torch.tensor(lacks, device=classes.device).long())
        return F.cross_entropy(classes, wanted) + of_families

    def logits(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor:
        return self._logits(model, head, batch)[0]

    def _logits(self, model: XFM, head: PromptHead, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """(B, classes), and (B, families, 2): has it, has it not"""
        ids, mask = (x.to(batch.images[0].device) for x in self.tokenizer.pad(self.prompts))
        logits = head(model, batch.images[0], ids, mask).float()
        return logits[:, : len(self.labels)], logits[:, len(self.labels) :].unflatten(1, (-1, 2))
