"""A causal language model that looks at what an encoder made: it answers questions, and writes captions (ALBEF, X-FM).

It starts as a copy of the fusion encoder, the only one whose layers look at another sequence. Greedy and beam search
are those of transformers 4.12, by which the published captions were made.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...config import ModelConfig
from ...model import XFM
from ...model.attention import Attention, additive
from ...model.batch import END, IGNORE, PAD
from ...model.blocks import LMHead, TextLayer
from ...model.text import TextEncoder

LAYERS, HEAD = "layers.", "head."
NEVER = float("-inf")


class Decoder(TextEncoder):
    """RoBERTa as a causal language model with cross-attention in every layer; its output is tied to its word table."""

    of_encoders = ("word", "position")  # copies of tables, which stay with frozen encoders

    def __init__(self, config: ModelConfig, memory_width: int, depth: int):
        """`memory_width`: of the states that it looks at."""
        super().__init__(config.text)
        text = config.text
        self.layers = nn.ModuleList(
            TextLayer(text.width, text.heads, text.intermediate, text.dropout, memory_width, config.cross_attention)
            for _ in range(depth)
        )
        self.head = LMHead(text.width, text.vocabulary)

    @classmethod
    def of(cls, model: XFM, memory_width: int) -> Decoder:
        """A copy of the fusion encoder with IMLM's head and words; the rest of its embeddings is the language encoder's
        (the published code takes the fusion encoder's, which no loss has touched). It looks at states of
        `memory_width`; where pictures have another, what projects them is new. KeyError without IMLM."""
        imlm = model.objectives["imlm"]
        decoder = cls(model.config, memory_width, model.config.fusion_depth)
        copied = (
            {n: t for n, t in model.text.state_dict().items() if not n.startswith(LAYERS)}
            | {f"word.{n}": t for n, t in imlm.word.state_dict().items()}  # type: ignore[union-attr]
            | {LAYERS + n: t for n, t in model.fusion.layers.state_dict().items()}
            | {HEAD + n: t for n, t in imlm.head.state_dict().items()}  # type: ignore[union-attr]
        )
        initial = decoder.state_dict()
        decoder.load_state_dict({n: t if t.shape == initial[n].shape else initial[n] for n, t in copied.items()})
        return decoder.to(model.device, model.dtype)

    def forward(  # type: ignore[override]
        self, ids: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor | None = None
    ) -> Tensor:
        """Ids and mask (B, L), memory (B, S, C) and its mask (B, S) -> logits (B, L, V) of the token after each."""
        return self.logits(self.states(ids, mask, memory, memory_mask))

    def logits(self, states: Tensor) -> Tensor:
        """(..., D) -> (..., V)"""
        return self.head(states, self.word.weight)

    def states(
        self, ids: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor | None = None, owner: Tensor | None = None
    ) -> Tensor:
        """As `forward`, before the words -> (B, L, D). `owner` (B,): the place of each text's memory, where several
        look at one, which is projected once."""
        earlier = mask.new_ones(ids.shape[1], ids.shape[1]).tril()
        bias = additive(mask[:, None] & earlier)
        memory_bias = None if memory_mask is None else additive(memory_mask if owner is None else memory_mask[owner])

        def keys_and_values(cross: Attention) -> Tensor:
            projected = cross.project(memory)
            return projected if owner is None else projected[owner]

        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, bias, keys_and_values, memory_bias)
        return x


def next_tokens(ids: Tensor, mask: Tensor, skip: int = 1) -> Tensor:
    """Ids and mask (B, L) -> (B, L - 1): what is to be said after each token; IGNORE where there is none, and for the
    first `skip - 1`, which are given (a prompt)."""
    labels = ids.masked_fill(~mask, IGNORE)
    labels[:, :skip] = IGNORE
    return labels[:, 1:]


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Logits (..., V), labels (...) -> (...), 0 where they are IGNORE: 1 - s at the label and s / V at every other
    token, as published (they sum to 1 - s / V)."""
    wanted, there = labels.clamp(min=0), labels != IGNORE
    logs = logits.log_softmax(-1)
    own, everything = logs.gather(-1, wanted[..., None])[..., 0], logs.sum(-1)
    loss = -(1 - smoothing) * own - smoothing / logits.shape[-1] * (everything - own)
    return loss * there


class Said(NamedTuple):
    """What beam search found."""

    ids: Tensor  # (B, longest), padded behind </s>
    scores: Tensor  # (B,) log-probability over the number of tokens before </s>, the prompt's among them: it ranks
    logs: Tensor  # (B,) mean log-probability of the tokens behind the prompt, including </s> where it was generated


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
    for i, *rest in zip(open_.tolist(), totals.tolist(), ids, strict=True):
        length = ids.shape[2]
        closed[i] += [_Closed(total / length, row, total / (length - given)) for total, row in zip(*rest, strict=True)]
    best_of = [max(some, key=lambda one: one.score) for some in closed]
    padded = torch.full((len(best_of), longest), PAD, device=device)
    for row, (_, text, _) in zip(padded, best_of, strict=True):
        row[: len(text) + 1] = torch.cat([text, text.new_tensor([END])])[:longest]
    scores, logs = (torch.tensor([one[k] for one in best_of], device=device) for k in (0, 2))
    return Said(padded, scores, logs)


class _Step(NamedTuple):
    """A way to go on."""

    score: float  # nats, of all tokens so far
    row: int  # of the beams
    token: int


class _Closed(NamedTuple):
    """A finished hypothesis of beam search."""

    score: float
    ids: Tensor  # (L,), </s> not among them
    log: float  # as `Said.logs`


def _closes(closed: list[_Closed], ranked: list[_Step], ids: Tensor, given: int) -> bool:
    """Adds what ends to the hypotheses of one memory, of which the best stay; `ids`: of its beams (K, L), of which
    `given` tokens are the prompt's. Whether none can become better."""
    beams, length = ids.shape
    ends, behind = (step for step in ranked[:beams] if step.token == END), length - given + 1
    closed += [_Closed(step.score / length, ids[step.row], step.score / behind) for step in ends]
    closed[:] = sorted(closed, key=lambda one: -one.score)[:beams]
    return len(closed) == beams and closed[-1].score >= ranked[0].score / length


@torch.no_grad()
def _following(decoder: Decoder, ids: Tensor, memory: Tensor, shortest: int, logs: bool = False) -> Tensor:
    """(B, V): logits, or log probabilities, of the token behind ids (B, L)"""
    logits = decoder.logits(decoder.states(ids, ids != PAD, memory)[:, -1])
    logits = logits.log_softmax(1) if logs else logits
    if ids.shape[1] < shortest:
        logits[:, END] = NEVER
    return logits
