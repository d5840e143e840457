"""A batch in parts, a thread each: the gradients of one that has the whole batch, the same bits whoever is late."""

from __future__ import annotations

import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from xfm import recipes
from xfm.config import ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.data.tokenizer import Tokenizer
from xfm.model.batch import IGNORE, PAD, Batch, Regions, TokenBatch
from xfm.model.blocks import TextLayer
from xfm.model.replicas import Threads, use_group
from xfm.objectives import OBJECTIVES, Pretraining, build, weighted_sum
from xfm.objectives.itc import ITC
from xfm.train import pretrain
from xfm.train.step_gradient import Shards, split

STEP = 100
KEY = (0, STEP)


def config(**changes: Any) -> RunConfig:
    fields = {name.replace("__", "."): value for name, value in changes.items()}
    sizes = {"data.fusion_batch": 0, "data.region_images": 4, "data.regions": 8, "train.steps": 200}
    return recipes.get("smoke").replace(sizes | {"train.shards": 2} | fields)


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return dataset(config()).tokenizer()


@pytest.fixture(scope="module")
def batch(words: Tokenizer) -> Batch:
    return Streams(config(), words)[STEP]


def model_of(c: RunConfig) -> Pretraining:
    return Pretraining(build(c).double(), c).train()


def in_parts(
    p: Pretraining, batch: Batch, on: dict[str, float], count: int = 2
) -> tuple[dict, dict, dict[str, Tensor]]:
    losses, report = Shards(p, count, 1, contextlib.nullcontext)(batch, on, KEY)
    return losses, report, {n: w.grad for n, w in p.model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("objective", [n for n in OBJECTIVES if n != "itm"])  # its negatives are of its own part
def test_the_parts_give_the_losses_and_gradients_of_the_whole(objective: str, count: int, batch: Batch) -> None:
    whole, c = model_of(config()), config()
    expected, _ = whole(batch, {objective: 1.0}, KEY)
    weighted_sum(expected, {objective: 1.0}).backward()
    losses, _, found = in_parts(model_of(c), batch, {objective: 1.0}, count)
    assert {n: v.item() for n, v in losses.items()} == pytest.approx(
        {n: v.item() for n, v in expected.items()}, rel=1e-6
    )
    wanted = {n: w.grad for n, w in whole.model.named_parameters() if w.grad is not None}
    assert wanted.keys() == found.keys()
    for name, grad in wanted.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-9, atol=1e-12, msg=name)
    assert any(grad.abs().max() > 1e-4 for grad in wanted.values())


def test_matching_draws_its_negatives_among_the_pairs_of_a_part(batch: Batch) -> None:
    p = model_of(config())
    losses, _, _ = in_parts(p, batch, {"itm": 1.0})
    alone = []
    for rank, part in enumerate(split(batch, 2)):
        alone.append(p(part, {"itm": 1.0}, (*KEY, rank)))
    for stream in ("pairs", "regions"):
        counts = [len(p[stream].tokens.ids) for p in split(batch, 2)]
        mean = sum(n * out[0][f"{stream}/itm"].item() for n, out in zip(counts, alone, strict=True)) / sum(counts)
        assert losses[f"{stream}/itm"].item() == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("count", [2, 3])
