"""Zero-shot naming of single objects: the class whose texts are nearest to the picture (CLIP)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ...data.synthetic.grammar import templates
from ..context import EvalContext
from ..result import Result

EACH = 4  # pictures of a concept; of an unseen one, of which there are fewer, twice as many


def score(subject: EvalContext) -> list[Result]:
    """Accuracy over the world's concepts, each shown equally often, and over those that no picture of training shows.

    The second is the same for every split; the `unseen` splits have no seen concept alone, so only that.
    """
    seen = [] if subject.split.startswith("unseen") else name_all(subject, "naming", subject.world.names, EACH)
    if not subject.world.unseen_names:
        return seen
    unseen = replace(subject, split="unseen_concepts")
    return seen + name_all(unseen, "naming (unseen concepts)", subject.world.unseen_names, 2 * EACH)


def name_all(subject: EvalContext, task: str, names: Sequence[str], each: int) -> list[Result]:
    shown = [(place, i) for place in subject.world.pool(subject.split) for i in range(each)]
    scenes = [subject.scene(task, i, concepts=(place,)) for place, i in shown]
    true = [n for n in range(len(names)) for _ in range(each)]
    right = (subject.image_features(scenes) @ classes(subject, names)).argmax(1).numpy() == true
    return [subject.result(task, "", "accuracy", right, 1 / len(names), "chance", 1.0)]


def classes(subject: EvalContext, names: Sequence[str]) -> Tensor:
    """(E, C) of unit length: of each name the mean over its texts, by open_clip."""
    from open_clip import build_zero_shot_classifier  # seconds to import

    in_words = [lambda name, i=i: templates(name)[i] for i in range(len(templates("")))]
    return build_zero_shot_classifier(TextTower(subject), Texts, names, in_words, num_classes_per_batch=None)


class Texts(list[str]):
    """What open_clip takes for tokens: the subject has its own tokenizer."""

    def to(self, device: object) -> Texts:
        return self


@dataclass(frozen=True)
class TextTower:
    subject: EvalContext

    def encode_text(self, texts: Texts, normalize: bool) -> Tensor:
        return self.subject.text_features(texts)
