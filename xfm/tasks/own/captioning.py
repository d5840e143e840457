"""Captioning: a picture is put into words (X-FM, as its code means to do it)."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np
import torch
from torch import Tensor

from ...base import seeding
from ...data.source import Split
from ...data.world.parsing import without_opening
from ...model import XFM, ImageTokens
from ...model.batch import END, IGNORE
from ..finetuning.caption_metrics import BLEU, CIDER, TRUTH, Reference, library, word_metrics
from ..finetuning.decoder import Decoder, beam_search, next_tokens, smoothed_cross_entropy
from ..finetuning.task import Answer, Item, TaskBatch
from ..result import Measure
from .both import OfTheWorld
from .checked_entries import CAPTIONED, captioned

PROMPT = "a picture of"
LONGEST, SHORTEST = 40, 5  # tokens, the prompt's among them (published: captions of at most 20 are written)
WORDS = 40  # of a user's caption, at most
SMOOTHING = 0.1


class Captioning(OfTheWorld):
    """A decoder, a copy of the fusion encoder, looks at the vision encoder's tokens and learns to write the caption
    behind "a picture of"; in a test it writes by beam search.

    Validation selects by the share of right captions on the embedded data, and by CIDEr on user data. A caption is
    right if, by the grammar, it is true of the scene and mentions every object. An item is a picture with all its
    captions; training draws one of them each time.
    """

    name, title = "captioning", "captioning"
    heads, decodes = ("imlm",), True
    hides = ("pictures",)
    reads = CAPTIONED
    tested = 500  # each is searched for
    beams = 3  # 1: greedy

    def read(self, split: Split) -> list[Item]:
        library()  # what it is measured by is there
        return [Item((), (path,), Reference(*texts)) for path, texts in captioned(self.path, split, WORDS).items()]

    def said(self, item: Item) -> Sequence[str]:
        return item.target.captions

    def embedded_item(self, split: Split, index: int) -> Item:
        scene = self.world.scene(split, seeding.seed("task", self.name, index), phrases=False)
        return Item((), (scene.image,), Reference(without_opening(scene.text), objects=scene.objects))

    def head(self, model: XFM) -> Decoder:
        return Decoder.of(model, model.config.vision.width)

    def loss(self, model: XFM, head: Decoder, batch: TaskBatch) -> Tensor:
        memory = _memory(model, batch.images[0])
        texts = [t.captions[int(torch.randint(len(t.captions), ()))] for t in batch.targets]
        rows = [self.tokenizer.encode(f"{PROMPT} {text}", self._longest) for text in texts]
        ids, mask = (t.to(memory.device) for t in self.tokenizer.pad(rows))
        labels = next_tokens(ids, mask, len(self._prompt))
        logits = head(ids, mask, memory)[:, :-1].float()
        return smoothed_cross_entropy(logits, labels, SMOOTHING).sum() / (labels != IGNORE).sum()

    @property
    def _longest(self) -> int:
        return min(LONGEST, self.config.model.text.positions - 2)

    @property
    def _prompt(self) -> list[int]:
        """<s> and the prompt's tokens."""
        return self.tokenizer.encode(PROMPT, LONGEST)[:-1]

    def predict(self, model: XFM, head: Decoder, batch: TaskBatch) -> list[Answer]:
        return self.write(model, head, batch.images[0], self.beams)

    def write(self, model: XFM, head: Decoder, image: Tensor, beams: int) -> list[Answer]:
        """Captions of normalised pictures (B, 3, H, W), by beam search, with the geometric mean of the probabilities of
        their tokens, </s> among them. One beam is greedy."""
        prompt = torch.tensor(self._prompt, device=image.device).expand(len(image), -1)
        written = beam_search(head, _memory(model, image), prompt, beams, self._longest, SHORTEST)
        rows = zip(written.ids.tolist(), written.logs.tolist(), strict=True)
        return [Answer(self._text(ids), exp(min(0.0, log))) for ids, log in rows]

    def _text(self, ids: list[int]) -> str:
        """What stands behind the prompt, up to </s>."""
        behind = ids[len(self._prompt) :]
        return self.tokenizer.decode(behind[: behind.index(END)] if END in behind else behind).strip()

    def prior(self, targets: Sequence[Reference]) -> tuple[str, str]:
        """The most frequent of all captions of the pictures, not of their first ones alone."""
        return super().prior([caption for target in targets for caption in target.captions])

    def scores(self, predicted: Sequence[str], targets: Sequence[Reference]) -> np.ndarray:
        """(n,): whether a caption is true and mentions every object; on user data, CIDEr over its maximum."""
        first = self.measures()[0]
        return first.parts(predicted, targets)[:, 0] / first.best

    def measures(self) -> tuple[Measure, ...]:
        return (CIDER, BLEU) if self.path else (*TRUTH, *word_metrics())


def _memory(model: XFM, image: Tensor) -> Tensor:
    """Normalised pictures -> what the decoder looks at (B, P + 1, C): their mean, then their patches"""
    tokens = ImageTokens.of_pictures(model.vision(image))
    return torch.cat([tokens.pooled[:, None], tokens.patches], 1)
