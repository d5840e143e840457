"""Answers: normalised and scored as the VQA challenge's own code does; those of several lengths as each alone."""

import re
from hashlib import sha256
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import batches
from torch import Tensor

from xfm.tasks.finetuning.decoder import Decoder
from xfm.tasks.finetuning.protocol import APOSTROPHES, normalised, soft_accuracy
from xfm.tasks.own.vqa import nll, question_states, rank


def test_contractions_are_the_official_ones() -> None:
    """By the digest of vqaEval.py's, without what a text in lower case never has (I'm) and what stays (let's)."""
    table = " ".join(f"{short} {whole}" for short, whole in sorted(APOSTROPHES.items()))
    assert sha256(table.encode()).hexdigest()[:16] == "425a8815a348c018"


def official(text: str) -> str:
    text = text.replace("\n", " ").replace("\t", " ").strip()
    out = text
    for p in ';/[]"{}()=+\\_-><@`,?!':
        if p + " " in text or " " + p in text or re.search(r"(\d)(\,)(\d)", text) is not None:
            out = out.replace(p, "")
        else:
            out = out.replace(p, " ")
    out = re.sub(r"(?!<=\d)(\.)(?!\d)", "", out)
    numbers = "zero one two three four five six seven eight nine ten".split()
    digits = {"none": "0"} | {n: str(i) for i, n in enumerate(numbers)}
    words = [digits.get(w, w) for w in out.lower().split()]
    return " ".join(APOSTROPHES.get(w, w) for w in words if w not in ("a", "an", "the"))


WORDS = "The Dog a ? two None ten twelve dont 2,000 Yes. 2.5 7:30 black-white - ice-cream, red/blue /blue tom's (an) \n"
TEXTS = st.lists(st.sampled_from(WORDS.split(" ")), max_size=6).map(" ".join)


@settings(max_examples=60)
@given(TEXTS | st.text(st.sampled_from("aAtTheno2 ,.-/'?!\n1"), max_size=14) | st.text(max_size=14))
def test_any_answer_is_normalised_as_the_official_code_does_if_that_leaves_anything(text: str) -> None:
    assert normalised(text) == (official(text) or re.sub(r"[\n\t]", " ", text).strip().lower())


@given(st.lists(st.sampled_from("abc"), min_size=4, max_size=10), st.sampled_from("abcd"))
def test_soft_accuracy_is_the_mean_over_subsets(answers: list[str], said: str) -> None:
    each = [min(1, (answers[:i] + answers[i + 1 :]).count(said) / 3) for i in range(len(answers))]
    assert soft_accuracy(said, answers) == pytest.approx(sum(each) / len(each))
    shares = [soft_accuracy("yes", ["yes"] * same + ["no"] * (10 - same)) for same in (0, 1, 2, 3, 4, 10)]
    assert shares == pytest.approx([0, 0.3, 0.6, 0.9, 1, 1]), "the challenge's values of ten people"


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
