"""Language: labels of WordNet's sentences and of pairs of them, by GLUE's head (X-FM, 4.1)."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import seeding
from ...data.source import Split
from ...data.wordnet import sentences
from ...model import XFM
from ..heads import TextClassifier
from ..task import Answer, Item, Task, TaskBatch, likeliest

__all__ = ["Hypernym", "LabelledTexts", "Lexname", "SameSynset"]

MOST = {
    "test": 1500,
    "validation": 1000,
    "train": 6000,
}  # a later one has no synset of an earlier one


class LabelledTexts(Task):
    """Texts, or pairs of them, each with one of `labels`, which is read off the text's token 0."""

    family = "language"
    needs = frozenset({"senses"})
    labels: tuple[str, ...]
    tested = MOST["test"]

    @property
    @abstractmethod
    def by_split(self) -> dict[str, list[Item]]: ...

    def embedded_size(self, split: Split) -> int:
        return len(self.by_split[split])

    def embedded_item(self, split: Split, index: int) -> Item:
        return self.by_split[split][index]

    def head(self, model: XFM) -> TextClassifier:
        return TextClassifier(model.config.text.width, len(self.labels))

    def loss(self, model: XFM, head: TextClassifier, batch: TaskBatch) -> Tensor:
        wanted = torch.tensor([self.labels.index(t) for t in batch.targets], device=batch.ids.device)
        return F.cross_entropy(head(model, batch.ids, batch.mask).float(), wanted)

    def predict(self, model: XFM, head: TextClassifier, batch: TaskBatch) -> list[Answer]:
        return likeliest(head(model, batch.ids, batch.mask), self.labels)


class Lexname(LabelledTexts):
    """Which of WordNet's lexicographer files a definition or an example is of."""

    name, title = "lexname", "lexicographer file of a gloss"

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(sorted({s.lexname for s in sentences("train")}))

    @cached_property
    def by_split(self) -> dict[str, list[Item]]:
        found = {}
        for split, most in MOST.items():
            known = [s for s in sentences(split) if s.lexname in self.labels]
            order = seeding.rng("task", self.name, split).permutation(len(known))[:most].tolist()
            found[split] = [Item((known[i].text,), (), known[i].lexname, known[i].synset) for i in order]
        return found


class SameSynset(LabelledTexts):
    """Whether an example is of the synset that a definition defines: as often yes as no, and neither text tells."""

    name, title = "synset", "same synset"
    labels = ("no", "yes")

    @cached_property
    def by_split(self) -> dict[str, list[Item]]:
        return _pairs("same_synset")


class Hypernym(LabelledTexts):
    """Whether the second definition is of a direct hypernym of what the first defines."""

    name, title = "hypernym", "hypernym entailment"
    labels = ("no", "yes")

    @cached_property
    def by_split(self) -> dict[str, list[Item]]:
        return _pairs("hypernym")


def _pairs(relation: str) -> dict[str, list[Item]]:
    from ...evaluation.tasks import sentence_pairs  # late: scikit-learn takes a second

    true_pairs, found, used = getattr(sentence_pairs, relation), dict[str, list[Item]](), set[str]()
    for split, most in MOST.items():
        rng = seeding.rng("task", relation, split)
        drawn = sentence_pairs.draw_pairs(rng, true_pairs(sentences(split)), most // 2, used)
        used |= {s.synset for pair in drawn for s in (pair.first, pair.second)}
        found[split] = [Item((p.first.text, p.second.text), (), p.label, p.group) for p in drawn]
    return found
