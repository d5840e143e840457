"""Zero-shot naming of single objects: the class whose texts are nearest to the picture (CLIP)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.grammar import templates
from .result import Result
from .subject import Subject

EACH = 4  # pictures of a concept; of an unseen one, of which there are fewer, twice as many


def score(subject: Subject) -> list[Result]:
    """Accuracy over the world's concepts, each shown equally often, and over those that no picture of training shows.

    The second is the same for every split; the `unseen` splits have no seen concept alone, so only that.
    """
    unseen = replace(subject, split="unseen_concepts")
    rows = name_all(unseen, "naming (unseen concepts)", subject.world.unseen_names, 2 * EACH)
    return rows if subject.split.startswith("unseen") else name_all(subject, "naming", subject.world.names, EACH) + rows


def name_all(subject: Subject, task: str, names: Sequence[str], each: int) -> list[Result]:
    shown = [(place, i) for place in subject.world.pool(subject.split) for i in range(each)]
    scenes = [subject.scene(task, i, concepts=(place,)) for place, i in shown]
    true = torch.arange(len(names)).repeat_interleave(each)
    right = (subject.image_features(scenes) @ classes(subject, names).T).argmax(1) == true
    return [subject.result(task, "", "accuracy", right.numpy(), 1 / len(names), "chance", 1.0)]


def classes(subject: Subject, names: Sequence[str]) -> Tensor:
    """(C, E) of unit length: of each name the mean over its texts."""
    texts = [templates(name) for name in names]
    features = subject.text_features([text for some in texts for text in some])
    means = [some.mean(0) for some in features.split([len(some) for some in texts])]
    return F.normalize(torch.stack(means), dim=-1)
