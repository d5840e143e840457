"""Model under evaluation, as functions from scenes and texts to scores: the interface of all tasks.

Every picture and text is encoded once a call, in batches, on the model's device; results come back on the CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits
from torch import Tensor

from ..base import seeding
from ..base.fields import ConfigError, one_of, require
from ..config import RunConfig
from ..data import Dataset, dataset
from ..data.source import CAPABILITIES, SPLITS, Example, Source, Split
from ..data.streams import filled, pixels
from ..data.tokenizer import Tokenizer
from ..data.world.scenes import Scene, World
from ..explain.attention_capture import capture
from ..files.file_source import EMBEDDED
from ..model import XFM, FusionEncoder, ImageTokens
from ..model.batch import normalise
from ..model.modes import eval_mode
from .pairings import of_pairings
from .result import Result, measured

BATCH = 256  # pictures or texts at once
Rows = Sequence[Sequence[int]]  # a row a text: token ids `<s>` ... `</s>`, or positions in them


class NothingToAsk(RuntimeError):
    """The data provide what a task needs, and too little of it to ask anything: why."""


@contextmanager
def reproducibly(model: XFM) -> Iterator[None]:
    """Eval mode, no gradients, and one thread: how sums are split among threads shows in their last digits, which a
    solver that stops early makes large. So on one machine's CPU the same run has the same results, to the last bit,
    in every process. The model's mode and the number of threads are restored.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), eval_mode(model), torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class EvalContext:
    """Model under evaluation, with the split and seed of its test samples. Use it under `reproducibly(model)`.

    Raises ConfigError for an unknown split, and for a seed that is not in [0, 2**63)."""

    model: XFM
    config: RunConfig
    tokenizer: Tokenizer
    split: Split = "test"
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("split", self.split, SPLITS)
        fits = type(self.seed) is int and 0 <= self.seed < 2**63
        require(fits, "seed", self.seed, "a whole number in [0, 2**63)")

    @cached_property
    def source(self) -> Dataset:
        return dataset(self.config)

    @property
    def world(self) -> World:
        return self.source.world

    def source_with(self, capability: str) -> Source:
        """The first source that provides a capability (keys of `data.source.CAPABILITIES`); user data precede bundled
        data. ConfigError where no source does."""
        providing = [source for source in self.source.sources if capability in source.provides]
        if not providing:
            raise ConfigError(f"{self.source.name}: provides no {capability}: {CAPABILITIES[capability]}")
        return min(providing, key=lambda source: source.name in EMBEDDED)

    @property
    def unseen(self) -> bool:
        """Whether the split is one of pictures alone (unseen combinations or concepts), without sentences."""
        return self.split.startswith("unseen")

    def with_data(self, changes: dict[str, Any]) -> EvalContext:
        """The same model on changed data: `changes` are dotted fields of the config."""
        return replace(self, config=self.config.replace(changes))

    def scene(self, task: str, index: int, split: Split | None = None, **constraints: Any) -> Scene:
        """Scene `index` of a task, the same for every model; `constraints` as in `World.scene`."""
        key = seeding.seed("evaluation", self.seed, task)
        return self.world.scene(split or self.split, index, seed=key, **constraints)

    def scenes(self, task: str, count: int, split: Split | None = None, **constraints: Any) -> list[Scene]:
        return [self.scene(task, i, split, **constraints) for i in range(count)]

    def examples(
        self, task: str, most: int, capability: str = "pairs", split: Split | None = None
    ) -> Iterator[Example]:
        """The first examples of a task from its `source_with` that capability, the same for every model: `most`, or
        as many as it has. Of the drawn world these are its `scenes`."""
        source, key = self.source_with(capability), seeding.seed("evaluation", self.seed, task)
        source = source.with_boxes() if capability == "boxes" else source
        yield from source.examples(split or self.split, most, key)

    def rng(self, *purpose: object) -> np.random.Generator:
        return seeding.rng("evaluation", self.seed, self.split, *purpose)

    def result(
        self,
        task: str,
        condition: str,
        metric: str,
        scores: ArrayLike,
        baseline: tuple[float, str] | None = None,
        upper_bound: float | None = None,
        groups: ArrayLike | None = None,
        **more: Any,
    ) -> Result:
        """`measured` of per-sample `scores` (n,). The key of the resampling has no condition: all conditions of a task
        are resampled alike, so their intervals can be compared."""
        key, draws = (self.seed, self.split, task), {"seed": self.seed, "split": self.split}
        fields = {"upper_bound": upper_bound, **draws, **more}
        return measured((task, condition, metric), scores, key, baseline, groups, **fields)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.tokenizer.encode(text, self.config.data.caption_tokens) for text in texts]

    def image_features(self, scenes: Sequence[Example]) -> Tensor:
        """ITC image features of n scenes -> (n, E) of unit length"""
        itc: Any = self.model.objectives["itc"]
        return _finite("ITC's features of pictures", itc.embed_image(self.patch_states(scenes).mean(1)).cpu())

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """ITC text features of B texts -> (B, E) of unit length"""
        itc: Any = self.model.objectives["itc"]
        states, mask = self.text_states(self.encode(texts))
        return _finite("ITC's features of texts", itc.embed_text(self.model.text.sentence(states, mask)).cpu())

    def match_logits(self, scenes: Sequence[Example], texts: Sequence[str], image: Tensor, text: Tensor) -> Tensor:
        """ITM log-odds of N pairings of scene image[i] with text text[i], indices (N,) into the lists -> (N,)"""
        itm: Any = self.model.objectives["itm"]
        logits = self.fuse(self.encode(texts), scenes, text, image, lambda hidden, _: itm.head(hidden[:, 0]))
        return logits[:, 1] - logits[:, 0]

    def boxes(self, scenes: Sequence[Example], phrases: Sequence[str], owner: Tensor) -> Tensor:
        """BBP boxes of R phrases, phrase r in scene owner[r] -> (R, 4) as (cx, cy, w, h), shares of the sides"""
        bbp: Any = self.model.objectives["bbp"]
        text = torch.arange(len(phrases))
        return self.fuse(self.encode(phrases), scenes, text, owner, lambda hidden, _: bbp.boxes(hidden))

    def cross_attention(self, scenes: Sequence[Example], phrases: Sequence[str], owner: Tensor) -> Tensor:
        """The fusion encoder's attention from R phrases to pictures, phrase r to scene owner[r], mean over layers and
        heads -> (R, 2, 1 + P): that of `<s>`, and of the phrase's words (mean), to the pooled token and each patch"""
        # looked into is a copy that shares the parameters: other tasks run beside this one
        fusion = copy.deepcopy(self.model.fusion, {id(p): p for p in self.model.fusion.parameters()})
        ids = self.encode(phrases)
        last = torch.tensor([len(row) - 1 for row in ids])  # the place of `</s>`

        def head(_: Tensor, chunk: Tensor) -> Tensor:
            weights = torch.stack([*captured.weights.values()]).float().mean((0, 2))  # (b, L, 1 + P)
            at = torch.arange(weights.shape[1])
            words = ((at > 0) & (at < last[chunk.cpu()][:, None])).to(weights)
            return torch.stack([weights[:, 0], (words[..., None] * weights).sum(1) / words.sum(1, keepdim=True)], 1)

        with capture(fusion, "layers.*.cross") as captured:
            return self.fuse(ids, scenes, torch.arange(len(phrases)), owner, head, fusion)

    def top_tokens(
        self, scenes: Sequence[Example], masked: Rows, positions: Rows, image: Tensor, text: Tensor
    ) -> tuple[Tensor, Tensor]:
        """IMLM: of N pairings of masked text text[i] with scene image[i], indices (N,) into the lists, the three most
        probable tokens at each of the text's M masked `positions`, and their probabilities -> (N, M, 3) each. Texts
        with fewer positions are padded."""
        imlm: Any = self.model.objectives["imlm"]
        at = filled(positions, 0)[text].to(self.model.device)

        def head(hidden: Tensor, chunk: Tensor) -> Tensor:
            states = hidden[torch.arange(len(chunk), device=at.device)[:, None], at[chunk]]
            return torch.stack(imlm.logits(states).float().softmax(-1).topk(3), 1)  # (b, 2, M, 3)

        probabilities, tokens = self.fuse(masked, scenes, text, image, head).unbind(1)
        return tokens.long(), probabilities

    def patch_states(self, scenes: Sequence[Example]) -> Tensor:
        """Vision encoder outputs of n scenes -> (n, P, D), on the model's device"""
        image = pixels([scene.image for scene in scenes]).to(self.model.device)
        dtype = self.model.vision.mask_token.dtype
        return torch.cat([self.model.vision(normalise(chunk).to(dtype)) for chunk in image.split(BATCH)])

    def text_states(self, ids: Rows) -> tuple[Tensor, Tensor]:
        """Language encoder outputs of B texts -> states (B, L, D) and mask (B, L), on the model's device"""
        padded, mask = (t.to(self.model.device) for t in self.tokenizer.pad(ids))
        chunks = zip(padded.split(BATCH), mask.split(BATCH), strict=True)
        return torch.cat([self.model.text(*chunk) for chunk in chunks]), mask

    def fuse(
        self,
        ids: Rows,
        scenes: Sequence[Example],
        text: Tensor,
        image: Tensor,
        head: Callable[[Tensor, Tensor], Tensor],
        fusion: FusionEncoder | None = None,
    ) -> Tensor:
        """head(fusion outputs (b, L, D), pairing numbers (b,)) of all pairings of text (N,) with image (N,), indices
        into the lists -> (N, ...), in the order of the pairings. `fusion`: the model's own, unless another is given."""
        fusion = self.model.fusion if fusion is None else fusion
        (states, mask), patches = self.text_states(ids), self.patch_states(scenes)
        pairs = text.to(mask.device), image.to(mask.device)
        tokens = ImageTokens.of_pictures(patches)
        made = of_pairings(fusion, states, mask, tokens, *pairs, lambda *chunk: head(*chunk).float().cpu())
        return _finite("what the fusion encoder's outputs say", made)


def _finite(what: str, values: Tensor) -> Tensor:
    """The values; RuntimeError where some are NaN or infinite: comparisons would take them for a right answer."""
    if not values.isfinite().all():
        raise RuntimeError(f"{what}: {int((~values.isfinite()).sum())} of {values.numel()} numbers are not finite; "
                           "the model's weights are of no use")  # fmt: skip
    return values
