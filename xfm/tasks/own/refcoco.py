"""The box that a phrase names."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...base import seeding
from ...base.fields import ConfigError
from ...base.images import decode, upright_size
from ...base.strings import shown
from ...data.source import Box, Split
from ...files.readers.annotations import read_refcoco
from ...files.readers.records import Record, Unusable, matching
from ...model import XFM
from ...model.blocks import two_layer_head
from ...objectives.bbp import overlap
from ..baselines import best_constant_box
from ..finetuning.protocol import CAPTION_WORDS, inclusive_iou
from ..finetuning.task import Answer, Item, TaskBatch
from ..finetuning.task_heads import fused_token
from ..result import Measure
from ..world.grounding import IOU, box_iou, is_correct
from .both import OfTheWorld, around, changed, mirrors
from .checked_entries import Cut, cleaned, located, made_of

ROUNDED = 1.0  # pixels by which a box may lie outside its picture: annotations are rounded
TRIED = 500  # boxes, of which the best constant one is chosen


class Named(NamedTuple):
    """A box (x, y, w, h) of a user's picture (width, height), in pixels, and the part of the split it is in."""

    pixels: tuple[float, float, float, float]
    size: tuple[int, int]
    part: str

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, upper, right, lower; pixels, cut at the picture's edges."""
        (x, y, w, h), (width, height) = self.pixels, self.size
        return max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)

    @property
    def box(self) -> Box:
        (left, upper, right, lower), (width, height) = self.edges, self.size
        cx, cy = (left + right) / 2, (upper + lower) / 2
        return cx / width, cy / height, (right - left) / width, (lower - upper) / height


class BoxHead(nn.Module):
    """Token 0 of the fused text -> (cx, cy, w, h) in [0, 1]; starts as BBP's, where the model has that."""

    def __init__(self, model: XFM):
        super().__init__()
        losses: dict[str, Any] = dict(model.objectives.items())
        pretrained = losses["bbp"].head if "bbp" in losses else two_layer_head(model.config.text.width, 4)
        self.head = copy.deepcopy(pretrained)

    def forward(self, model: XFM, batch: TaskBatch) -> Tensor:
        text = model.text(batch.ids, batch.mask)
        return self.head(fused_token(model, text, batch.mask, model.vision(batch.images[0]))).float().sigmoid()


