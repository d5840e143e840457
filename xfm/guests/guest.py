"""A dual encoder of another library as explanations see it; docs/add-a-model.md says how to bring another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..base import seeding
from ..base.fields import ConfigError, require
from ..base.images import ImageLike, pixels
from ..base.strings import shown
from ..explain.prepare_inputs import check_text, checked_masks, no_such_word
from ..explain.targets import ITC, TARGETS, Target
from ..explain.token_axes import PatchAxis, axis
from ..model.modes import eval_mode
from .guest_inputs import GuestInputs


@dataclass(frozen=True)
class Tower:
    """Places of a guest's encoder, as dotted names from `net`."""

    attentions: tuple[str, ...] = ()  # its self-attentions, the first layer's first; (): none over tokens
    read: int | None = 0  # the token that the feature is read from; None: the mean of the patches
    pool: str = ""  # an attention by which one query gathers the tokens after the layers
    features: str = ""  # the module whose output Grad-CAM is of: the last whose tokens, or places, the feature mixes


class Tokens(NamedTuple):
    """A text as a guest reads it."""

    ids: list[int]  # as the text tower takes them, padded where it wants that
    pieces: list[str]  # of the first ids: all that the text's feature depends on
    spans: list[tuple[int, int]]  # of each piece, its characters of the text; (0, 0): none, so it is never masked
    read: int  # the place that the feature is read from


