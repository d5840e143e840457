"""Masked words of captions by part of speech (task "imlm"): predicted with the right picture, with one that shows
nothing the caption names, and with none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...data.streams import filled
from ...data.world.grammar import Caption, Kind, Span, plural
from ...data.world.scenes import Scene
from ...model.batch import IGNORE
from ..context import EvalContext
from ..result import Result

NEEDS = ("objects",)
SCENES = 1000
KINDS: dict[Kind, str] = {"noun": "masked names", "size": "masked sizes", "colour": "masked colours",
                          "count": "masked counts", "relation": "masked relations"}  # fmt: skip
PICTURES = 3  # the right one, a wrong one, none
PLAIN = 225  # grey of the picture that shows nothing


@dataclass(frozen=True)
class MaskedSpan:
    """A caption with all tokens of one span masked, and nothing else."""

    scene: int  # its picture ...
    unrelated: int  # ... and another, which shows nothing that the caption names
    kind: Kind
    start: int  # the masked characters
    end: int
    masked: list[int]  # token ids of the caption
    positions: list[int]  # of the masked tokens
    tokens: list[int]  # their ids


def score(context: EvalContext) -> list[Result]:
    """Accuracy: a span is correct when all its tokens are, predicted at once. "No picture" is a plain ground: the model
    always gets an image. Kinds that the world's captions do not have are left out."""
    scenes = context.scenes("imlm", SCENES)
    spans = [span for kind in KINDS for span in mask_spans(context, scenes, kind)]
    tokens, true = predict(context, scenes, spans)[0][..., 0], filled([s.tokens for s in spans], IGNORE)
    correct = ((tokens == true) | (true == IGNORE)).all(-1).numpy().astype(float)  # (3, n)
    results = []
    for kind, task in KINDS.items():
        right, wrong, none = correct[:, [s.kind == kind for s in spans]]
        if right.size:
            no_effect = 0.0, "no effect"
            results += [
                context.result(task, "right picture", "accuracy", right, (wrong.mean(), "wrong picture"), 1.0),
                context.result(task, "wrong picture", "accuracy", wrong, better=""),
                context.result(task, "no picture", "accuracy", none, better=""),
                context.result(task, "right - wrong", "accuracy", right - wrong, no_effect, lowest=-1.0),
                context.result(task, "right - none", "accuracy", right - none, no_effect, lowest=-1.0),
            ]
    return results


def mask_spans(context: EvalContext, scenes: Sequence[Scene], kind: Kind) -> list[MaskedSpan]:
    """One span of a kind per caption, drawn at random. A name that the caption has twice is not masked: the other
    mention gives it away."""
    rng, longest, masked_spans = context.rng("imlm", kind), context.config.data.caption_tokens, []
    for i, scene in enumerate(scenes):
        spans = [s for s in scene.caption.spans if s[2] == kind and not _repeated(scene.caption, s)]
        ids, ranges = context.tokenizer.encode_with_spans(scene.caption.text, spans, longest)
        whole = [(s, r) for s, r in zip(spans, ranges, strict=True) if r[1] < longest - 1]  # not cut off
        unrelated = unrelated_scene(scenes, i)
        if whole and unrelated is not None:
            (start, end, _), (first, stop) = whole[int(rng.random() * len(whole))]
            masked = [context.tokenizer.mask_id if first <= p < stop else token for p, token in enumerate(ids)]
            positions = list(range(first, stop))
            masked_spans.append(MaskedSpan(i, unrelated, kind, start, end, masked, positions, ids[first:stop]))
    return masked_spans


def _repeated(caption: Caption, span: Span) -> bool:
    word = caption.text[slice(*span[:2])]
    return sum(word in (thing.name, plural(thing.name)) for thing in caption.things) > 1


def unrelated_scene(scenes: Sequence[Scene], i: int) -> int | None:
    """The next scene, round the list, that shows nothing that the caption of scene i names; None for no such scene."""
    names = {thing.name for thing in scenes[i].caption.things}
    for j in (*range(i + 1, len(scenes)), *range(i)):
        if names.isdisjoint(o.name for o in scenes[j].objects):
            return j
    return None


def predict(context: EvalContext, scenes: Sequence[Scene], spans: Sequence[MaskedSpan]) -> tuple[Tensor, Tensor]:
    """The three most probable tokens of n spans, and their probabilities, (3, n, M, 3) each: with the right picture,
    the unrelated one and none, at M positions."""
    plain = np.full_like(scenes[0].image, PLAIN)
    no_picture = replace(scenes[0], image=plain, objects=(), caption=Caption("", ()), phrases=())
    image = torch.tensor([[s.scene for s in spans], [s.unrelated for s in spans], [len(scenes)] * len(spans)])
    text = torch.arange(len(spans)).repeat(PICTURES)
    masked, positions = [s.masked for s in spans], [s.positions for s in spans]
    top = context.top_tokens([*scenes, no_picture], masked, positions, image.flatten(), text)
    tokens, probabilities = (t.unflatten(0, (PICTURES, -1)) for t in top)
    return tokens, probabilities
