"""Visual question answering as X-FM does it: a decoder writes the answer in training, and ranks a fixed list in tests
(ALBEF; X-FM, 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...base import seeding
from ...base.fields import ConfigError
from ...base.strings import shown
from ...data.source import Split
from ...data.world import colours
from ...data.world.questions import YES_NO, visual_question
from ...data.world.scenes import MOST
from ...files.readers.annotations import find, image_folders
from ...files.readers.records import Unusable, matching, spelt
from ...model import XFM, ImageTokens
from ...model.batch import IGNORE, widen
from ..finetuning.decoder import Decoder, next_tokens
from ..finetuning.protocol import QUESTION_WORDS, normalised, question_text, soft_accuracy
from ..finetuning.task import Answer, Item, TaskBatch
from ..result import Measure
from .both import OfTheWorld
from .checked_entries import Cut, Ids, checked_text, existing, listed, made_of, text_of, value_of

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
    `OFTEN` times in training or, where these are fewer than `RANKED`, the `RANKED` most frequent ones; answers are
    normalised and scored as in the VQA challenge (see `protocol`). VQA v2 has no public answers for its test: a keyed
    half of the pictures of its validation split is for validation, the other for the test; so with val.json of the
    simple form where there is no test.json with answers.
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
        question = self._question(split, index)
        return Item((question.text,), (question.scene.image,), question.answer, index // 2)

    @cached_property
    def _question(self) -> Any:
        return cache(partial(visual_question, self.world))  # to find a scene with one answer takes as long as a step

    def read(self, split: Split) -> list[Item]:
        folder, tested = self.folder(), False
        if matching(folder, QUESTIONS.format("*")):
            name = "train" if split == "train" else "val"
            where, rows, roots = folder, _official(folder, name, split), image_folders(folder, f"{name}2014")
        else:
            file = spelt(folder / "test.json")
            tested = file.is_file() and any("answer" in row for _, row in listed(file) if isinstance(row, dict))
            name = split if split == "train" or (tested and split == "test") else "val"
            where, roots = existing(folder / f"{name}.json", split), image_folders(folder)
            rows = listed(where)
        ids, cut = Ids(), Cut("questions", QUESTION_WORDS if split == "train" else TESTED_WORDS)

        def made(at: str, row: Any) -> list[Item]:
            ids.new("question_id", value_of(row, "question_id", int, str), at)
            question = cut(at, question_text(text_of(row, "question"), None))
            answers = value_of(row, "answer", str, list)
            answers = [answers] if isinstance(answers, str) else answers
            given = tuple(normalised(checked_text("answer", answer)) for answer in answers)
            if not any(given):
                raise Unusable("no answer", f"answer = {shown(answers)}: has none that is not blank")
            picture = find(roots, value_of(row, "image", str))
            return [Item((question,), (picture.path,), given, picture.name)]

        items = made_of(rows, made)
        cut.warn()
        return self.some(items if split == "train" or tested else _half(items, split), where, split)

    worded = staticmethod(partial(question_text, words=TESTED_WORDS))

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
        return (nll(head, ids, mask, states, batch.mask, question) * weights).sum() / len(given)

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


class Ranked(NamedTuple):
    """The k likeliest answers of a list, best first, (B, k) each."""

    answers: Tensor  # their places in the list
    probabilities: Tensor  # among themselves


def question_states(model: XFM, ids: Tensor, mask: Tensor, image: Tensor) -> Tensor:
    """Questions (B, L) about normalised pictures (B, 3, H, W) -> fused states (B, L, D)"""
    picture = torch.arange(len(ids), device=ids.device)
    return model.fusion(model.text(ids, mask), mask, ImageTokens.of_pictures(model.vision(image)), picture)


def nll(decoder: Decoder, ids: Tensor, mask: Tensor, states: Tensor, seen: Tensor, question: Tensor) -> Tensor:
    """Answers `<s> a </s>` (N, L), question states (B, S, D) with mask (B, S), and the question of each answer (N,) ->
    (N,): nats of all tokens behind <s>, </s> among them. Only these meet the vocabulary, which is most of the work."""
    labels = next_tokens(ids, mask)
    row, place = (labels != IGNORE).nonzero(as_tuple=True)
    logits = decoder.logits(decoder.states(ids, mask, states, seen, question)[row, place])
    nats = F.cross_entropy(widen(logits), labels[row, place], reduction="none")
    return nats.new_zeros(len(ids)).index_add(0, row, nats)


@torch.no_grad()
def rank(
    decoder: Decoder,
    states: Tensor,
    seen: Tensor,
    ids: Tensor,
    mask: Tensor,
    k: int,
    score: Literal["published", "likelihood"] = "likelihood",
) -> Ranked:
    """The k of A answers `<s> a </s>` (A, L) whose first tokens are the likeliest after question states (B, S, D) with
    mask (B, S), ranked by their likelihood.

    `score="published"` counts the first token twice, as the published code does; and it masks no padding of a question
    (pass `seen` all true): an answer then depends on what other questions are in the batch.
    """
    batch, k = len(states), min(k, len(ids))
    start, one = ids[:1, :1].expand(batch, 1), mask[:1, :1].expand(batch, 1)
    first = decoder(start, one, states, seen)[:, 0].softmax(-1)[:, ids[:, 1]]
    probability, chosen = first.topk(k, 1)
    rows = chosen.flatten()
    question = torch.arange(batch, device=rows.device).repeat_interleave(k)
    logs, lengths = probability.new_empty(len(rows)), mask.sum(1)[rows]
    for length in lengths.unique().tolist():  # most are of one word: padded to the longest they cost twice as much
        of, short = lengths == length, ids[:, :length]
        logs[of] = -nll(decoder, short[rows[of]], mask[rows[of], :length], states, seen, question[of]).to(logs)
    logs = logs.unflatten(0, (batch, k))
    scores = logs + probability.log() if score == "published" else logs
    among, order = scores.softmax(1).sort(dim=1, descending=True, stable=True)
    return Ranked(chosen.gather(1, order), among)


def _official(folder: Path, name: str, split: Split) -> list[tuple[str, Any]]:
    """The questions of a split of VQA v2 with what people answered, each with its place."""
    questions, annotations = (existing(folder / form.format(name), split) for form in (QUESTIONS, ANNOTATIONS))
    ids, asked_ids = Ids(), Ids()

    def answered(where: str, row: Any) -> Iterable[tuple[Any, tuple[str, list[str]]]]:
        number = ids.new("question_id", value_of(row, "question_id", int, str), where)
        yield number, (where, [value_of(answer, "answer", str) for answer in value_of(row, "answers", list)])

    given = dict(made_of(listed(annotations, "annotations"), answered))

    def asked(where: str, row: Any) -> Iterable[tuple[str, Any]]:
        number = asked_ids.new("question_id", value_of(row, "question_id", int, str), where)
        if number not in given:
            raise Unusable("no annotation", f"question_id = {shown(number)} is not in {annotations.name}")
        image = f"COCO_{name}2014_{value_of(row, 'image_id', int):012d}.jpg"
        yield where, row | {"image": image, "answer": given[number][1]}

    rows = made_of(listed(questions, "questions"), asked)
    if lost := given.keys() - {row["question_id"] for _, row in rows}:
        where, problem = given[number := min(lost, key=str)][0], f"question_id = {shown(number)}"
        raise ConfigError(f"{where}: no question: {problem} is not in {questions.name}; add it, or take this out")
    return rows


def _half(items: list[Item], split: Split) -> list[Item]:
    """Those of the half of the pictures that is for validation, or for the test."""
    pictures = sorted({str(item.group) for item in items})
    order = seeding.rng("task", VQA.name, "halves").permutation(len(pictures))
    tested = {pictures[i] for i in order[: len(order) // 2]}
    return [item for item in items if (item.group in tested) == (split == "test")]
