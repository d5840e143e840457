"""Statements about two pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...base.strings import shown
from ...data.source import Split
from ...data.world.statements import statement
from ...files.readers.annotations import find
from ...files.readers.records import Root, Stored, Unusable, spelt
from ...model import XFM
from ..finetuning.protocol import CAPTION_WORDS, caption_text
from ..finetuning.task import Answer, Item, TaskBatch
from ..finetuning.task_heads import TwoPictureClassifier
from ..result import Measure
from .both import OfTheWorld
from .checked_entries import Cut, Ids, existing, json_lines, made_of, text_of, value_of

FILES: dict[Split, str] = {"train": "train", "validation": "dev", "test": "test1"}
LABELS = {"true": True, "false": False}


class Stated(NamedTuple):
    """Whether it is true, and which sentence it is: several pairs of pictures have the same."""

    is_true: bool
    sentence: str


class NLVR2(OfTheWorld):
    """Whether a statement about two pictures is true. Beside the accuracy the consistency: the share of sentences that
    are answered rightly of all their pairs of pictures.

    Embedded data: consecutive items share a text, true of one pair and false of the other. User data: NLVR2's files."""

    name, title = "nlvr2", "statements about two pictures"
    reads = (
        "a folder with NLVR2's train.json, dev.json and test1.json (or in its folder data) and the pictures in it, or"
        " in images/train/<directory>, images/dev, images/test1"
    )

    def measures(self) -> tuple[Measure, ...]:
        per_sentence = Measure("consistency", _consistent, lambda means: means[..., 0] / means[..., 1])
        return *super().measures(), per_sentence

    def truth(self, target: Stated | bool) -> bool:
        return target.is_true if isinstance(target, Stated) else target

    def embedded_item(self, split: Split, index: int) -> Item:
        stated = statement(self.world, split, index)
        target = Stated(stated.is_true, str(index // 2))
        return Item((stated.text,), (stated.left.image, stated.right.image), target, target.sentence)

    def read(self, split: Split) -> list[Item]:
        folder, name, ids, cut = self.folder(), FILES[split], Ids(), Cut("sentences", CAPTION_WORDS)
        inner = spelt(folder / "data" / f"{name}.json")
        path = inner if inner.is_file() else existing(folder / f"{name}.json", split)
        roots = [Root(folder / at) for at in (f"images/{name}", name, "images", "") if (folder / at).is_dir()]

        def made(where: str, row: Any) -> list[Item]:
            identifier = ids.new("identifier", text_of(row, "identifier"), where)
            if len(fields := identifier.split("-")) != 4:
                raise Unusable("no identifier", f"identifier = {shown(identifier)}: must be split-set-pair-sentence")
            is_true = LABELS.get(str(label := value_of(row, "label", str, bool)).lower())
            if is_true is None:
                raise Unusable("unknown label", f"label = {shown(label)}: must be 'True' or 'False'")
            stem, directory = "-".join(fields[:3]), row.get("directory")
            pictures = tuple(_picture(roots, directory, f"{stem}-img{i}.png").path for i in (0, 1))
            text = cut(where, caption_text(text_of(row, "sentence"), None))
            stated = Stated(is_true, "-".join((*fields[:2], fields[3])))
            return [Item((text,), pictures, stated, "-".join(fields[:2]))]

        items = self.some(made_of(json_lines(path), made), path, split)
        cut.warn()
        return items

    def head(self, model: XFM) -> TwoPictureClassifier:
        return TwoPictureClassifier(model.config.text.width)

    def loss(self, model: XFM, head: TwoPictureClassifier, batch: TaskBatch) -> Tensor:
        logits = head(model, batch.ids, batch.mask, *batch.images)
        wanted = torch.tensor([*map(self.truth, batch.targets)], device=logits.device)
        return F.cross_entropy(logits.float(), wanted.long())

    def predict(self, model: XFM, head: TwoPictureClassifier, batch: TaskBatch) -> list[Answer]:
        likely = head(model, batch.ids, batch.mask, *batch.images).float().softmax(1)[:, 1].tolist()
        return [Answer(p > 0.5, max(p, 1 - p)) for p in likely]


def _consistent(predicted: Sequence[Any], targets: Sequence[Stated]) -> np.ndarray:
    """(n, 2): an item's part of its sentence, where all of that is right, and its part of it"""
    wrong = {t.sentence for p, t in zip(predicted, targets, strict=True) if p != t.is_true}
    sizes = Counter(target.sentence for target in targets)
    return np.array([((t.sentence not in wrong) / sizes[t.sentence], 1 / sizes[t.sentence]) for t in targets])


def _picture(roots: list[Root], directory: object, name: str) -> Stored:
    """In the folder of its number, or not."""
    if directory is not None:
        try:
            return find(roots, f"{directory}/{name}")
        except Unusable as error:
            if error.kind != "no such file":
                raise
    return find(roots, name)
