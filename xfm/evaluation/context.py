"""The model under test, as functions from scenes and texts to scores: all that the tasks ask of it.

Every picture and text is encoded once a call, in batches, on the model's device; what comes back is on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from .. import seeding
from ..batch import normalise
from ..config import RunConfig
from ..data import Dataset, dataset
from ..data.streams import filled, pixels
from ..data.synthetic.scenes import Scene, Split, World
from ..data.tokenizer import Tokenizer
from ..model import XFM, ImageTokens
from ..model.modes import eval_mode
from .result import Better, Result, bootstrap_interval, checked

BATCH = 256  # pictures, texts or pairings at once
Ids = Sequence[Sequence[int]]  # a row a text: token ids `<s>` ... `</s>`, or places in them


@contextmanager
def inference_mode(model: XFM) -> Iterator[None]:
    """Eval mode without gradients; afterwards every module is in the mode that it was in."""
    with eval_mode(model), torch.inference_mode():
        yield


@dataclass(frozen=True)
class EvalContext:
    """What is evaluated: a model, and the split and seed that its questions are drawn by. Use under `examining`."""

    model: XFM
    config: RunConfig
    tokenizer: Tokenizer
    split: Split = "test"
    seed: int = 0

    @cached_property
    def source(self) -> Dataset:
        return dataset(self.config)

    @property
    def world(self) -> World:
        return self.source.world

    def on(self, changes: dict[str, Any]) -> EvalContext:
        """The same model, asked about another world: `changes` are dotted fields of its data."""
        return replace(self, config=self.config.replace(changes))

    def scene(self, task: str, index: int, split: Split | None = None, **wanted: Any) -> Scene:
        """Scene `index` of a task: the same for every model."""
        return self.world.scene(split or self.split, index, seed=seeding.seed("evaluation", self.seed, task), **wanted)

    def scenes(self, task: str, count: int, split: Split | None = None, **wanted: Any) -> list[Scene]:
        return [self.scene(task, i, split, **wanted) for i in range(count)]

    def rng(self, *purpose: object) -> np.random.Generator:
        return seeding.rng("evaluation", self.seed, self.split, *purpose)

    def result(
        self,
        task: str,
        condition: str,
        metric: str,
        scores: ArrayLike,
        baseline: float | None = None,
        baseline_name: str = "",
        upper_bound: float | None = None,
        groups: ArrayLike | None = None,
        better: Better = "higher",
        unit: str = "%",
    ) -> Result:
        """The mean of per-sample `scores` (n,), with its interval; `groups` (n,) are resampled together."""
        scores = checked(scores)
        # The same resampling for every condition of a task: their intervals can be compared.
        low, high = bootstrap_interval(scores, groups, self.seed, self.split, task)
        baseline = None if baseline is None else float(baseline)
        upper_bound = None if upper_bound is None else float(upper_bound)
        return Result(
            task,
            condition,
            metric,
            float(scores.mean()),
            low,
            high,
            len(scores),
            baseline,
            baseline_name,
            upper_bound,
            self.seed,
            self.split,
            better=better,
            unit=unit,
        )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.tokenizer.encode(text, self.config.data.caption_tokens) for text in texts]

    def image_features(self, scenes: Sequence[Scene]) -> Tensor:
        """n pictures -> (n, E) of unit length"""
        itc: Any = self.model.objectives["itc"]
        return itc.embed_image(self.patches(scenes).mean(1)).cpu()

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """B texts -> (B, E) of unit length"""
        itc: Any = self.model.objectives["itc"]
        states, _ = self.text(self.encode(texts))
        return itc.embed_text(states[:, 0]).cpu()

    def matches(self, scenes: Sequence[Scene], texts: Sequence[str], picture: Tensor, text: Tensor) -> Tensor:
        """ITM: the log-odds that picture (N,) and text (N,), places in the lists, belong together -> (N,)"""
        itm: Any = self.model.objectives["itm"]
        logits = self.fuse(self.encode(texts), scenes, text, picture, lambda hidden, _: itm.head(hidden[:, 0]))
        return logits[:, 1] - logits[:, 0]

    def boxes(self, scenes: Sequence[Scene], phrases: Sequence[str], owner: Tensor) -> Tensor:
        """Phrase r is sought in picture owner[r] -> (R, 4) as (cx, cy, w, h), shares of the sides"""
        bbp: Any = self.model.objectives["bbp"]
        text = torch.arange(len(phrases))
        return self.fuse(self.encode(phrases), scenes, text, owner, lambda hidden, _: bbp.boxes(hidden))

    def guesses(
        self, scenes: Sequence[Scene], masked: Ids, places: Ids, picture: Tensor, text: Tensor
    ) -> tuple[Tensor, Tensor]:
        """IMLM: of masked text (N,) beside picture (N,), places in the lists, the three likeliest tokens at each of the
        text's M `places`, and their probabilities -> (N, M, 3) each; a text with fewer places is filled up."""
        imlm: Any = self.model.objectives["imlm"]
        at = filled(places, 0)[text].to(self.model.device)

        def head(hidden: Tensor, chunk: Tensor) -> Tensor:
            wanted = hidden[torch.arange(len(chunk), device=at.device)[:, None], at[chunk]]
            return torch.stack(imlm.logits(wanted).float().softmax(-1).topk(3), 1)  # (b, 2, M, 3)

        probabilities, tokens = self.fuse(masked, scenes, text, picture, head).unbind(1)
        return tokens.long(), probabilities

    def patches(self, scenes: Sequence[Scene]) -> Tensor:
        """n pictures -> (n, P, D), on the model's device"""
        image = pixels(scenes).to(self.model.device)
        dtype = self.model.vision.mask_token.dtype
        return torch.cat([self.model.vision(normalise(some).to(dtype)) for some in image.split(BATCH)])

    def text(self, ids: Ids) -> tuple[Tensor, Tensor]:
        """B texts -> states (B, L, D) and mask (B, L), on the model's device"""
        padded, mask = (t.to(self.model.device) for t in self.tokenizer.pad(ids))
        chunks = zip(padded.split(BATCH), mask.split(BATCH), strict=True)
        return torch.cat([self.model.text(*chunk) for chunk in chunks]), mask

    def fuse(
        self, ids: Ids, scenes: Sequence[Scene], text: Tensor, picture: Tensor, head: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """N pairings of text (N,) with picture (N,), both places in the lists: head(hidden (b, L, D), their numbers
        (b,)) of batch after batch, joined in the pairings' order."""
        (states, mask), patches = self.text(ids), self.patches(scenes)
        order = mask.sum(1).cpu()[text].argsort(stable=True)  # texts of a batch are about equally long
        out = []
        for chunk in order.split(BATCH):
            rows = text[chunk].to(mask.device)
            longest = int(mask[rows].sum(1).max())
            used, place = picture[chunk].to(mask.device).unique(return_inverse=True)  # only these are projected
            image = ImageTokens.of_pictures(patches[used])
            hidden = self.model.fusion(states[rows, :longest], mask[rows, :longest], image, place)
            out.append(head(hidden, chunk.to(mask.device)).float().cpu())
        return torch.cat(out)[order.argsort()]
