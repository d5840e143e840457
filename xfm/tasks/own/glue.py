"""Language: GLUE, from its files as published (gluebenchmark.com).

`--data` is the task's own folder: train.tsv and dev.tsv; MRPC's may be the two that Microsoft distributes, MNLI has
dev_matched.tsv and dev_mismatched.tsv. GLUE keeps the labels of its tests, so what is published is measured on dev:
here that is the test split, which chooses nothing, and validation is a twentieth of train, by the first text.

`--published` trains as each task's `protocol` says; beside it is the published result of the base model (4 M pictures),
on dev in its first metric.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...base import seeding
from ...base.fields import one_of, require
from ...base.strings import shown
from ...config import ConfigError
from ...data.source import Split
from ...files.readers.records import spelt
from ...model import XFM
from ...model.batch import END
from ..baselines import from_words
from ..finetuning.protocol import Protocol
from ..finetuning.task import Answer, Item, TaskBatch, Trainable
from ..finetuning.task_heads import TextClassifier
from ..result import Measure, binary_f1, f1, matthews, pearson
from .checked_entries import table
from .text_tasks import Texts

TOKENS = 128  # of a text, or of both
VALIDATION = 20  # one of so many first texts of train
BROKEN = 0.001  # share of a training file's rows that may have another number of cells: QQP's has such
NUMBER, ENTAILMENT, JUDGED = (0, 1), ("entailment", "not_entailment"), ("entailment", "neutral", "contradiction")
BEST = 5.0  # of STS-B's scores, from 0

ACCURACY = Measure("accuracy", lambda said, true: np.array([s == t for s, t in zip(said, true, strict=True)], float))
mean_of_both = Measure("mean of accuracy and F1", binary_f1.of_items, lambda m: (m[..., 0] + m[..., 3] + f1(m)) / 2)


class GlueFiles(Trainable):
    """What is read from the files of a task of GLUE."""

    family = "language"
    embedded = False
    reads: ClassVar[str] = "GLUE's folder of the task, with train.tsv and dev.tsv"
    columns: ClassVar[tuple[str, ...]] = ("sentence1", "sentence2")
    label_column: ClassVar[str] = "label"
    metrics: ClassVar[tuple[Measure, ...]] = (ACCURACY,)
    header: ClassVar[tuple[str, ...]] = ()  # of files that have none
    train_files: ClassVar[tuple[str, ...]] = ("train.tsv",)  # the first that is there
    test_files: ClassVar[Mapping[str, tuple[str, ...]]] = {"": ("dev.tsv",)}  # of each test, by its name

    def parsed(self, where: str, cell: str) -> Any:
        """A label as it stands in the file -> the target. ConfigError where it is none."""
        raise NotImplementedError

    def read(self, split: Split) -> list[Item]:
        if split == "test":
            return [item for items in self.tests().values() for item in items]
        if not (items := self._trained[split]):
            raise ConfigError(f"{self._file(self.train_files)}: is too small: no first text is left for {split}")
        return items

    def measures(self) -> tuple[Measure, ...]:
        return self.metrics

    def tests(self) -> Mapping[str, Sequence[Item]]:
        return self._tested

    @cached_property
    def _tested(self) -> dict[str, list[Item]]:
        return {name: self._items(files) for name, files in self.test_files.items()}

    @cached_property
    def _trained(self) -> dict[str, list[Item]]:
        """Items of one first text are in one of the two."""
        items = self._items(self.train_files, training=True)
        keys = {text: seeding.seed("validation", text) for text in {item.texts[0] for item in items}}
        held_out = {text for text, key in keys.items() if key % VALIDATION == 0} or {min(keys, key=keys.__getitem__)}
        train, validation = ([i for i in items if (i.texts[0] in held_out) == held] for held in (False, True))
        return {"train": train, "validation": validation}

    def _file(self, names: Sequence[str]) -> Path:
        paths = [spelt(Path(self.path, name)) for name in names]
        if not (existing := [path for path in paths if path.is_file()]):
            raise ConfigError(f"data = {shown(self.path)}: has no {' and no '.join(names)}; --data takes {self.reads}")
        return existing[0]

    def _items(self, names: Sequence[str], training: bool = False) -> list[Item]:
        """ConfigError, with file and line, for a row of another number of cells or without a text (of a `training` file
        for more than a thousandth of its rows), and for no rows. A row with one text of two stays: QQP has some."""
        columns, rows = table(path := self._file(names), self.header, (*self.columns, self.label_column))
        items, broken, partly = list[Item](), list[str](), list[str]()
        for where, cells in rows:
            row = dict(zip(columns, cells, strict=False))
            empty = [name for name in self.columns if not row.get(name, "").strip()]
            if len(cells) != len(columns):
                wanted = f"must have {len(columns)}: {', '.join(columns)}, with a tab between two"
                broken.append(f"{where}: has {len(cells)} cells; {wanted}")
            elif len(empty) == len(self.columns):
                broken.append(f"{where}: no text in {' and '.join(empty)}; write one, or take the row out")
            else:
                partly += [f"{where}: {name} is empty" for name in empty]
                texts = tuple(row[name] for name in self.columns)
                items.append(Item(texts, (), self.parsed(f"{where}: label", row[self.label_column])))
        if len(broken) > training * BROKEN * len(rows):
            raise ConfigError(broken[0])
        for odd, what in ((broken, "are left out"), (partly, "have one text alone")):
            if odd:
                warnings.warn(f"{len(odd)} of {len(rows):,} rows {what}, as {odd[0]}", stacklevel=2)
        if not rows:
            raise ConfigError(f"{path}: has no rows")
        return items

    def encode(self, texts: Sequence[str]) -> list[int]:
        """As `Trainable.encode`, but cut to TOKENS in all: of two texts, the longer one first."""
        most = min(TOKENS, self.config.model.text.positions - 2)
        ids = [self.tokenizer.encode(text, most) for text in texts]
        lengths = [len(row) for row in ids]
        while sum(lengths) > most:
            lengths[0 if lengths[0] > lengths[-1] else -1] -= 1
        first, *others = [[*row[: n - 1], END] for row, n in zip(ids, lengths, strict=True)]
        return [*first, *(token for row in others for token in (END, *row[1:]))]


class GlueLabels(GlueFiles, Texts):
    """A task with labels, which stand like this in the file."""

    def parsed(self, where: str, cell: str) -> Any:
        labels = {str(label): label for label in self.labels}
        one_of(where, cell, labels)
        return labels[cell]


class COLA(GlueLabels):
    """Whether a sentence is acceptable."""

    name, title, metrics = "cola", "CoLA", (matthews,)
    header, columns, labels = ("source", "label", "mark", "sentence"), ("sentence",), NUMBER
    protocol = Protocol(3e-5, 20, 32)  # 65.3


class SST2(GlueLabels):
    """Whether a sentence of a film review is positive."""

    name, title, columns, labels = "sst2", "SST-2", ("sentence",), NUMBER
    protocol = Protocol(2e-5, 3, 32)  # 95.0


class MRPC(GlueLabels):
    """Whether two sentences of the news say the same."""

    name, title, metrics = "mrpc", "MRPC", (mean_of_both, ACCURACY, binary_f1)
    reads = "GLUE's folder of the task, with train.tsv and dev.tsv, or msr_paraphrase_train.txt and ..._test.txt"
    columns, label_column, labels = ("#1 String", "#2 String"), "Quality", NUMBER
    train_files = ("train.tsv", "msr_paraphrase_train.txt")
    test_files: ClassVar = {"": ("dev.tsv", "msr_paraphrase_test.txt")}
    protocol = Protocol(5e-5, 20, 32)  # 91.7


class QQP(GlueLabels):
    """Whether two questions ask the same."""

    name, title, metrics = "qqp", "QQP", (ACCURACY, binary_f1)
    columns, label_column, labels = ("question1", "question2"), "is_duplicate", NUMBER
    protocol = Protocol(2e-5, 5, 32)  # 91.8


class MNLI(GlueLabels):
    """Whether a premise entails a hypothesis, contradicts it, or neither: a row for texts of the genres of training,
    one for others."""

    name, title, label_column, labels = "mnli", "MNLI", "gold_label", JUDGED
    reads = "GLUE's folder of the task, with train.tsv, dev_matched.tsv and dev_mismatched.tsv"
    test_files: ClassVar = {"matched": ("dev_matched.tsv",), "mismatched": ("dev_mismatched.tsv",)}
    protocol = Protocol(2e-5, 5, 32)  # 87.7 of both


class QNLI(GlueLabels):
    """Whether a sentence answers a question."""

    name, title, columns, labels = "qnli", "QNLI", ("question", "sentence"), ENTAILMENT
    protocol = Protocol(2e-5, 3, 32)  # 92.9


class RTE(GlueLabels):
    """Whether the first sentence entails the second."""

    name, title, labels = "rte", "RTE", ENTAILMENT
    protocol = Protocol(1e-5, 20, 16)  # 83.8


class STSB(GlueFiles):
    """How alike two sentences are, from 0 to 5: the squared error of one output, which is not bounded."""

    name, title, label_column, metrics = "stsb", "STS-B", "score", (pearson,)
    regressed = ("similarity",)
    baseline_name = "bag of words"
    protocol = Protocol(5e-5, 20, 32)  # 90.8

    def parsed(self, where: str, cell: str) -> float:
        try:
            number = float(cell)
        except ValueError:
            number = np.nan
        require(0 <= number <= BEST, where, cell, f"a number from 0 to {BEST:g}")
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
        return 1 - (np.abs(np.subtract(predicted, targets)) / BEST).clip(0, 1)

    def prior(self, targets: Sequence[Any]) -> tuple[float, str]:
        return float(np.mean(targets)), "mean"

    def baseline(self, train: Sequence[Item]) -> Callable[[Sequence[Item]], list[Any]] | None:
        return from_words(train, numbers=True)


GLUE: tuple[type[Trainable], ...] = (COLA, SST2, MRPC, STSB, QQP, MNLI, QNLI, RTE)
