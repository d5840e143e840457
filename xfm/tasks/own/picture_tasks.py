"""Vision: what a drawn picture of one object shows, by full fine-tuning or by a head on frozen features.

Tested as well where the world has that: on styles that pre-training did not show; where a label is of many concepts, on
concepts that it did not show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

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

    @property
    def world(self) -> World:
        return self.data.world

    def label(self, concept: int) -> str:
        return getattr(openmoji.concepts()[concept], self.field)

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(sorted({self.label(c) for c in self.world.pool("train")}))

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
            raise ConfigError(
                f"task = {self.name!r}: the run's world of {self.world.concepts} concepts has seen them all"
            )

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(sorted(self.world.unseen_names))

    def concept(self, split: Split, index: int) -> int:
        return super().concept("unseen_concepts", seeding.seed(split, index))

    def tests(self) -> Mapping[str, Sequence[Item]]:
        return {"": self.items("test")}

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
