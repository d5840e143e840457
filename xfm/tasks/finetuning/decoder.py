"""A causal language model that looks at what an encoder made: it answers questions, and writes captions (ALBEF, X-FM).

It starts as a copy of the fusion encoder, the only one whose layers look at another sequence. Beam search is that of
transformers 4.12, by which the published captions were made.
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


class _Closed(NamedTuple):
    """A finished hypothesis of beam search."""

    score: float
    ids: Tensor  # (L,), </s> not among them
    log: float  # as `Said.logs`


@torch.no_grad()
def beam_search(
    decoder: Decoder, memory: Tensor, prompt: Tensor, beams: int = 3, longest: int = 20, shortest: int = 0
) -> Said:
    """What is likely behind prompts (B, P) that look at memory (B, S, C): the best of `beams` side by side by
    `Said.scores`, as transformers ranks them; one beam is greedy. `longest` and `shortest` count the prompt; no </s>
    comes before `shortest`."""
    device, ids, given = prompt.device, prompt[:, None].expand(-1, beams, -1), prompt.shape[1]
    totals = torch.full((len(prompt), beams), -1e9, device=device)  # but for one: all are equal at first
    totals[:, 0] = 0.0
    open_ = torch.arange(len(prompt), device=device)  # of which memories `ids` and `totals` are
    closed: list[list[_Closed]] = [[] for _ in prompt]
    while len(open_) and (length := ids.shape[2]) < longest:
        rows, seen = ids.flatten(0, 1), memory[open_].repeat_interleave(beams, 0)
        logs = decoder.logits(decoder.states(rows, rows != PAD, seen)[:, -1]).log_softmax(1)
        if length < shortest:
            logs[:, END] = NEVER
        words = logs.shape[1]
        scores, places = (totals.flatten()[:, None] + logs.float()).view(len(open_), -1).topk(2 * beams)
        still, going = list[int](), list[list[tuple[float, int, int]]]()  # score, beam and token of each way to go on
        for n, (i, *best) in enumerate(zip(open_.tolist(), scores.tolist(), places.tolist(), strict=True)):
            steps = [(score, *divmod(place, words)) for score, place in zip(*best, strict=True)]
            ends, behind = [step for step in steps[:beams] if step[2] == END], length - given + 1
            closed[i] += [_Closed(score / length, ids[n, beam], score / behind) for score, beam, _ in ends]
            closed[i] = sorted(closed[i], key=lambda one: -one.score)[:beams]
            if len(closed[i]) < beams or closed[i][-1].score < steps[0][0] / length:  # else none can become better
                still.append(n)
                going.append([step for step in steps if step[2] != END][:beams])
        totals, beam, tokens = torch.tensor(going, device=device).view(-1, beams, 3).unbind(2)
        kept = torch.tensor(still, dtype=torch.long, device=device)
        ids = torch.cat([ids[kept[:, None], beam.long()], tokens.long()[..., None]], 2)
        open_ = open_[kept]
    for i, *rest in zip(open_.tolist(), totals.tolist(), ids, strict=True):
        length = ids.shape[2]
        closed[i] += [_Closed(total / length, row, total / (length - given)) for total, row in zip(*rest, strict=True)]
    best_of = [max(some, key=lambda one: one.score) for some in closed]
    padded = torch.full((len(best_of), longest), PAD, device=device)
    for row, (_, text, _) in zip(padded, best_of, strict=True):
        row[: len(text) + 1] = torch.cat([text, text.new_tensor([END])])[:longest]
    scores, logs = (torch.tensor([one[k] for one in best_of], device=device) for k in (0, 2))
    return Said(padded, scores, logs)
