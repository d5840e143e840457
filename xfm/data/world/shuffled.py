"""The drawn world with training texts that do not fit their pictures (Adebayo et al., 2018, data randomisation)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...base import seeding
from .scenes import Scene, Split, World


@dataclass(frozen=True)
class Shuffled(World):
    """A model learns pictures and texts here, and nothing of how they correspond. Other splits are not shuffled."""

    name = "shuffled"

    def scene(
        self,
        split: Split,
        index: int,
        objects: int | tuple[int, int] | None = None,
        seed: int = 0,
        concepts: tuple[int, ...] = (),
        phrases: bool = True,
    ) -> Scene:
        """Texts, and the boxes that they refer to, of one scene, with the picture of another of as many objects."""
        scene = super().scene(split, index, objects, seed, concepts, phrases)
        if split != "train":
            return scene
        other = super().scene(split, index, len(scene.objects), seeding.seed("shuffled", seed))
        return replace(scene, image=other.image, credit=other.credit)
