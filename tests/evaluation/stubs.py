"""Models that know everything of the scenes, or nothing, behind the functions that tasks call."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xfm.base import seeding
from xfm.data.world.scenes import Scene, World
from xfm.tasks import EvalContext

WORLD = World()


@dataclass(frozen=True)
class Oracle(EvalContext):
    """Knows everything about the scenes: what a perfect model would say."""

    def image_features(self, scenes: Sequence[Scene]) -> Tensor:
        single = all(len(s.objects) == 1 for s in scenes)
        return torch.stack([direction(s.objects[0].name if single else s.caption.text) for s in scenes])

    def text_features(self, texts: Sequence[str]) -> Tensor:
        names = sorted((*WORLD.names, *WORLD.unseen_names), key=len)
        said = [[n for n in names if f" {n} " in f" {text} "] for text in texts]
        templates = all(len(text.split()) < 8 and n for text, n in zip(texts, said, strict=True)) and len(texts) > 256
        return torch.stack([direction(n[-1] if templates else t) for t, n in zip(texts, said, strict=True)])

    def match_logits(self, scenes: Sequence[Scene], texts: Sequence[str], picture: Tensor, text: Tensor) -> Tensor:
        return torch.tensor([float(scenes[p].caption.text == texts[t]) for p, t in zip(picture, text, strict=True)])

    def boxes(self, scenes: Sequence[Scene], phrases: Sequence[str], owner: Tensor) -> Tensor:
        known = [{p.text: o.box for p, o in zip(s.phrases, s.objects, strict=True)} for s in scenes]
        return torch.tensor([known[i][phrase] for i, phrase in zip(owner.tolist(), phrases, strict=True)])

    def top_tokens(self, scenes, masked, places, picture, text) -> tuple[Tensor, Tensor]:
        read = np.zeros((len(scenes), self.config.data.caption_tokens), int)
        for row, ids in zip(read, self.encode([s.caption.text for s in scenes]), strict=True):
            row[: len(ids)] = ids
        most = max(map(len, places))
        at = np.array([[*p, *[0] * (most - len(p))] for p in places])
        tokens = torch.from_numpy(read[picture[:, None], at[text]])[..., None].repeat(1, 1, 3)
        return tokens, torch.ones(tokens.shape)


@dataclass(frozen=True)
class Guesser(EvalContext):
    """Knows nothing; answers by a draw."""

    def image_features(self, scenes: Sequence[Scene]) -> Tensor:
        return torch.randn(len(scenes), 64, generator=seeding.generator("image", len(scenes)))

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return torch.randn(len(texts), 64, generator=seeding.generator("text", len(texts)))

    def match_logits(self, scenes: Sequence[Scene], texts: Sequence[str], picture: Tensor, text: Tensor) -> Tensor:
        return torch.randn(len(text), generator=seeding.generator("match"))


def direction(text: str) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(64, generator=seeding.generator(text)), dim=0)


def oracle(context: EvalContext, kind: type[EvalContext] = Oracle, **more) -> EvalContext:
    return kind(context.model, context.config, context.tokenizer, context.split, context.seed, **more)
