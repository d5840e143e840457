"""What a decoder says: greedy and beam search, as transformers 4.12 (which the published captions were made with)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...model.batch import END, PAD
from .decoder import Decoder

__all__ = ["Said", "beam_search", "greedy"]


NEVER = float("-inf")


class Said(NamedTuple):
    """What beam search found."""

    ids: Tensor  # (B, longest), padded behind </s>
    scores: Tensor  # (B,) log-probability over the number of tokens before </s>, the prompt's among them: it ranks
    logs: Tensor  # (B,) mean log-probability of the tokens behind the prompt, </s> among them where it is said


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
    """As `greedy`, the best of `beams` side by side: by `Said.scores`, as transformers ranks them."""
    device, ids = prompt.device, prompt[:, None].expand(-1, beams, -1)
    totals = torch.full((len(prompt), beams), -1e9, device=device)  # but for one: all are equal at first
    totals[:, 0] = 0.0
    open_ = torch.arange(len(prompt), device=device)  # of which memories `ids` and `totals` are
    closed: list[list[_Closed]] = [[] for _ in prompt]
    given = prompt.shape[1]
    while len(open_) and ids.shape[2] < longest:
        seen = memory[open_].repeat_interleave(beams, 0)
        logs = _following(decoder, ids.flatten(0, 1), seen, shortest, logs=True).float()
        scores, places = (totals.flatten()[:, None] + logs).view(len(open_), -1).topk(2 * beams)
        going: list[tuple[int, list[_Step]]] = []
        for n, (i, *best) in enumerate(zip(open_.tolist(), scores.tolist(), places.tolist(), strict=True)):
            ranked = [_Step(score, *divmod(place, logs.shape[1])) for score, place in zip(*best, strict=True)]
            if not _closes(closed[i], ranked, ids[n], given):
                going.append((n, [step for step in ranked if step.token != END][:beams]))
        still = torch.tensor([n for n, _ in going], dtype=torch.long, device=device)
        totals, rows, tokens = (
            torch.tensor([[step[k] for step in steps] for _, steps in going], device=device).view(-1, beams)
            for k in range(3)
        )
        ids = torch.cat([ids[still[:, None], rows.long()], tokens.long()[..., None]], 2)
        open_ = open_[still]
    for i, *left in zip(open_.tolist(), totals.tolist(), ids, strict=True):
        length = ids.shape[2]
        closed[i] += [_Closed(total / length, row, total / (length - given)) for total, row in zip(*left, strict=True)]
    found = [max(each, key=lambda one: one.score) for each in closed]
    padded = torch.full((len(found), longest), PAD, device=device)
    for row, (_, said, _) in zip(padded, found, strict=True):
        row[: len(said) + 1] = torch.cat([said, said.new_tensor([END])])[:longest]
    scores, logs = (torch.tensor([one[k] for one in found], device=device) for k in (0, 2))
    return Said(padded, scores, logs)


class _Step(NamedTuple):
    """A way to go on."""

    score: float  # nats, of all tokens so far
    row: int  # of the beams
    token: int


class _Closed(NamedTuple):
    """What is said to its end."""

    score: float
    ids: Tensor  # (L,), </s> not among them
    log: float  # as `Said.logs`


def _closes(closed: list[_Closed], ranked: list[_Step], ids: Tensor, given: int) -> bool:
    """Adds what ends to the hypotheses of one memory, of which the best stay; `ids`: of its beams (K, L), of which
    `given` tokens are the prompt's. Whether none can become better."""
    beams, length = ids.shape
    ends, said = (step for step in ranked[:beams] if step.token == END), length - given + 1
    closed += [_Closed(step.score / length, ids[step.row], step.score / said) for step in ends]
    closed[:] = sorted(closed, key=lambda each: -each.score)[:beams]
    return len(closed) == beams and closed[-1].score >= ranked[0].score / length


@torch.no_grad()
def _following(decoder: Decoder, ids: Tensor, memory: Tensor, shortest: int, logs: bool = False) -> Tensor:
    """(B, V): logits, or log probabilities, of the token behind ids (B, L)"""
    logits = decoder.logits(decoder.states(ids, ids != PAD, memory)[:, -1])
    logits = logits.log_softmax(1) if logs else logits
    if ids.shape[1] < shortest:
        logits[:, END] = NEVER
    return logits
