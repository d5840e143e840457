"""Zero-shot classification of single objects: the class whose texts are nearest to the picture (CLIP)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..context import EvalContext
from ..finetuning.image_recognition import Recognition, zero_shot
from ..result import Result

NEEDS = ("objects",)
EACH = 4  # pictures of a concept; of an unseen one, of which there are fewer, twice as many


def score(context: EvalContext) -> list[Result]:
    """Accuracy over the world's concepts, each shown equally often, and over those that no training picture shows.

    The second is the same for every split; the unseen splits have no seen concept alone, so only that.
    """
    seen = [] if context.unseen else [_row(context, "naming", context.world.names, EACH)]
    if not context.world.unseen_names:
        return seen
    unseen = replace(context, split="unseen_concepts")
    return [*seen, _row(unseen, "naming (unseen concepts)", context.world.unseen_names, 2 * EACH)]


def _row(context: EvalContext, task: str, names: Sequence[str], count: int) -> Result:
    return context.result(task, "", "accuracy", classify(context, task, names, count), (1 / len(names), "chance"), 1.0)


def classify(context: EvalContext, task: str, names: Sequence[str], count: int) -> np.ndarray:
    """(n,) bool: whether the model chooses the right one of the split's `names`; `count` pictures of each concept."""
    concepts = [(concept, i) for concept in context.world.pool(context.split) for i in range(count)]
    scenes = [context.scene(task, i, concepts=(concept,)) for concept, i in concepts]
    labels = [n for n in range(len(names)) for _ in range(count)]
    return zero_shot(Recognition(context), context.image_features(scenes), names) == labels
