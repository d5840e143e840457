"""Visual question answering as X-FM does it: a decoder writes the answer in training, and ranks a fixed list in tests
(ALBEF; X-FM, 4)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...model import XFM, ImageTokens
from ...model.batch import IGNORE, widen
from .decoder import Decoder, next_tokens


class Ranked(NamedTuple):
    """The k likeliest answers of a list, best first, (B, k) each."""

    answers: Tensor  # their places in the list
    probabilities: Tensor  # among themselves


def question_states(model: XFM, ids: Tensor, mask: Tensor, image: Tensor) -> Tensor:
    """Questions (B, L) about normalised pictures (B, 3, H, W) -> fused states (B, L, D)"""
    picture = torch.arange(len(ids), device=ids.device)
    return model.fusion(model.text(ids, mask), mask, ImageTokens.of_pictures(model.vision(image)), picture)


def nll(decoder: Decoder, ids: Tensor, mask: Tensor, states: Tensor, seen: Tensor, question: Tensor) -> Tensor:
    """Answers `<s> a </s>` (N, L), question states (B, S, D) with mask (B, S), and the question of each answer (N,) ->
    (N,): nats of all tokens behind <s>, </s> among them. Only these meet the vocabulary, which is most of the work."""
    labels = next_tokens(ids, mask)
    row, place = (labels != IGNORE).nonzero(as_tuple=True)
    logits = decoder.logits(decoder.states(ids, mask, states, seen, question)[row, place])
    nats = F.cross_entropy(widen(logits), labels[row, place], reduction="none")
    return nats.new_zeros(len(ids)).index_add(0, row, nats)


def answer_loss(nats: Tensor, weights: Tensor, questions: int) -> Tensor:
    """Nats of (question, answer) pairs (N,), weighted by the share of people who gave it -> the sum a question"""
    return (nats * weights).sum() / questions


@torch.no_grad()
def rank(
    decoder: Decoder,
    states: Tensor,
    seen: Tensor,
    ids: Tensor,
    mask: Tensor,
    k: int,
    score: Literal["published", "likelihood"] = "likelihood",
) -> Ranked:
    """The k of A answers `<s> a </s>` (A, L) whose first tokens are the likeliest after question states (B, S, D) with
    mask (B, S), ranked by their likelihood.

    `score="published"` counts the first token twice, as the published code does; and it masks no padding of a question
    (pass `seen` all true): an answer then depends on what other questions are in the batch.
    """
    batch, k = len(states), min(k, len(ids))
    start, one = ids[:1, :1].expand(batch, 1), mask[:1, :1].expand(batch, 1)
    first = decoder(start, one, states, seen)[:, 0].softmax(-1)[:, ids[:, 1]]
    probability, chosen = first.topk(k, 1)
    rows = chosen.flatten()
    question = torch.arange(batch, device=rows.device).repeat_interleave(k)
    logs, lengths = probability.new_empty(len(rows)), mask.sum(1)[rows]
    for length in lengths.unique().tolist():  # most are of one word: padded to the longest they cost twice as much
        of, short = lengths == length, ids[:, :length]
        logs[of] = -nll(decoder, short[rows[of]], mask[rows[of], :length], states, seen, question[of]).to(logs)
    logs = logs.unflatten(0, (batch, k))
    scores = logs + probability.log() if score == "published" else logs
    among, order = scores.softmax(1).sort(dim=1, descending=True, stable=True)
    return Ranked(chosen.gather(1, order), among)
