"""Is a masked relation read from the picture? Word frequency and the box stream are ruled out first.

Of both relations of an axis the likelier one is the answer (a forced choice): neither the number of masks, nor which
words are frequent, tells which. A picture of the subject alone shows no relation, but where the subject is: what boxes
of phrases teach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xfm.data.streams import filled
from xfm.data.world.grammar import EXTREMES, RELATIONS, Caption
from xfm.model.batch import IGNORE
from xfm.tasks.context import BATCH, EvalContext
from xfm.tasks.world import masked_words

from .relation_questions import Picture, Question, Row, measured, pictures

PICTURES: dict[Picture, str] = {
    "right": "right picture",
    "mirrored": "mirrored picture, of what it shows",
    "another": "another picture",
    "none": "no picture",
    "subject alone": "subject alone",
    "object alone": "object alone",
}
COUNTED = 500  # training scenes whose captions and phrases are counted
SCENES = masked_words.SCENES


def masked_rows(context: EvalContext, questions: Sequence[Question]) -> list[Row]:
    """Forced choice with each picture, and two answers without a model: the more frequent relation
    in training captions, and the half of the picture that the subject is in. Baseline: chance."""
    rows = []
    for which, name in PICTURES.items():
        lead = relation_lead(context, questions, pictures(context, questions, which))
        lead = -lead if which == "mirrored" else lead
        correct = (lead > 0) + 0.5 * (lead == 0)
        rows.append(measured("masked", name, "forced choice", correct, "masked", baseline=0.5))
    halves = np.array([(q.things[0].box[q.axis == "vertical"] > 0.5) == q.label for q in questions])
    counts = _counts(context)[0]
    pairs = [(counts[q.scene.caption.relations[0].word], counts[q.exchanged.relations[0].word]) for q in questions]
    frequent = np.array([(own > other) + 0.5 * (own == other) for own, other in pairs])
    for name, correct in (("the subject's half, no model", halves), ("more frequent word, no model", frequent)):
        rows.append(measured("masked", name, "forced choice", correct, "masked", baseline=0.5))
    return rows


@torch.inference_mode()
def relation_lead(context: EvalContext, questions: Sequence[Question], shown: Sequence[Any]) -> np.ndarray:
    """IMLM: log p(the true relation) - log p(the exchanged one) of each question's masked caption, beside a picture
    each -> (n,) nats. Where both have a token, it is in both sums."""
    imlm: Any = context.model.objectives["imlm"]

    def head(hidden: Tensor, chunk: Tensor) -> Tensor:
        leads = []
        for row, i in enumerate(chunk.tolist()):
            own, other = questions[i].ids
            at = [p for p, (x, y) in enumerate(zip(own, other, strict=True)) if x != y]
            log_p = imlm.logits(hidden[row, at]).float().log_softmax(-1)
            leads.append(sum(log_p[k, own[p]] - log_p[k, other[p]] for k, p in enumerate(at)))
        return torch.stack(leads)  # type: ignore[arg-type]

    every = torch.arange(len(questions))
    return context.fuse([q.masked for q in questions], shown, every, every, head).numpy()


def data_rows(context: EvalContext) -> list[Row]:
    """Which share of training captions (pairs) and of phrases (regions) states a relation or a place, and the task
    "masked relations" as the evaluation has it, beside the answer that is the most frequent in training captions among
    those of as many tokens."""
    counts, shares = _counts(context)
    rows = [measured("data", f"{stream} with {what}", "share", scores, "data", stream)
            for (stream, what), scores in shares.items()]  # fmt: skip
    scenes = context.scenes("imlm", SCENES)
    spans = masked_words.mask_spans(context, scenes, "relation")
    tokens = masked_words.predict(context, scenes, spans)[0][..., 0]
    true = filled([s.tokens for s in spans], IGNORE)
    correct = ((tokens == true) | (true == IGNORE)).all(-1).numpy()
    best: dict[int, str] = {}
    for word in sorted(counts, key=counts.__getitem__):  # the most frequent last
        best[len(context.tokenizer.encode(f" {word}", BATCH)) - 2] = word
    said = [scenes[s.scene].caption.text[s.start : s.end] for s in spans]
    frequent = np.array([best.get(len(s.tokens)) == word for s, word in zip(spans, said, strict=True)])
    by_name = {"right picture": correct[0], "wrong picture": correct[1], "no picture": correct[2],
               "most frequent of its length, no model": frequent}  # fmt: skip
    return rows + [
        measured("masked, as evaluated", name, "accuracy", scores, "imlm") for name, scores in by_name.items()
    ]


def _counts(context: EvalContext) -> tuple[dict[str, int], dict[tuple[str, str], np.ndarray]]:
    """How often training captions state each relation; and of captions and phrases, whether each states a relation, or
    the place of one thing alone."""
    scenes = context.scenes("relation words", COUNTED, "train")
    texts: dict[str, list[Caption]] = {
        "captions": [s.caption for s in scenes],
        "phrases": [phrase for s in scenes for phrase in s.phrases],
    }
    counts = {word: sum(r.word == word for c in texts["captions"] for r in c.relations) for word in RELATIONS}
    shares = {
        (stream, what): np.array([any(r.word in words for r in c.relations) for c in captions])
        for stream, captions in texts.items()
        for what, words in (("a relation", RELATIONS), ("a place", EXTREMES))
    }
    return counts, shares
