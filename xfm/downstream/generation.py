"""What a decoder says: greedy and beam search, as transformers 4.12 (which the published captions were made with)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..batch import END, PAD
from .decoder import Decoder

__all__ = ["Said", "beam_search", "greedy"]


NEVER = float("-inf")


class Said(NamedTuple):
    """What beam search found."""

    ids: Tensor  # (B, longest), padded behind </s>
    scores: Tensor  # (B,) mean nats a token, of those before </s>


def greedy(decoder: Decoder, memory: Tensor, prompt: Tensor, longest: int = 20, shortest: int = 0) -> Tensor:
    """The likeliest token, again and again, behind prompts (B, P) that look at memory (B, S, C) -> ids (B, longest).
    `longest` and `shortest` count the prompt; no </s> comes before `shortest`."""
    ids, done = prompt, torch.zeros(len(prompt), dtype=torch.bool, device=prompt.device)
    while ids.shape[1] < longest and not done.all():
        logits = _following(decoder, ids, memory, shortest)
        token = logits.argmax(1).masked_fill(done, PAD)
        ids, done = torch.cat([ids, token[:, None]], 1), done | (token == END)
    return torch.nn.functional.pad(ids, (0, longest - ids.shape[1]), value=PAD)


def beam_search(
    decoder: Decoder, memory: Tensor, prompt: Tensor, beams: int = 3, longest: int = 20, shortest: int = 0
) -> Said:
    """As `greedy`, the best of `beams` side by side. A hypothesis scores its nats over the tokens before </s>, the
    prompt's among them."""
    found = [_best(decoder, m[None], p[None], beams, longest, shortest) for m, p in zip(memory, prompt, strict=True)]
    ids = torch.full((len(found), longest), PAD, device=prompt.device)
    for row, (said, _) in zip(ids, found, strict=True):
        row[: len(said)] = said
    return Said(ids, torch.tensor([score for _, score in found], device=prompt.device))


def _best(
    decoder: Decoder, memory: Tensor, prompt: Tensor, beams: int, longest: int, shortest: int
) -> tuple[Tensor, float]:
    """Of one memory (1, S, C): the ids, </s> among them where there is room, and their score."""
    ids, memory = prompt.expand(beams, -1), memory.expand(beams, -1, -1)
    totals = torch.full((beams,), -1e9, dtype=torch.float, device=ids.device)  # but for one: all are equal at first
    totals[0] = 0.0
    closed: list[tuple[float, Tensor]] = []
    while ids.shape[1] < longest:
        logs = _following(decoder, ids, memory, shortest, logs=True).float()
        scores, places = (totals[:, None] + logs).flatten().topk(2 * beams)
        ranked = [(s, *divmod(place, logs.shape[1])) for s, place in zip(scores.tolist(), places.tolist(), strict=True)]
        kept = [each for each in ranked if each[2] != END][:beams]
        closed += [(s / ids.shape[1], ids[row]) for s, row, token in ranked[:beams] if token == END]
        closed = sorted(closed, key=lambda each: -each[0])[:beams]
        if len(closed) == beams and closed[-1][0] >= ranked[0][0] / ids.shape[1]:
            break
        totals = torch.tensor([s for s, _, _ in kept], device=ids.device)
        rows, tokens = (torch.tensor([each[i] for each in kept], device=ids.device) for i in (1, 2))
        ids = torch.cat([ids[rows], tokens[:, None]], 1)
    else:
        closed += [(s / ids.shape[1], row) for s, row in zip(totals.tolist(), ids, strict=True)]
    score, said = max(closed, key=lambda each: each[0])
    return (torch.cat([said, said.new_tensor([END])]) if len(said) < longest else said), score


@torch.no_grad()
def _following(decoder: Decoder, ids: Tensor, memory: Tensor, shortest: int, logs: bool = False) -> Tensor:
    """(B, V): logits, or log probabilities, of the token behind ids (B, L)"""
    logits = decoder(ids, ids != PAD, memory)[:, -1]
    logits = logits.log_softmax(1) if logs else logits
    if ids.shape[1] < shortest:
        logits[:, END] = NEVER
    return logits
