"""Language: labels of WordNet's sentences and of pairs of them, by GLUE's head (X-FM, 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...base import seeding
from ...data.source import Split
from ...data.wordnet import Sentence, sentences
from ...model import XFM
from ..baselines import from_words
from ..finetuning.labelled import Labelled
from ..finetuning.task import Hidden, Item, TaskBatch
from ..finetuning.task_heads import PairClassifier, TextClassifier
from ..world.sentence_pairs import draw_pairs, hypernym, same_synset

MOST = {"test": 1500, "validation": 1000, "train": 6000}  # a later one has no synset of an earlier one


class Texts(Labelled):
    """Texts, or pairs of them as one, whose label is read off token 0."""

    family = "language"
    baseline_name = "bag of words"

    def head(self, model: XFM) -> nn.Module:
        return TextClassifier(model.config.text.width, len(self.labels))

    def logits(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor:
        return head(model, batch.ids, batch.mask)

    def baseline(self, train: Sequence[Item]) -> Callable[[Sequence[Item]], list[Any]] | None:
        return from_words(train)


class EmbeddedTexts(Texts):
    """WordNet's."""

    needs = frozenset({"senses"})
    tested = MOST["test"]

    by_split: dict[str, list[Item]]

    def embedded_size(self, split: Split) -> int:
        return len(self.by_split[split])

    def embedded_item(self, split: Split, index: int) -> Item:
        return self.by_split[split][index]


class Lexname(EmbeddedTexts):
    """Which of WordNet's lexicographer files a definition or an example is of."""

    name, title = "lexname", "lexicographer file of a gloss"

    @cached_property
    def labels(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(sorted({s.lexname for s in sentences("train")}))

    @cached_property
    def by_split(self) -> dict[str, list[Item]]:  # type: ignore[override]
        by_split = {}
        for split, most in MOST.items():
            labelled = [s for s in sentences(split) if s.lexname in self.labels]
            order = seeding.rng("task", self.name, split).permutation(len(labelled))[:most].tolist()
            by_split[split] = [Item((s.text,), (), s.lexname, s.synset) for s in (labelled[i] for i in order)]
        return by_split


class EmbeddedPairs(EmbeddedTexts):
    """Two texts, encoded apart; `published`: as one, as GLUE's."""

    labels = ("no", "yes")
    other_head = "both texts as one, as GLUE's"
    relation: ClassVar[str]
    related: ClassVar[Callable[[Any], Iterable[tuple[Sentence, Sentence]]]]  # sentences -> pairs of the relation

    @cached_property
    def by_split(self) -> dict[str, list[Item]]:  # type: ignore[override]
        by_split, used = dict[str, list[Item]](), set[str]()
        for split, most in MOST.items():
            rng = seeding.rng("task", self.relation, split)
            pairs = draw_pairs(rng, type(self).related(sentences(split)), most // 2, used)
            used |= {s.synset for pair in pairs for s in (pair.first, pair.second)}
            by_split[split] = [pair.item for pair in pairs]
        return by_split

    def batch(self, items: Sequence[Item], device: torch.device, hidden: Hidden = "") -> TaskBatch:
        """Ids and mask are (2 B, L), all the first texts before all the second."""
        if self.published:
            return super().batch(items, device, hidden)
        apart = [replace(item, texts=(item.texts[which],)) for which in (0, 1) for item in items]
        return replace(super().batch(apart, device, hidden), targets=tuple(item.target for item in items))

    def head(self, model: XFM) -> nn.Module:
        return super().head(model) if self.published else PairClassifier(model.config.text.width, len(self.labels))


class SameSynset(EmbeddedPairs):
    """Whether an example is of the synset that a definition defines: as often yes as no, and neither text tells."""

    name, title = "synset", "same synset"
    relation, related = "same_synset", staticmethod(same_synset)


class Hypernym(EmbeddedPairs):
    """Whether the second definition is of a direct hypernym of what the first defines."""

    name, title = "hypernym", "hypernym entailment"
    relation, related = "hypernym", staticmethod(hypernym)
