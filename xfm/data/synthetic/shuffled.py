"""The world with training texts that do not fit their pictures (Adebayo et al., 2018, data randomisation)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ... import seeding
from .scenes import Scene, Split, World


@dataclass(frozen=True)
class Shuffled(World):
    """What a model learns here it learns of pictures and of texts, and nothing of what they have to do with each other.

    Only training is shuffled: every other split stays as it is.
    """

    def scene(
        self,
        split: Split,
        index: int,
        objects: int | tuple[int, int] | None = None,
        seed: int = 0,
        concepts: tuple[int, ...] = (),
        phrases: bool = True,
    ) -> Scene:
        """Texts, and the boxes that they speak of, of one scene, beside the picture of another with as many objects."""
        said = super().scene(split, index, objects, seed, concepts, phrases)
        if split != "train":
            return said
        other = super().scene(split, index, len(said.objects), seeding.seed("shuffled", seed))
        return replace(said, image=other.image)
