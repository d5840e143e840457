"""Answers of several lengths are scored and ranked as each would be alone."""

from typing import Any

import pytest
import torch
from reference import batches
from torch import Tensor

from xfm.tasks.finetuning.decoder import Decoder
from xfm.tasks.own.vqa import nll, question_states, rank

ANSWERS = [[7, 8, 9], [7], [11, 12], [13], [7, 8], [14, 15, 16, 17]]


def padded(answers: list[list[int]]) -> tuple[Tensor, Tensor]:
    rows = [[0, *answer, 2] for answer in answers]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [1] * (longest - len(row)) for row in rows])
    return ids, ids != 1


@pytest.fixture(scope="module")
def asked() -> tuple[Decoder, Tensor, Tensor]:
    config = batches.config(model__vision__width=24, model__vision__heads=2)  # the decoder looks at fused texts, too
    model: Any = batches.model(config)
    batch = batches.batch(config)["pairs"]
    tokens = batch.tokens
    with torch.no_grad():
        states = question_states(model, tokens.ids, tokens.mask, batch.image.to(model.dtype))
    assert not tokens.mask.all()
    return Decoder.of(model, model.config.text.width).eval(), states, tokens.mask


def alone(decoder: Decoder, states: Tensor, seen: Tensor, answer: list[int]) -> Tensor:
    ids = torch.tensor([[0, *answer, 2]])
    logs = decoder(ids, ids != 1, states[None, seen], torch.ones(1, int(seen.sum()), dtype=torch.bool)).log_softmax(-1)
    return -sum(logs[0, i, token] for i, token in enumerate(ids[0, 1:].tolist()))[None]  # type: ignore[index]


@torch.no_grad()
def test_nats_are_those_of_each_answer_alone(asked: tuple[Decoder, Tensor, Tensor]) -> None:
    decoder, states, seen = asked
    own = torch.tensor([1, 0, 1, 0, 0, 2])
    together = nll(decoder, *padded(ANSWERS), states, seen, own)
    each = torch.cat([alone(decoder, states[i], seen[i], a) for i, a in zip(own.tolist(), ANSWERS, strict=True)])
    torch.testing.assert_close(together, each, rtol=0, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("k", [2, 4, 6])
def test_the_likeliest_by_their_first_token_are_ranked_by_all(k: int, asked: tuple[Decoder, Tensor, Tensor]) -> None:
    decoder, states, seen = asked
    ids, mask = padded(ANSWERS)
    ranked = rank(decoder, states, seen, ids, mask, k)
    start = torch.zeros(1, 1, dtype=torch.long)
    for i in range(len(states)):
        first = decoder(start, start == 0, states[i : i + 1], seen[i : i + 1])[0, 0, ids[:, 1]]
        nats = {a: alone(decoder, states[i], seen[i], ANSWERS[a]).item() for a in ranked.answers[i].tolist()}
        assert len(nats) == k and [*nats] == sorted(nats, key=lambda a: nats[a])
        left = [a for a in range(len(ANSWERS)) if a not in nats]
        assert all(first[a] <= first[b] for a in left for b in nats)
        torch.testing.assert_close(ranked.probabilities[i], (-torch.tensor([*nats.values()])).softmax(0).to(states))
