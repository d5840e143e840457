"""Questions of a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...base import seeding
from ...base.strings import shown
from ...data.source import Split
from ...data.world import colours
from ...data.world.questions import YES_NO, visual_question
from ...data.world.scenes import MOST
from ...files.readers.annotations import find, image_folders
from ...files.readers.records import Root, Unusable, load_json, matching, required, spelt
from ...model import XFM
from ..finetuning.annotation_errors import Cut, Ids, entry, listed, readable, text_of, there, value_of
from ..finetuning.answer_ranking import answer_loss, nll, question_states, rank
from ..finetuning.decoder import Decoder
from ..finetuning.protocol import QUESTION_WORDS, question_text
from ..finetuning.task import Answer, Item, TaskBatch
from ..finetuning.vqa_score import normalised, soft_accuracy
from ..result import Measure
from .both import OfTheWorld

RANKED = 128  # answers whose first tokens are the likeliest
TOLD = 5  # of them, the best
OFTEN = 9  # times that an answer occurs in users' training data, to be one of those that are ranked
ASKED = 6000  # training questions of the world
TESTED_WORDS = 50  # of a question; in training QUESTION_WORDS
QUESTIONS, ANNOTATIONS = "v2_OpenEnded_mscoco_{}2014_questions.json", "v2_mscoco_{}2014_annotations.json"


class VQA(OfTheWorld):
    """Questions of a picture: a decoder, a copy of the fusion encoder, learns to say the answer; in a test it ranks
    all answers of a list by their likelihood.

    Of the world: two questions in turn are one text with two pictures and two answers; the list are all answers.

    User data: training weights an answer by the share of annotators who gave it; the list holds the answers that occur
    `OFTEN` times in training or, where these are fewer than `RANKED`, the `RANKED` most frequent ones; answers
    are normalised and scored as the VQA challenge does, but for those of articles or marks alone (`vqa_score`). VQA v2
    has no public answers for its test: of the pictures of its validation split a keyed half is for validation, the
    other for the test. The same is done with val.json of the simple form where there is no test.json with answers.
    """

    name, title = "vqa", "question answering"
    heads, decodes = ("imlm",), True
    reads = (
        "a folder with VQA v2's questions, annotations and pictures, or with pictures and train.json, val.json and"
        " perhaps test.json, lists of {question_id, image, question, answer}"
    )

    def measures(self) -> tuple[Measure, ...]:
        return (Measure("soft accuracy" if self.path else self.metric, self.scores),)

    def scores(self, predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
        if not self.path:
            return super().scores(predicted, targets)
        return np.array([soft_accuracy(p, t) for p, t in zip(predicted, targets, strict=True)])

    def truth(self, target: Any) -> str:
        """Of several answers the most frequent."""
        shares = _shares(target)
        return max(shares, key=lambda answer: shares[answer])

    @cached_property
    def known(self) -> tuple[str, ...]:
        """The answers that are ranked."""
        if self.path:
            counts = Counter(answer for item in self._own("train") for answer in item.target if answer)
            usual = sorted(counts, key=lambda answer: (-counts[answer], answer))
            return tuple(usual[: max(RANKED, sum(count >= OFTEN for count in counts.values()))])
        names = (*self.world.names, *self.world.unseen_names)
        return (*YES_NO, *map(str, range(MOST + 1)), *colours.TERMS, *(n for n in names if n not in colours.TERMS))

    def embedded_size(self, split: Split) -> int | None:
        return ASKED if split == "train" else None

    def embedded_item(self, split: Split, index: int) -> Item:
        if (key := (split, index)) not in self._drawn:
            question = visual_question(self.world, split, index)
            self._drawn[key] = Item((question.text,), (question.scene.image,), question.answer, index // 2)
        return self._drawn[key]

    @cached_property
    def _drawn(self) -> dict[tuple[str, int], Item]:
        """A scene with one answer takes as long to find as a step of a small model."""
        return {}

    def read(self, split: Split) -> list[Item]:
        folder, words = self.folder(), QUESTION_WORDS if split == "train" else TESTED_WORDS
        if matching(folder, QUESTIONS.format("*")):
            items = _official(folder, "train" if split == "train" else "val", split, words)
            return self.some(items if split == "train" else _half(items, split), folder, split)
        tested = _has_answers(spelt(folder / "test.json"))
        name = split if split == "train" or (tested and split == "test") else "val"
        items = _simple(there(folder / f"{name}.json", split), words)
        return self.some(items if split == "train" or tested else _half(items, split), folder, split)

    def worded(self, text: str) -> str:
        return question_text(text, TESTED_WORDS) if self.path else text

    def said(self, item: Item) -> Sequence[str]:
        return (*item.texts, *item.target)

    def head(self, model: XFM) -> Decoder:
        return Decoder.of(model, model.config.text.width)

    def loss(self, model: XFM, head: Decoder, batch: TaskBatch) -> Tensor:
        given, device = [_shares(target) for target in batch.targets], batch.ids.device
        question = torch.tensor([i for i, shares in enumerate(given) for _ in shares], device=device)
        weights = torch.tensor([share for shares in given for share in shares.values()], device=device)
        ids, mask = (tokens.to(device) for tokens in self._tokens([answer for shares in given for answer in shares]))
        states = question_states(model, batch.ids, batch.mask, batch.images[0])
        return answer_loss(nll(head, ids, mask, states, batch.mask, question), weights, len(given))

    def predict(self, model: XFM, head: Decoder, batch: TaskBatch) -> list[Answer]:
        return [best for best, *_ in self.ranked(model, head, batch)]

    def ranked(self, model: XFM, head: Decoder, batch: TaskBatch) -> list[list[Answer]]:
        ids, mask = (tokens.to(batch.ids.device) for tokens in self._known_tokens)
        states = question_states(model, batch.ids, batch.mask, batch.images[0])
        ranked = rank(head, states, batch.mask, ids, mask, RANKED)
        rows = zip(ranked.answers[:, :TOLD].tolist(), ranked.probabilities[:, :TOLD].tolist(), strict=True)
        return [[Answer(self.known[i], p) for i, p in zip(*row, strict=True)] for row in rows]

    @cached_property
    def _known_tokens(self) -> tuple[Tensor, Tensor]:
        return self._tokens(self.known)

    def _tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        return self.tokenizer.pad([self.tokenizer.encode(text, self.config.data.caption_tokens) for text in texts])


def _shares(target: str | tuple[str, ...]) -> dict[str, float]:
    """Answer -> share of the people who gave it, without those that are empty."""
    given = (target,) if isinstance(target, str) else target
    return {answer: count / len(given) for answer, count in Counter(given).items() if answer}


def _official(folder: Path, name: str, split: Split, words: int) -> list[Item]:
    """The questions of a split of VQA v2 with their annotations."""
    questions, annotations = (there(folder / form.format(name), split) for form in (QUESTIONS, ANNOTATIONS))
    given, ids, rows = dict[Any, Any](), Ids(), list[tuple[str, Any]]()
    for where, row in listed(annotations, required(annotations, load_json(annotations), "annotations")):
        with entry(where):
            given[ids.new("question_id", value_of(row, "question_id", int, str), where)] = (where, row)
    for where, row in listed(questions, required(questions, load_json(questions), "questions")):
        with entry(where):
            number = value_of(row, "question_id", int, str)
            if number not in given:
                raise Unusable("no annotation", f"question_id = {shown(number)} is not in {annotations.name}")
            image = f"COCO_{name}2014_{value_of(row, 'image_id', int):012d}.jpg"
            rows.append((where, row | {"image": image, "answer": _said(*given[number])}))
    items = list(_items(rows, image_folders(folder, f"{name}2014"), words))
    if lost := given.keys() - {row["question_id"] for _, row in rows}:
        where, row = given[min(lost, key=str)]
        with entry(where):
            raise Unusable("no question", f"question_id = {shown(row['question_id'])} is not in {questions.name}")
    return items


def _said(where: str, annotation: Any) -> list[str]:
    with entry(where):
        return [value_of(answer, "answer", str) for answer in value_of(annotation, "answers", list)]


def _simple(path: Path, words: int) -> list[Item]:
    return list(_items(listed(path), image_folders(path.parent), words))


def _items(rows: Any, folders: list[Root], words: int) -> Iterator[Item]:
    ids, cut = Ids(), Cut("questions", words)
    for where, row in rows:
        with entry(where):
            ids.new("question_id", value_of(row, "question_id", int, str), where)
            question = cut(where, question_text(text_of(row, "question"), None))
            answers = value_of(row, "answer", str, list)
            answers = [answers] if isinstance(answers, str) else answers
            given = tuple(normalised(readable("answer", answer, blank=True)) for answer in answers)
            if not any(given):
                raise Unusable("no answer", f"answer = {shown(answers)}: has none that is not blank")
            picture = find(folders, value_of(row, "image", str))
            yield Item((question,), (picture.path,), given, picture.name)
    cut.warn()


def _half(items: list[Item], split: Split) -> list[Item]:
    """Those of the half of the pictures that is for validation, or for the test."""
    pictures = sorted({str(item.group) for item in items})
    order = seeding.rng("task", VQA.name, "halves").permutation(len(pictures))
    tested = {pictures[i] for i in order[: len(order) // 2]}
    return [item for item in items if (item.group in tested) == (split == "test")]


def _has_answers(path: Path) -> bool:
    return path.is_file() and any(isinstance(row, dict) and "answer" in row for _, row in listed(path))