class Grounding(OfTheWorld):
    """The box of what a phrase names: L1 + (1 - GIoU), as in pre-training but for the text, which learns as well.

    A box is right from an IoU of 0.5. On user data IoU is RefCOCO's: in pixels of the picture, with both edges of the
    intersection counted (`protocol.inclusive_iou`). There testA and testB form the test split, and each also has its
    own number. Training crops contain the whole box.
    """

    name, title, metric = "grounding", "grounding of phrases", "acc@0.5"
    needs = frozenset({"boxes"})
    regressed = ("box x", "box y", "box width", "box height")  # as shares of the picture's side; its middle first
    reads = "a folder with the refs of RefCOCO or RefCOCO+ as refs*.json, instances.json beside it, and the pictures"

    def embedded_item(self, split: Split, index: int) -> Item:
        scene = self.world.scene(split, seeding.seed("task", self.name, index))
        region = scene.regions[seeding.seed("phrase", index) % len(scene.regions)]
        return Item((region.text,), (scene.image,), region.box)

    def read(self, split: Split) -> list[Item]:
        files = matching(folder := self.folder(), "refs*.json")
        if len(files) != 1:
            raise ConfigError(f"{folder}: has {shown([path.name for path in files])}; --data takes {self.reads}")
        size_of, cut = cache(upright_size), Cut("sentences", CAPTION_WORDS)

        def made(_: str, record: Record) -> list[Item]:
            if record.split is None:
                raise Unusable("no split", "split = '': must be train, val, test, testA or testB")
            return _items(record, size_of, cut) if record.split == split else []

        items = made_of(located(read_refcoco(files[0]), folder), made)
        cut.warn()
        return self.some(items, files[0], split)

    def varied(self, index: int, rng: np.random.Generator) -> Item:
        if not self.path:
            return super().varied(index, rng)
        item = self._own("train")[index]
        picture, named = decode(item.images[0]), item.target
        left, upper, right, lower = named.edges
        window = around(picture.size, named.edges, rng)
        mirrored = mirrors(item.texts, rng)
        x = window[2] - right if mirrored else left - window[0]
        inside = x, upper - window[1], right - left, lower - upper
        target = Named(inside, (window[2] - window[0], window[3] - window[1]), named.part)
        image = changed(picture, window, mirrored, self.config.model.vision.image_size, rng)
        return replace(item, images=(image,), target=target)

    def head(self, model: XFM) -> BoxHead:
        return BoxHead(model)

    def loss(self, model: XFM, head: BoxHead, batch: TaskBatch) -> Tensor:
        boxes = head(model, batch)
        target = torch.tensor([*map(self.truth, batch.targets)], device=boxes.device)
        return (boxes - target).abs().sum(-1).mean() + (1 - overlap(boxes, target)[1]).mean()

    def predict(self, model: XFM, head: BoxHead, batch: TaskBatch) -> list[Answer]:
        return [Answer(box) for box in head(model, batch).tolist()]

    def numbers(self, model: XFM, head: BoxHead, batch: TaskBatch) -> Tensor:
        return head(model, batch)

    def truth(self, target: Box | Named) -> Box:
        return target.box if isinstance(target, Named) else target

    def scores(self, predicted: Sequence[Any], targets: Sequence[Any]) -> np.ndarray:
        if self.path:
            return np.array([_hit(p, t) for p, t in zip(predicted, targets, strict=True)], float)
        return is_correct(box_iou(torch.tensor(predicted), torch.tensor(targets))).double().numpy()

    def measures(self) -> tuple[Measure, ...]:
        parts = sorted({item.target.part for item in self._own("test")}) if self.path else []
        named = {p: Measure(f"{self.metric} {p}", self.scores, about=partial(_of_part, p)) for p in parts}
        return *super().measures(), *(named.values() if len(parts) > 1 else ())

    def prior(self, targets: Sequence[Any]) -> tuple[Any, str]:
        """The box among the targets that is right most often."""
        boxes = torch.tensor([*map(self.truth, targets[:TRIED])])
        return best_constant_box(boxes, boxes, IOU).tolist(), "best constant box"


def _of_part(part: str, targets: Sequence[Named]) -> np.ndarray:
    return np.array([target.part == part for target in targets])


def _hit(box: Sequence[float], named: Named) -> bool:
    """Whether a box, in shares of the picture, is the one that is named."""
    cx, cy, w, h = (share * side for share, side in zip(box, 2 * named.size, strict=True))
    return inclusive_iou((cx - w / 2, cy - h / 2, w, h), named.pixels) >= IOU


def _items(record: Record, size_of: Any, cut: Cut) -> list[Item]:
    """An item a sentence. Unusable for a box that is not in the picture, and a sentence of marks alone."""
    picture: Any = record.picture
    width, height = size = size_of(picture.path)
    items = list[Item]()
    for phrase in record.phrases:
        x, y, w, h = phrase.box
        beyond = max(-x, -y, x + w - width, y + h - height) > ROUNDED
        if beyond or x >= width or y >= height or x + w <= 0 or y + h <= 0:
            outside = f"bbox = {shown(phrase.box)} is not inside the {width} x {height} pixels of {picture.name}"
            raise Unusable("box outside the picture", f"{outside}; x, y, width, height are meant")
        text = cut(record.where, cleaned("sentence", phrase.text))
        items.append(Item((text,), (picture.path,), Named(phrase.box, size, record.part), picture.name))
    return items
