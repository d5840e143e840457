"""The box that the model predicts for a phrase, the cross-attention behind it, and reasons not to trust it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..base import seeding
from ..base.fields import require
from ..base.images import ImageLike
from ..data import Dataset
from ..data.source import Region, Source
from ..data.streams import region_patches
from ..data.tokenizer import Tokenizer
from ..model import XFM, ImageTokens
from ..model.modes import eval_mode
from ..objectives.bbp import corners, overlap
from .attention_capture import capture
from .inputs import AttributionInputs
from .prepare_inputs import make_inputs, prepare_image
from .targets import Outputs, full_mask
from .token_axes import TokenAxis

_ARTICLES = ("the", "a", "an", "some")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True)
class SeenWords:
    """The words of the training pictures' texts, lower-cased; names that were held out although their words were not;
    and the first words of phrases, the commonest first."""

    words: frozenset[str]
    held_out: tuple[str, ...] = ()
    first: tuple[str, ...] = ()

    def never(self, phrase: str) -> list[str]:
        """Parts of a phrase that no training picture's text has: held-out names, then single words, each once,
        lower-cased."""
        text, unseen = phrase.lower(), list[str]()
        for name in sorted(self.held_out, key=len, reverse=True):
            pattern = rf"(?<!\w){re.escape(name)}(?!\w)"
            if re.search(pattern, text):
                text = re.sub(pattern, " ", text)
                unseen.append(name)
        return list(dict.fromkeys([*unseen, *(word for word in _WORD.findall(text) if word not in self.words)]))

    def begins(self, phrase: str) -> tuple[str, ...]:
        """The commonest first words of training phrases, where this phrase has none of them: ITM, which never met its
        form, denies what is there. Else nothing."""
        return () if _first(phrase) in self.first else self.first[:NAMED]


def seen_words(data: Dataset) -> SeenWords:
    """Collects the words of all sources with pictures, and the first ones of phrases: seconds, once."""
    pictured = [s for s in data.sources if {"pairs", "regions"} & s.provides]
    held_out = tuple(name.lower() for s in pictured for name in getattr(s, "unseen_names", ()))
    words, first = frozenset[str](), Counter[str]()
    for more, begun in map(_words, pictured):
        words, first = words | more, first + begun
    return SeenWords(words, held_out, tuple(word for word, _ in first.most_common() if word))


@lru_cache(maxsize=8)
def _words(source: Source) -> tuple[frozenset[str], Counter[str]]:
    """Where some phrases have no article, what follows an article elsewhere counts as a first word, too."""
    words = frozenset(word for text in set(source.corpus()) for word in _WORD.findall(text.lower()))
    pictures = source.with_boxes().examples("train", PHRASED) if "regions" in source.provides else ()
    phrases = [_WORD.findall(region.text.lower()) for picture in pictures for region in picture.regions]
    first = Counter(phrase[0] for phrase in phrases if phrase)
    is_bare = any(word not in _ARTICLES for word in first)
    after = [phrase[1] for phrase in phrases if is_bare and len(phrase) > 1 and phrase[0] in _ARTICLES]
    return words, first + Counter(after)


def _first(phrase: str) -> str:
    return next(iter(_WORD.findall(phrase.lower())), "")


Box = tuple[float, float, float, float]  # x, y, width, height in pixels
MASKED, HIDDEN = 24, 0.3  # pictures that are asked for candidates, and the share of patches hidden in each
PHRASED, NAMED = 600, 3  # training pictures whose phrases are looked at; their first words that a view names, at most
SAME, CANDIDATES = 0.5, 3  # IoU of boxes that count as one candidate; candidates, at most


def region_box(region: Region, side: int) -> Box:
    """In a picture of so many pixels a side."""
    cx, cy, w, h = (side * share for share in region.box)
    return round(cx - w / 2, 6), round(cy - h / 2, 6), round(w, 6), round(h, 6)


def box_predictor(
    model: XFM, tokenizer: Tokenizer, image: ImageLike, seen: SeenWords | None = None
) -> Callable[[str], dict[str, Any]]:
    """`predict(phrase)` for one image: BBP's box from the whole image, with what tells whether to trust it.

    Args:
        image: any image that `xfm.base.images.prepare` accepts.
        seen: words of the training pictures' texts, for "never_seen".

    Returns:
        A function of a phrase that returns a dict of
        box: x, y, width, height in pixels of the prepared image.
        pieces, attention: the word pieces (L), and the cross-attention (layers, heads, L, 1 + P) float32 from each
        piece to the pooled image token and the patches. The head reads the box from piece 0, `<s>`.
        presence: see `presence`, of the phrase and the box; None where the model has no ITM.
        candidates: up to three boxes with their "share" and "presence": where BBP points in 24 copies of the picture, a
        random 30 % of the patches of each hidden. Boxes with an IoU of 0.5 or more count as one, their mean.
        split: (word, its pieces) of each word that the tokenizer has no token for.
        never_seen, begins: `SeenWords.never` and `.begins` of the phrase; None and () without `seen`.

    Raises:
        ConfigError: for what is no image; `predict` raises it for a phrase without a word, one that is too long, and a
            box that is not finite.
    """
    prepared, _ = prepare_image(model, image)

    def predict(phrase: str) -> dict[str, Any]:
        require(isinstance(phrase, str) and bool(phrase.strip()), "phrase", phrase, "some words")
        doubts = {"never_seen": seen and seen.never(phrase), "begins": seen.begins(phrase) if seen else ()}
        return _predicted(make_inputs(model, tokenizer, prepared, phrase)) | doubts

    return predict


@torch.no_grad()
def _predicted(inputs: AttributionInputs) -> dict[str, Any]:
    model, side = inputs.model, len(inputs.image)
    with eval_mode(model):
        with capture(model, model.stacks["fusion"].attention("cross", "*")) as captured:
            out = inputs.outputs(inputs.patches[None], inputs.pieces[None])
        box = out.head("bbp").boxes(out.fused)
        require(all(map(math.isfinite, box[0].tolist())), "box", box[0].tolist(), "finite: the model has diverged")
        others, shares = _candidates(inputs)
        fits = presence(out, torch.cat([box, others])) if "itm" in model.objectives else [None] * (1 + len(others))
    candidates = [
        {"box": _in_pixels(other, side), "share": share, "presence": fit}
        for other, share, fit in zip(others, shares, fits[1:], strict=True)
    ]
    return {
        "box": _in_pixels(box[0], side),
        "attention": torch.stack([weights[0] for weights in captured.weights.values()]).float().cpu().numpy(),
        "pieces": inputs.words.pieces,
        "presence": fits[0],
        "candidates": candidates,
        "split": _split(inputs.words),
    }


def _in_pixels(box: Tensor, side: int) -> Box:
    """(4,) as (cx, cy, w, h) in shares of the side."""
    cx, cy, w, h = (share * side for share in box.tolist())
    return cx - w / 2, cy - h / 2, w, h


def presence(out: Outputs, boxes: Tensor) -> list[float]:
    """ITM's probability that the text of one pair belongs to the part of its picture in each box (R, 4), given as
    (cx, cy, w, h) in shares of the sides.

    Phrases and parts of pictures are what ITM was trained on; a phrase beside the whole picture is not, and tells less
    (`benchmarks/presence.py`). It is informative only for phrases that begin as those of training; true ones get about
    a half.
    """
    vision, n = out.model.config.vision, len(boxes)
    (low, high) = corners(boxes.float()).clamp(0, 1).mul(vision.image_size).cpu().split(2, -1)
    edges = torch.cat([low, high - low], -1).double().numpy().round(6)
    inside = torch.from_numpy(region_patches(edges, vision.grid, vision.patch_size)).to(boxes.device)
    regions = ImageTokens.of_regions(out.patches[:1], torch.zeros(n, dtype=torch.long, device=boxes.device), inside)
    text = out.text[:1].expand(n, -1, -1)
    fused = out.model.fusion(text, full_mask(text), regions, torch.arange(n, device=boxes.device))
    return out.head("itm").head(fused[:, 0]).float().softmax(-1)[:, 1].tolist()


def _candidates(inputs: AttributionInputs) -> tuple[Tensor, list[float]]:
    """(R, 4) as (cx, cy, w, h), and the share of the masked pictures that each is the mean box of, largest first."""
    keep = torch.rand(MASKED, len(inputs.patches), generator=seeding.generator("candidates")) >= HIDDEN
    out = inputs.outputs(*inputs.mask(keep, torch.ones(MASKED, len(inputs.pieces), dtype=torch.bool)))
    boxes = out.head("bbp").boxes(out.fused).cpu()
    same = overlap(*torch.broadcast_tensors(boxes[:, None], boxes))[0] >= SAME
    remaining, means, shares = torch.ones(MASKED, dtype=torch.bool), [], []
    while remaining.any() and len(means) < CANDIDATES:
        members = same[(same & remaining).sum(1).argmax()] & remaining
        if not members.any():  # not finite: like no other
            break
        means.append(boxes[members].mean(0))
        shares.append(members.float().mean().item())
        remaining &= ~members
    return (torch.stack(means) if means else boxes[:0]).to(inputs.patches.device), shares


def _split(words: TokenAxis) -> list[tuple[str, list[str]]]:
    """The words of several pieces, with these."""
    pieces: dict[int, list[str]] = {}
    for piece, owner in zip(words.pieces, words.owner, strict=True):
        pieces.setdefault(owner, []).append(piece)
    return [(word, pieces[i]) for i, word in enumerate(words.words) if len(pieces.get(i, ())) > 1]
