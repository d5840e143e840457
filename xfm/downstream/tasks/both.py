"""Vision and language: questions of a picture, statements about two, and the box that a phrase names (X-FM, 4.3)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ... import seeding
from ...data.source import Split
from ...data.synthetic import colours
from ...data.synthetic.questions import YES_NO, visual_question
from ...data.synthetic.scenes import MOST, World
from ...data.synthetic.statements import statement
from ...model import XFM
from ...model.heads import two_layer_head
from ...objectives.bbp import overlap
from ..answers import answer_loss, nll, question_states, rank
from ..decoder import Decoder
from ..heads import TwoPictureClassifier, fused_token
from ..task import Answer, Item, Task, TaskBatch

__all__ = ["NLVR2", "VQA", "Grounding"]

RANKED = 128  # answers whose first tokens are the likeliest
TOLD = 5  # of them, the best
ASKED = 6000  # training questions
HIT = 0.5  # IoU from which a box is right


class OfTheWorld(Task):
    """Of drawn scenes: as many items as are wanted."""

    family = "vision-language"
    needs = frozenset({"objects", "relations"})

    @property
    def world(self) -> World:
        return self.data.world


class VQA(OfTheWorld):
    """Questions of a picture: a decoder, a copy of the fusion encoder, learns to say the answer; in a test it ranks
    all answers of the world by their likelihood. Two questions in turn are one text with two pictures and two answers.
    """

    name, title = "vqa", "question answering"
    heads = ("imlm",)

    @cached_property
    def known(self) -> tuple[str, ...]:
        names = (*self.world.names, *self.world.unseen_names)
        return (*YES_NO, *map(str, range(MOST + 1)), *colours.TERMS, *(n for n in names if n not in colours.TERMS))

    def embedded_size(self, split: Split) -> int | None:
        return ASKED if split == "train" else None

    def embedded_item(self, split: Split, index: int) -> Item:
        if (key := (split, index)) not in self._drawn:
            asked = visual_question(self.world, split, index)
            self._drawn[key] = Item((asked.text,), (asked.scene.image,), asked.answer, index // 2)
        return self._drawn[key]

    @cached_property
    def _drawn(self) -> dict[tuple[str, int], Item]:
        """A scene with one answer takes as long to find as a step of a small model."""
        return {}

    def head(self, model: XFM) -> Decoder:
        return Decoder.of(model)

    def loss(self, model: XFM, head: Decoder, batch: TaskBatch) -> Tensor:
        ids, mask = self._tokens(batch.targets, batch.ids.device)
        states = question_states(model, batch.ids, batch.mask, batch.images[0])
        nats = nll(head, ids, mask, states, batch.mask)
        return answer_loss(nats, torch.ones_like(nats), len(ids))  # all who are asked agree

    def predict(self, model: XFM, head: Decoder, batch: TaskBatch) -> list[Answer]:
        return [best for best, *_ in self.ranked(model, head, batch)]

    def ranked(self, model: XFM, head: Decoder, batch: TaskBatch) -> list[list[Answer]]:
        ids, mask = self._tokens(self.known, batch.ids.device)
        states = question_states(model, batch.ids, batch.mask, batch.images[0])
        ranked = rank(head, states, batch.mask, ids, mask, RANKED)
        rows = zip(ranked.answers[:, :TOLD].tolist(), ranked.probabilities[:, :TOLD].tolist(), strict=True)
        return [[Answer(self.known[i], p) for i, p in zip(*row, strict=True)] for row in rows]

    def _tokens(self, texts: Sequence[str], device: torch.device) -> tuple[Tensor, Tensor]:
        ids, mask = self.tokenizer.pad([self.tokenizer.encode(text, self.config.data.caption_tokens) for text in texts])
        return ids.to(device), mask.to(device)


class NLVR2(OfTheWorld):
    """Whether a statement about two pictures is true. Two in turn are one text, true of one pair, false of another."""

    name, title = "nlvr2", "statements about two pictures"

    def embedded_item(self, split: Split, index: int) -> Item:
        said = statement(self.world, split, index)
        return Item((said.text,), (said.left.image, said.right.image), said.is_true, index // 2)

    def head(self, model: XFM) -> TwoPictureClassifier:
        return TwoPictureClassifier(model.config.text.width)

    def loss(self, model: XFM, head: TwoPictureClassifier, batch: TaskBatch) -> Tensor:
        logits = head(model, batch.ids, batch.mask, *batch.images)
        return F.cross_entropy(logits.float(), torch.tensor(batch.targets, device=logits.device).long())

    def predict(self, model: XFM, head: TwoPictureClassifier, batch: TaskBatch) -> list[Answer]:
        likely = head(model, batch.ids, batch.mask, *batch.images).float().softmax(1)[:, 1].tolist()
        return [Answer(p > 0.5, max(p, 1 - p)) for p in likely]


class BoxHead(nn.Module):
    """Token 0 of the fused text -> (cx, cy, w, h) in [0, 1]; starts as BBP's, where the model has that."""

    def __init__(self, model: XFM):
        super().__init__()
        losses: dict[str, Any] = dict(model.objectives.items())
        known = losses["bbp"].head if "bbp" in losses else two_layer_head(model.config.text.width, 4)
        self.head = copy.deepcopy(known)

    def forward(self, model: XFM, batch: TaskBatch) -> Tensor:
        text = model.text(batch.ids, batch.mask)
        return self.head(fused_token(model, text, batch.mask, model.vision(batch.images[0]))).float().sigmoid()


class Grounding(OfTheWorld):
    """The box of what a phrase names: L1 + (1 - GIoU), as in pre-training but for the text, which learns as well."""

    name, title, metric = "grounding", "grounding of phrases", "acc@0.5"
    needs = frozenset({"boxes"})

    def embedded_item(self, split: Split, index: int) -> Item:
        scene = self.world.scene(split, seeding.seed("task", self.name, index))
        region = scene.regions[seeding.seed("phrase", index) % len(scene.regions)]
        return Item((region.text,), (scene.image,), region.box)

    def head(self, model: XFM) -> BoxHead:
        return BoxHead(model)

    def loss(self, model: XFM, head: BoxHead, batch: TaskBatch) -> Tensor:
        boxes = head(model, batch)
        target = torch.tensor(batch.targets, device=boxes.device)
        return (boxes - target).abs().sum(-1).mean() + (1 - overlap(boxes, target)[1]).mean()

    def predict(self, model: XFM, head: BoxHead, batch: TaskBatch) -> list[Answer]:
        return [Answer(box) for box in head(model, batch).tolist()]

    def scores(self, predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
        return (overlap(torch.tensor(predicted), torch.tensor(targets))[0] >= HIT).double().numpy()

    def prior(self, targets: Sequence[Any]) -> tuple[Any, str]:
        """The box among the targets that is right most often."""
        boxes = torch.tensor(targets[:500])
        hits = torch.stack([(overlap(box.expand_as(boxes), boxes)[0] >= HIT).double().mean() for box in boxes])
        return boxes[int(hits.argmax())].tolist(), "best constant box"
