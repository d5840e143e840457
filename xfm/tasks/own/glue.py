"""Language: GLUE, from its files as published (gluebenchmark.com).

`--data` is the task's own folder: train.tsv and dev.tsv; MRPC's may be the two that Microsoft distributes, MNLI has
dev_matched.tsv and dev_mismatched.tsv. GLUE keeps the labels of its tests, so what is published is measured on dev:
here that is the test split, which chooses nothing, and validation is a twentieth of train, by the first text.

`--published` trains as the table says; published are the results of the base model (4 M pictures), on dev.

| | CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| lr | 3e-5 | 2e-5 | 5e-5 | 5e-5 | 2e-5 | 2e-5 | 2e-5 | 1e-5 |
| epochs | 20 | 3 | 20 | 20 | 5 | 5 | 3 | 20 |
| batch | 32 | 32 | 32 | 32 | 32 | 32 | 32 | 16 |
| metric | Matthews | acc | (acc + F1) / 2 | Pearson | acc, F1 | acc of both | acc | acc |
| published | 65.3 | 95.0 | 91.7 | 90.8 | 91.8 | 87.7 | 92.9 | 83.8 |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...base import seeding
from ...base.fields import one_of
from ...base.strings import shown
from ...config import ConfigError
from ...data.source import Split
from ...files.readers.records import spelt
from ...model import XFM
from ...model.batch import END
from ..baselines import from_words
from ..finetuning.glue_files import rows
from ..finetuning.protocol import Protocol
from ..finetuning.task import Answer, Item, TaskBatch, Trainable
from ..finetuning.task_heads import TextClassifier
from ..result import Measure, binary_f1, f1, matthews, pearson
from .text_tasks import Texts

TOKENS = 128  # of a text, or of both
VALIDATION = 20  # one of so many first texts of train
NUMBER = {"0": 0, "1": 1}
ENTAILMENT = {"entailment": "entailment", "not_entailment": "not_entailment"}
JUDGED = {"entailment": "entailment", "neutral": "neutral", "contradiction": "contradiction"}
SCORES = 0.0, 5.0  # of STS-B

mean_of_both = Measure("mean of accuracy and F1", binary_f1.of_items, lambda m: (m[..., 0] + m[..., 3] + f1(m)) / 2)


class GlueFiles(Trainable):
    """What is read from the files of a task of GLUE."""

    family = "language"
    embedded = False
    reads: ClassVar[str] = "GLUE's folder of the task, with train.tsv and dev.tsv"
    columns: ClassVar[tuple[str, ...]] = ("sentence1", "sentence2")
    label_column: ClassVar[str] = "label"
    header: ClassVar[tuple[str, ...]] = ()  # of files that have none
    train_files: ClassVar[tuple[str, ...]] = ("train.tsv",)  # the first that is there
    test_files: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = (("", ("dev.tsv",)),)  # of each test, by its name

    def parsed(self, where: str, cell: str) -> Any:
        """A label as it stands in the file -> the target. ConfigError where it is none."""
        raise NotImplementedError

    def read(self, split: Split) -> list[Item]:
        if split == "test":
            return [item for items in self._tested.values() for item in items]
        if not (items := self._trained[split]):
            raise ConfigError(f"{self._file(self.train_files)}: is too small: no first text is left for {split}")
        return items

    def tests(self) -> Mapping[str, Sequence[Item]]:
        return self._tested

    @cached_property
    def _tested(self) -> dict[str, list[Item]]:
        return {name: self._items(self._file(files)) for name, files in self.test_files}

    @cached_property
    def _trained(self) -> dict[str, list[Item]]:
        """Items of one first text are in one of the two."""
        items = self._items(self._file(self.train_files), training=True)
        keys = {text: seeding.seed("validation", text) for text in {item.texts[0] for item in items}}
        held_out = {text for text, key in keys.items() if key % VALIDATION == 0} or {min(keys, key=keys.__getitem__)}
        train, validation = ([i for i in items if (i.texts[0] in held_out) == held] for held in (False, True))
        return {"train": train, "validation": validation}

    def _file(self, names: Sequence[str]) -> Path:
        paths = [spelt(Path(self.path, name)) for name in names]
        if not (existing := [path for path in paths if path.is_file()]):
            raise ConfigError(f"data = {shown(self.path)}: has no {' and no '.join(names)}; --data takes {self.reads}")
        return existing[0]

    def _items(self, path: Path, training: bool = False) -> list[Item]:
        return [
            Item(tuple(row[name] for name in self.columns), (), self.parsed(f"{where}: label", row[self.label_column]))
            for where, row in rows(path, self.columns, self.label_column, self.header, training)
        ]

    def encode(self, texts: Sequence[str]) -> list[int]:
        """As `Trainable.encode`, but cut to TOKENS in all: of two texts, the longer one first."""
        most = min(TOKENS, self.config.model.text.positions - 2)
        ids = [self.tokenizer.encode(text, most) for text in texts]
        lengths = [len(row) for row in ids]
        while sum(lengths) > most:
            lengths[0 if lengths[0] > lengths[-1] else -1] -= 1
        cut = [[*row[: n - 1], END] for row, n in zip(ids, lengths, strict=True)]
        return [*cut[0], *(token for row in cut[1:] for token in (END, *row[1:]))]


class GlueLabels(GlueFiles, Texts):
    """A task with labels; `names`: how they stand in the file."""

    names: ClassVar[Mapping[str, Any]]

    @property
    def labels(self) -> tuple[Any, ...]:  # type: ignore[override]
        return tuple(self.names.values())

    def parsed(self, where: str, cell: str) -> Any:
        one_of(where, cell, self.names)
        return self.names[cell]


class COLA(GlueLabels):
    """Whether a sentence is acceptable."""

    name, title, metric = "cola", "CoLA", matthews.name
    header = ("source", "label", "mark", "sentence")
    columns, names, protocol = ("sentence",), NUMBER, Protocol(3e-5, 20, 32)

    def measures(self) -> tuple[Measure, ...]:
        return (matthews,)


class SST2(GlueLabels):
    """Whether a sentence of a film review is positive."""

    name, title = "sst2", "SST-2"
    columns, names, protocol = ("sentence",), NUMBER, Protocol(2e-5, 3, 32)


class MRPC(GlueLabels):
    """Whether two sentences of the news say the same."""

    name, title, metric = "mrpc", "MRPC", mean_of_both.name
    reads = "GLUE's folder of the task, with train.tsv and dev.tsv, or msr_paraphrase_train.txt and ..._test.txt"
    columns, label_column = ("#1 String", "#2 String"), "Quality"
    train_files = ("train.tsv", "msr_paraphrase_train.txt")
    test_files = (("", ("dev.tsv", "msr_paraphrase_test.txt")),)
    names, protocol = NUMBER, Protocol(5e-5, 20, 32)

    def measures(self) -> tuple[Measure, ...]:
        return mean_of_both, Measure("accuracy", self.scores), binary_f1


class QQP(GlueLabels):
    """Whether two questions ask the same."""

    name, title = "qqp", "QQP"
    columns, label_column = ("question1", "question2"), "is_duplicate"
    names, protocol = NUMBER, Protocol(2e-5, 5, 32)

    def measures(self) -> tuple[Measure, ...]:
        return Measure("accuracy", self.scores), binary_f1


class MNLI(GlueLabels):
    """Whether a premise entails a hypothesis, contradicts it, or neither: a row for texts of the genres of training,
    one for others."""

    name, title = "mnli", "MNLI"
    reads = "GLUE's folder of the task, with train.tsv, dev_matched.tsv and dev_mismatched.tsv"
    label_column = "gold_label"
    test_files = (("matched", ("dev_matched.tsv",)), ("mismatched", ("dev_mismatched.tsv",)))
    names, protocol = JUDGED, Protocol(2e-5, 5, 32)


class QNLI(GlueLabels):
    """Whether a sentence answers a question."""

    name, title = "qnli", "QNLI"
    columns, names, protocol = ("question", "sentence"), ENTAILMENT, Protocol(2e-5, 3, 32)


class RTE(GlueLabels):
    """Whether the first sentence entails the second."""

    name, title = "rte", "RTE"
    names, protocol = ENTAILMENT, Protocol(1e-5, 20, 16)


class STSB(GlueFiles):
    """How alike two sentences are, from 0 to 5: the squared error of one output, which is not bounded."""

    name, title, metric = "stsb", "STS-B", pearson.name
    label_column = "score"
    regressed = ("similarity",)
    baseline_name = "bag of words"
    protocol = Protocol(5e-5, 20, 32)

    def parsed(self, where: str, cell: str) -> float:
        try:
            number = float(cell)
        except ValueError:
            number = np.nan
        low, high = SCORES
        if not low <= number <= high:
            raise ConfigError(f"{where} = {shown(cell)}: must be a number from {low:g} to {high:g}")
        return number

    def head(self, model: XFM) -> nn.Module:
        return TextClassifier(model.config.text.width, 1)

    def loss(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor:
        scores = self.numbers(model, head, batch)[:, 0]
        return F.mse_loss(scores, torch.tensor(batch.targets, device=scores.device))

    def predict(self, model: XFM, head: Any, batch: TaskBatch) -> list[Answer]:
        return [Answer(number) for number in self.numbers(model, head, batch)[:, 0].tolist()]

    def numbers(self, model: XFM, head: Any, batch: TaskBatch) -> Tensor:
        return head(model, batch.ids, batch.mask).float()

    def scores(self, predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
        """1 where it is met, 0 where it is missed by the whole range."""
        return 1 - (np.abs(np.subtract(predicted, targets)) / SCORES[1]).clip(0, 1)

    def measures(self) -> tuple[Measure, ...]:
        return (pearson,)

    def prior(self, targets: Sequence[Any]) -> tuple[float, str]:
        return float(np.mean(targets)), "mean"

    def baseline(self, train: Sequence[Item]) -> Callable[[Sequence[Item]], list[Any]] | None:
        return from_words(train, numbers=True)


GLUE: tuple[type[Trainable], ...] = (COLA, SST2, MRPC, STSB, QQP, MNLI, QNLI, RTE)
