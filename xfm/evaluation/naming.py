"""Zero-shot naming of single objects: the class whose texts are nearest to the picture (CLIP)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.grammar import templates
from ..data.scenes import Split
from .result import Result
from .subject import Subject

EACH = 4  # pictures of a concept; of an unseen one, of which there are fewer, twice as many


def score(subject: Subject) -> list[Result]:
    """Accuracy over the world's concepts, and over those that no picture of training shows. Every concept is shown
    equally often. Where the split has no single objects, or no seen ones, only the second is asked."""
    rows = []
    if not subject.split.startswith("unseen"):
        rows = name_all(subject, "naming", subject.split, subject.world.names, EACH)
    return rows + name_all(subject, "naming (unseen concepts)", "unseen_concepts", subject.world.unseen_names, 2 * EACH)


def name_all(subject: Subject, task: str, split: Split, names: Sequence[str], each: int) -> list[Result]:
    shown = [(place, i) for place in subject.world.pool(split) for i in range(each)]
    scenes = [subject.scene(task, i, split, concepts=(place,)) for place, i in shown]
    true = torch.arange(len(names)).repeat_interleave(each)
    right = (subject.image_features(scenes) @ classes(subject, names).T).argmax(1) == true
    return [subject.result(task, "", "accuracy", right.numpy(), 1 / len(names), "chance", 1.0)]


def classes(subject: Subject, names: Sequence[str]) -> Tensor:
    """(C, E) of unit length: of each name the mean over its texts."""
    texts = [templates(name) for name in names]
    features = subject.text_features([text for some in texts for text in some])
    means = [some.mean(0) for some in features.split([len(some) for some in texts])]
    return F.normalize(torch.stack(means), dim=-1)