def test_the_parts_are_the_batch(batch: Batch, count: int) -> None:
    parts = split(batch, count)
    for name, whole in batch.items():
        each = [part[name] for part in parts]
        if hasattr(whole, "image"):
            assert torch.equal(torch.cat([p.image for p in each]), whole.image)
        if hasattr(whole, "tokens"):
            sentences = [row[m] for p in each for row, m in zip(p.tokens.ids, p.tokens.mask, strict=True)]
            wanted = [row[m] for row, m in zip(whole.tokens.ids, whole.tokens.mask, strict=True)]
            assert all(map(torch.equal, sentences, wanted)) and len(sentences) == len(wanted)
            labels = torch.cat([p.tokens.labels[p.tokens.labels != IGNORE] for p in each])
            assert torch.equal(labels, whole.tokens.labels[whole.tokens.labels != IGNORE])
            assert all(p.tokens.mask.any(0).all() for p in each), "padded to the longest of its part"
    regions: Any = [part["regions"] for part in parts]
    starts = [0, *torch.tensor([len(r.image) for r in regions]).cumsum(0).tolist()]
    owners = torch.cat([r.owner + start for r, start in zip(regions, starts, strict=False)])
    assert torch.equal(owners, batch["regions"].owner)  # type: ignore[union-attr]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_late_part_changes_no_bit(batch: Batch, dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    c = config(model__text__dropout=dropout, model__vision__drop_path=dropout)
    on = dict.fromkeys(OBJECTIVES, 1.0)
    *first, expected = in_parts(model_of(c), batch, on)
    forward, calls = TextLayer.forward, []

    def late(self: TextLayer, *args: Any, **kwargs: Any) -> Tensor:
        calls.append(self)
        time.sleep(0.02 * (len(calls) % 3 == 0))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(TextLayer, "forward", late)
    *second, found = in_parts(model_of(c), batch, on)
    assert calls and first == second and expected.keys() == found.keys()
    assert all(torch.equal(grad, found[name]) for name, grad in expected.items())


