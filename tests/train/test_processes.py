"""Two and four processes (gloo, on the CPU) do what one does with the samples of all."""

import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from train import ranks
from train.conftest import equal

from xfm.data.streams import Streams
from xfm.model.batch import IGNORE, PAD, Images, Pairs, Regions, Stream, Texts, TokenBatch
from xfm.objectives import Pretraining, build
from xfm.train import Run, pretrain
from xfm.train.step_gradient import split

pytestmark = pytest.mark.full


def launch(task: str, world: int, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    if not torch.cuda.is_available():
        environment.pop("ACCELERATE_USE_CPU", None)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={world}"]
    command = [sys.executable, *launcher, ranks.__file__, task, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def of_each(task: str, world: int, folder: Path) -> list[dict]:
    done = launch(task, world, folder)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{task}{rank}.pt", weights_only=True) for rank in range(world)]


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "tokenizer.json").write_bytes((trained.folder / "tokenizer.json").read_bytes())
    return folder


@pytest.fixture(scope="module")
def two(folder):
    return of_each("two", 2, folder)


@pytest.fixture(scope="module")
def four(two, folder):
    return of_each("four", 4, folder)


def joined(parts: Sequence[Any]) -> Stream:
    def all_of(field: str) -> Tensor:
        return torch.cat([getattr(part, field) for part in parts])

    def padded(field: str, value: int | bool) -> Tensor:
        found = [getattr(part.tokens, field) for part in parts]
        longest = max(t.shape[1] for t in found)
        return torch.cat([torch.nn.functional.pad(t, (0, longest - t.shape[1]), value=value) for t in found])

    if isinstance(parts[0], Images):
        return Images(all_of("image"), all_of("image_mask"))
    fill = {"ids": PAD, "mask": False, "masked_ids": PAD, "masked_at": 0, "labels": IGNORE}
    words = TokenBatch(**{field: padded(field, value) for field, value in fill.items()})
    if isinstance(parts[0], Texts):
        return Texts(words)
    if isinstance(parts[0], Pairs):
        return Pairs(all_of("image"), words, all_of("image_mask"))
    before = itertools.accumulate((len(part.image) for part in parts), initial=0)
    owner = torch.cat([part.owner + n for part, n in zip(parts, before, strict=False)])
    return Regions(all_of("image"), owner, all_of("patches"), words, all_of("box"), all_of("is_image"))


CASES = [(2, way, o) for way in ranks.WAYS for o in (ranks.SUMS if way == "parts" else ranks.OBJECTIVES)]
CASES += [(4, way, o) for way in ("ddp", "fsdp") for o in ranks.OBJECTIVES]


@pytest.mark.parametrize(("world", "way", "objective"), CASES)
def test_the_gradients_of_several_are_those_of_one_with_all_samples(world, way, objective, two, four, trained):
    config, words = ranks.gradient_config(), trained.tokenizer()
    parts: list[Any] = [Streams(config, words, rank=rank)[ranks.STEP] for rank in range(world)]
    if objective in ("mlm", "imlm"):
        stream = "texts" if objective == "mlm" else "pairs"
        counts = {int((part[stream].tokens.labels != IGNORE).sum()) for part in parts}
        assert len(counts) > 1, "a mean of means would be another one"
    batch = {name: joined([part[name] for part in parts]) for name in parts[0]}
    model = build(config).double()
    losses, _ = Pretraining(model, config)(batch, {objective: 1.0}, (0, ranks.STEP))
    torch.stack([*losses.values()]).sum().backward()
    for rank in two if world == 2 else four:
        found = rank[way][objective]
        assert found["losses"] == pytest.approx({name: loss.item() for name, loss in losses.items()}, rel=1e-6)
        expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        for name, gradient in found["gradients"].items():
            wanted = expected.get(name, torch.zeros_like(gradient))
            assert torch.allclose(gradient, wanted, rtol=1e-9, atol=1e-12 * wanted.abs().max().item() + 1e-14), name
        assert expected.keys() <= found["gradients"].keys()
        assert any(g.abs().max() > 1e-4 for g in expected.values())


def test_two_processes_train_one_model_also_with_sharded_weights(two, folder):
    first, second = (rank["train"] for rank in two)
    assert len(first["seen"]) == len(second["seen"]) > 8
    assert not any(a.shape == b.shape and torch.equal(a, b) for a, b in zip(first["seen"], second["seen"], strict=True))
    run = Run.of(Run.open(folder / "runs" / "smoke+stage1+no_guidance" / "seed0").config, folder / "runs")
    assert run.done and equal(first["weights"], second["weights"])
    assert all(torch.equal(t, first["weights"][name]) for name, t in run.model().state_dict().items())
    assert second["written"] == [], "the main process alone writes"
    assert {"config.json", "tokenizer.json", "init.safetensors", "state.pt", "DONE"} <= set(first["written"])
    plain = [ranks.plain(rank["records"]) for rank in (first, second)]
    assert plain[0] == plain[1], "means over both"
    assert [r["step"] for r in plain[0]] == [0, 1, 0, 1, 2, 3]
    assert [r["step"] for r in run.metrics()] == [0, 1, 2, 3]
    runs = [Run.open(folder / "straight" / way / "seed0") for way in ("ddp", "fsdp")]
    assert runs[0].config.replace({"name": "fsdp"}).fingerprint == runs[1].config.fingerprint
    for one, other in zip(*(run.metrics() for run in runs), strict=True):
        assert one.get("levels") == other.get("levels")
        for name in one.keys() - {"run", "levels", *ranks.TIMES}:
            assert other[name] == pytest.approx(one[name], rel=1e-3, abs=1e-5), name
    whole, sharded = (torch.load(run.folder / "state.pt", weights_only=True) for run in runs)
    assert {n: t.shape for n, t in whole["model"].items()} == {n: t.shape for n, t in sharded["model"].items()}
    moments = [state["optimizer"]["state"] for state in (whole, sharded)]
    torch.testing.assert_close(moments[1], moments[0], rtol=1e-3, atol=1e-6)


def test_in_parts_itc_contrasts_with_the_same_part_of_the_others(two, trained):
    """Of which each process has as many, regions too: gathered, they are one batch."""
    config, words = ranks.gradient_config(), trained.tokenizer()
    batches = [Streams(config, words, rank=rank)[ranks.STEP] for rank in range(2)]
    parts: list[Any] = [split(batch, ranks.PARTS, even=True) for batch in batches]
    assert config.data.regions and [len(own["regions"].owner) for own in parts[0]] == [config.data.regions // 2] * 2
    model, sums = build(config).double(), dict[str, float]()
    for i in range(ranks.PARTS):
        batch = {name: joined([own[i][name] for own in parts]) for name in batches[0]}
        losses, _ = Pretraining(model, config)(batch, {"itc": 1.0}, (0, ranks.STEP))
        (sum(losses.values()) / ranks.PARTS).backward()
        sums = {name: sums.get(name, 0.0) + loss.item() / ranks.PARTS for name, loss in losses.items()}
    assert {*sums} == {"pairs/itc", "regions/itc"}
    for rank in two:
        found = rank["parts"]["itc"]
        assert found["losses"] == pytest.approx(sums, rel=1e-6)
        for name, p in model.named_parameters():
            if p.grad is not None:
                torch.testing.assert_close(found["gradients"][name], p.grad, rtol=1e-8, atol=1e-12, msg=name)


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_a_signal_to_one_of_them_ends_all_after_its_step_and_the_run_goes_on_bit_for_bit(way, two, folder):
    name = Path(way) / "seed0"
    said = f"143: saved after step 2 of 4, in {folder / 'left' / name}: the same call goes on from there"
    for rank in two:
        assert rank[f"{way} said"] == said
        assert [r["step"] for r in rank[f"{way} resumed"]] == [2, 3]
        assert rank[f"{way} resumed"] == rank[f"{way} straight"][2:]
    assert [r.get("processes") for r in Run.open(folder / "left" / name).metrics()] == [2, None, None, None]
    left, straight = (torch.load(folder / kind / name / "state.pt", weights_only=True) for kind in ("left", "straight"))
    assert left["optimizer"]["state"] and equal(left, straight)


def test_four_processes_go_on_where_two_were_and_so_does_one(four, folder, two):
    records = Run.open(folder / "left" / "ddp-others" / "seed0").metrics()
    assert [r.get("processes") for r in records] == [2, None, 4, None]
    for rank in four:
        assert [r["step"] for r in rank["resumed"]] == [2, 3]
    assert [len(rank["heard"]) for rank in four] == [1, 0, 0, 0], "the main process says so"
    assert re.search(r"trained by 2 processes and goes on with 4\b.* 4/2 of the samples", four[0]["heard"][0])
    config = ranks.left_config("fsdp-others")
    with pytest.warns(UserWarning, match=r"was trained by 2 processes and goes on with 1\b.* 1/2 of the samples"):
        assert [r["step"] for r in pretrain(config, folder / "left")] == [2, 3]
    records = Run.open(folder / "left" / "fsdp-others" / "seed0").metrics()
    assert [r.get("processes") for r in records] == [2, None, 1, None]


def test_a_killed_process_ends_all_with_a_message_and_the_run_goes_on(folder, trained):
    began, done = time.monotonic(), launch("killed", 2, folder)
    assert done.returncode != 0 and "Signal 9 (SIGKILL)" in done.stderr
    assert time.monotonic() - began < 120, "nobody waits for the dead"
    place = folder / "left" / "killed" / "seed0"
    assert "step 2: another of the training's processes has ended, or does not answer (" in done.stderr
    assert f"What was saved stays in {place}, and the same call goes on from there" in done.stderr
    config = ranks.left_config("killed")
    with pytest.warns(UserWarning, match="was trained by 2 processes"):
        assert [r["step"] for r in pretrain(config, folder / "left")] == [2, 3]
    assert Run.open(place).done