class Guest(nn.Module):
    """A dual encoder of pictures and texts. Another library's is a subclass that sets the attributes, and has the four
    methods that raise NotImplementedError here.

    A picture's parts are squares of its pixels, and one that is masked has the mean colour, 0; a text's are the vectors
    of its pieces, and one that is masked is the mean of the vocabulary. So nothing need be known of how a tower begins.
    """

    net: Any  # the library's model
    label: str  # what people call it
    side: int  # pixels of a prepared picture's side
    patch: int  # pixels of a patch's
    mean: tuple[float, ...]  # of the colours that `prepare` takes off ...
    std: tuple[float, ...]  # ... and divides by
    image_tower: Tower
    text_tower: Tower
    tokenizer: Any = None  # its own, where it has one
    embedding: str  # the module that turns ids (B, T) into vectors (B, T, D)

    objectives = ("itc",)  # what it can be asked for
    stacks: Mapping[str, Any] = {}  # no states are traced

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net.eval()

    def prepare(self, picture: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 of any size -> (3, side, side), by the model's own transform."""
        raise NotImplementedError

    def tokenise(self, text: str) -> Tokens:
        """ConfigError for a text that is too long."""
        raise NotImplementedError

    def image_features(self, pictures: Tensor) -> Tensor:
        """(B, 3, side, side) -> (B, E)"""
        raise NotImplementedError

    def text_features(self, ids: Tensor) -> Tensor:
        """(B, T) -> (B, E)"""
        raise NotImplementedError

    @property
    def logit_scale(self) -> float:
        """Factor of cosines before a softmax over classes."""
        learnt = getattr(self.net, "logit_scale", None)
        return 100.0 if learnt is None else learnt.exp().item()

    def forward(self, image: Tensor, text: Tensor) -> DualOutputs:
        """Features (B, E) of each kind, of any length, as pairs."""
        return DualOutputs(F.normalize(image, dim=-1), F.normalize(text, dim=-1))

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    def image(self, image: ImageLike) -> tuple[np.ndarray, Tensor]:
        """Any picture (see `xfm.base.images`), by the model's own transform -> what the patches cover of it: to draw,
        (S, S, 3) uint8, and as the model takes it, (3, S, S)."""
        side = self.side // self.patch * self.patch
        values = self.prepare(pixels(image))[:, :side, :side]
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.mean, self.std))
        picture = ((values.cpu() * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)
        return picture.permute(1, 2, 0).contiguous().numpy(), values.to(self.device)

    def inputs(
        self,
        image: ImageLike,
        text: str,
        target: str | Target = "itc",
        objects: Mapping[str, np.ndarray] | None = None,
    ) -> GuestInputs:
        """As `explain.make_inputs`. `target`: "itc", the cosine; "word lion", what that word adds to it; or what
        `among` returns. ConfigError for what the model cannot be asked."""
        check_text(text)
        picture, values = self.image(image)
        ids, pieces, spans, _ = self.tokenise(text)
        words, length = axis(text, pieces, spans), len(pieces)
        whole = torch.tensor(ids, device=self.device)
        table = self.net.get_submodule(self.embedding)
        with torch.no_grad(), eval_mode(self):
            embedded = table(whole[None])[0, :length]
        fixed = torch.tensor([start == end for start, end in spans])
        middle = table.weight.detach().float().mean(0).to(embedded.dtype)
        patches = rearrange(values, "c (y p) (x q) -> (y x) (c p q)", p=self.patch, q=self.patch)
        word = target.removeprefix("word ") if isinstance(target, str) and target.startswith("word ") else ""
        question = replace(ITC, name=f"itc by {word}") if word else self._asked(target, text)
        left_out = _of_word(word, text, words.owner, words.words) & ~fixed if word else None
        return GuestInputs(
            self,
            question,
            picture,
            text,
            words,
            PatchAxis(len(picture) // self.patch, self.patch),
            patches,
            embedded,
            torch.zeros_like(patches),
            torch.where(fixed.to(self.device)[:, None], embedded, middle),
            fixed,
            checked_masks(objects, len(picture)),
            ids=whole,
            left_out=left_out,
        )

    def among(self, text: str, others: Sequence[str]) -> Target:
        """The question which of several texts a picture belongs to: the log-probability (nats) of `text` among it and
        the others, by the softmax of scaled cosines. ConfigError for no others."""
        others = [other for other in others if other != text]
        require(bool(others), "others", others, "one or more texts besides the one that is asked about")
        wrong = self.features_of_texts(others)

        def score(out: Any) -> Tensor:
            logits = torch.cat([out.itc[:, None], out.image @ wrong.T], 1) * self.logit_scale
            return logits.float().log_softmax(-1)[:, 0]

        return Target(f"class among {1 + len(others)}", score, "itc", None)

    @torch.no_grad()
    def features_of_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, E) of length 1."""
        for text in texts:
            check_text(text)
        rows = [torch.tensor([self.tokenise(text).ids], device=self.device) for text in texts]
        with eval_mode(self):
            return torch.cat([F.normalize(self.text_features(ids), dim=-1) for ids in rows])

    @torch.no_grad()
    def features_of_images(self, images: Sequence[ImageLike]) -> Tensor:
        """(N, E) of length 1."""
        with eval_mode(self):
            rows = [self.prepare(pixels(image))[None].to(self.device) for image in images]
            return torch.cat([F.normalize(self.image_features(picture), dim=-1) for picture in rows])

    def _asked(self, target: str | Target, text: str) -> Target:
        chosen = TARGETS.get(target, target) if isinstance(target, str) else target
        if not isinstance(chosen, Target) or chosen.head not in self.objectives:
            name = target if isinstance(target, str) else target.name
            raise ConfigError(
                f"target = {shown(name)}: {self.label} compares pictures with texts, and has no other head; ask for "
                f"'itc', for 'word ...' of {shown(text)}, or for a class (`among`)"
            )
        return chosen

    def redraw(self, seed: int) -> None:
        """Draws all weights anew, normal with the mean and the deviation that each tensor has."""
        with torch.no_grad():
            for name, p in self.named_parameters():
                noise = torch.randn(p.shape, generator=seeding.generator(seed, "guest", name))
                p.copy_(p.mean() + noise.to(p) * p.std(unbiased=False))

    def layers(self) -> list[tuple[int, tuple[str, ...]]]:
        """From the last layer down: its index, and how the names of its weights begin, in either tower."""
        towers = [[f"net.{n.rpartition('.')[0]}." for n in t.attentions] for t in (self.image_tower, self.text_tower)]
        return [(i, tuple(t[i] for t in towers if i < len(t))) for i in reversed(range(max(map(len, towers))))]


@dataclass(frozen=True)
class DualOutputs:
    """Features of B pictures and texts, of length 1."""

    image: Tensor  # (B, E)
    text: Tensor  # (B, E)

    @property
    def itc(self) -> Tensor:
        """(B,) cosine similarity."""
        return (self.image * self.text).sum(-1)


def _of_word(word: str, text: str, owner: Sequence[int], words: Sequence[str]) -> Tensor:
    """(L,) bool: the pieces of a word that the text has. ConfigError, with the nearest, for one that it has not."""
    if word not in words or words.index(word) not in owner:
        raise no_such_word(word, text)
    return torch.tensor([o >= 0 and words[o] == word for o in owner])