def test_the_error_of_one_part_is_raised_and_ends_the_others(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    p = model_of(config())
    shards, on = Shards(p, 2, 1, contextlib.nullcontext), {"mlm": 1.0, "itc": 1.0}
    good = shards(batch, on, KEY)
    second = shards.replicas[1].model.vision
    monkeypatch.setattr(second, "encode", lambda x: (_ for _ in ()).throw(MemoryError("no room for the second part")))
    with pytest.raises(MemoryError, match="the second part"):
        shards(batch, on, KEY)
    monkeypatch.undo()
    assert shards(batch, on, KEY) == good, "and the next step is as ever"


def test_parts_share_the_weights_and_not_their_gradients(batch: Batch) -> None:
    p = model_of(config())
    shards = Shards(p, 2, 1, contextlib.nullcontext)
    for replica in shards.replicas:
        pairs = zip(p.parameters(), replica.parameters(), strict=True)
        assert all(a.data_ptr() == b.data_ptr() and a is not b for a, b in pairs)
    shards(batch, {"mlm": 1.0}, KEY)
    assert all(w.grad is None for replica in shards.replicas for w in replica.parameters())


def test_a_run_in_parts_resumes_bit_for_bit(tmp_path) -> None:
    c = config(train__steps=6, train__save_every=2, train__validate_every=0, name="parts")
    straight = [*pretrain(c, tmp_path / "a")]
    for record in pretrain(c, tmp_path / "b"):
        if record["step"] == 3:
            break
    again = [*pretrain(c, tmp_path / "b")]
    times = ("seconds", "waited")
    assert [{k: v for k, v in r.items() if k not in times} for r in straight[4:]] == [
        {k: v for k, v in r.items() if k not in times} for r in again
    ]
    a, b = (tmp_path / x / "parts" / "seed0" / "model.safetensors" for x in "ab")
    assert a.read_bytes() == b.read_bytes()


def test_two_of_each_stream_are_needed_in_a_part() -> None:
    with pytest.raises(ConfigError, match=r"train\.shards = 3: must be at most 2: two of the 4 images a shard"):
        config(data__images=4, train__shards=3)
    with pytest.raises(ConfigError, match=r"train\.accumulate = 2: must be at most 1: two of the 3 regions a part"):
        config(data__regions=3, train__shards=1, train__accumulate=2)
    with pytest.raises(ConfigError, match=r"at most 1: two of the 2 pairs that are fused a shard"):
        config(data__fusion_batch=2)


@given(st.lists(st.integers(0, 7), min_size=8, max_size=16), st.integers(1, 4), st.booleans())
def test_every_region_is_in_one_part_with_its_own_picture(owners: list[int], count: int, even: bool) -> None:
    """As many in each where that is asked for, or where a part would have fewer than two."""
    owner, rows = torch.tensor(sorted(owners)), torch.arange(len(owners))
    ids = rows[:, None]
    tokens = TokenBatch(ids, torch.ones_like(ids, dtype=torch.bool), ids, ids, ids)
    pictures = torch.arange(8)[:, None, None, None]
    regions = Regions(pictures, owner, rows[:, None] > 0, tokens, rows[:, None].float(), rows > 0)
    parts: list[Any] = [part["regions"] for part in split({"regions": regions}, count, even)]
    assert torch.cat([part.box[:, 0].long() for part in parts]).tolist() == rows.tolist()
    assert torch.cat([part.image[part.owner, 0, 0, 0] for part in parts]).tolist() == owner.tolist()
    sizes = [len(part.owner) for part in parts]
    assert min(sizes) >= 2 and (not even or max(sizes) - min(sizes) <= 1)
    by_picture = [sum(8 * i // count <= o < 8 * (i + 1) // count for o in owners) for i in range(count)]
    assert even or min(by_picture) < 2 or sizes == by_picture


@pytest.mark.parametrize("count", [2, 4])
def test_false_captions_go_with_their_pairs_and_lose_no_token(count: int, words: Tokenizer) -> None:
    pairs = Streams(config(data__pairs=16, data__relation_negatives=1.0, data__caption_tokens=24), words)[STEP]["pairs"]
    parts = [part["pairs"] for part in split({"pairs": pairs}, count)]
    assert all(part.false_ids.shape == part.tokens.ids.shape == part.tokens.mask.shape for part in parts)
    assert min(part.tokens.ids.shape[1] for part in parts) < pairs.tokens.ids.shape[1]  # trimmed
    for name in ("ids", "false_ids"):
        whole = [row[row != PAD].tolist() for row in getattr(pairs.tokens if name == "ids" else pairs, name)]
        rows = [getattr(part.tokens if name == "ids" else part, name) for part in parts]
        assert [row[row != PAD].tolist() for each in rows for row in each] == whole


@pytest.mark.parametrize("stream", ["pairs", "regions"])
def test_the_contrast_finds_its_own_among_everyones(stream: str, batch: Batch) -> None:
    """So its accuracy is that of the whole batch, and its chance one in all of it."""
    p, on = model_of(config()), {"itc": 1.0}
    with torch.no_grad():
        _, whole = p(batch, on, KEY)
    _, found, _ = in_parts(p, batch, on)
    key = f"{stream}/itc/accuracy"
    assert float(found[key]) == pytest.approx(float(whole[key]), abs=1e-6)


def test_the_contrast_finds_its_own_where_parts_are_of_other_lengths() -> None:
    """As regions are, which go with their pictures."""
    itc, same = ITC(config()), torch.eye(8)

    def found(peers: Threads, rows: Tensor) -> float:
        with use_group(peers):
            return itc(SimpleNamespace(features=(rows, rows))).report["accuracy"].item()

    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(found, Threads.of(2), same.split([3, 5]))] == [1.0, 1.0]


@pytest.mark.parametrize("count", [2, 3])
def test_whoever_is_late_to_look_sees_what_was_handed_over_at_that_meeting(count: int) -> None:
    """Also where the others have gone on to the next meeting, as far as they can without it."""
    meetings = 60

    def attend(peers: Threads) -> list[list[float]]:
        draw, wait = random.Random(peers.rank), peers._barrier.wait

        def late() -> None:
            wait()
            time.sleep(draw.choice([0, 0, 0.003]))  # between the meeting and the look

        peers._barrier = SimpleNamespace(wait=late)  # type: ignore[assignment]
        return [[x.item() for x in peers.gather(torch.tensor(10.0 * n + peers.rank))] for n in range(meetings)]

    with ThreadPoolExecutor(count) as pool:
        for seen in pool.map(attend, Threads.of(count)):
            assert seen == [[10.0 * n + rank for rank in range(count)] for n in range(meetings)]
