"""Two processes (gloo, on the CPU) do what one does with the samples of both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from train import ranks

from xfm.batch import IGNORE, PAD, Images, Pairs, Regions, Stream, Texts, TokenBatch
from xfm.data.streams import Streams
from xfm.objectives import Pretraining, build
from xfm.train import Run


@pytest.fixture(scope="module")
def launched(trained, tmp_path_factory) -> tuple[Path, list[dict]]:
    """The folder, and what each of two processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "tokenizer.json").write_bytes((trained.folder / "tokenizer.json").read_bytes())
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if not torch.cuda.is_available():
        del environment["ACCELERATE_USE_CPU"]
    done = subprocess.run([*launch, ranks.__file__, str(folder)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def padded(a: Tensor, b: Tensor, value: int | bool) -> Tensor:
    longest = max(a.shape[1], b.shape[1])
    return torch.cat([torch.nn.functional.pad(t, (0, longest - t.shape[1]), value=value) for t in (a, b)])


def joined(a: Any, b: Any) -> Stream:
    """The batch of both."""

    def both(field: str) -> Tensor:
        return torch.cat([getattr(a, field), getattr(b, field)])

    if isinstance(a, Images):
        return Images(both("image"), both("image_mask"))
    fill = {"ids": PAD, "mask": False, "masked_ids": PAD, "masked_at": 0, "labels": IGNORE}
    words = TokenBatch(**{f: padded(getattr(a.tokens, f), getattr(b.tokens, f), value) for f, value in fill.items()})
    if isinstance(a, Texts):
        return Texts(words)
    if isinstance(a, Pairs):
        return Pairs(both("image"), words, both("image_mask"))
    owner = torch.cat([a.owner, b.owner + len(a.image)])
    return Regions(both("image"), owner, both("patches"), words, both("box"), both("is_image"))


@pytest.mark.parametrize("objective", ranks.OBJECTIVES)
def test_the_gradients_of_two_are_those_of_one_with_both_halves(objective, launched, trained):
    config, words = ranks.gradient_config(), trained.tokenizer()
    seeds = [ranks.rank_seed(config, rank) for rank in range(2)]
    halves: list[Any] = [Streams(config.replace({"seed": seed}), words)[ranks.STEP] for seed in seeds]
    if objective in ("mlm", "imlm"):
        stream = "texts" if objective == "mlm" else "pairs"
        counts = [(half[stream].tokens.labels != IGNORE).sum() for half in halves]
        assert counts[0] != counts[1], "a mean of means would be another one"
    batch = {name: joined(*(half[name] for half in halves)) for name in halves[0]}
    model = build(config).double()
    losses, _ = Pretraining(model, config)(batch, {objective: 1.0}, (0, ranks.STEP))
    torch.stack([*losses.values()]).sum().backward()
    for rank in launched[1]:
        found = rank["gradients"][objective]
        assert found["losses"] == pytest.approx({name: loss.item() for name, loss in losses.items()}, rel=1e-6)
        expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        for name, gradient in found["gradients"].items():
            wanted = expected.get(name, torch.zeros_like(gradient))
            assert torch.allclose(gradient, wanted, rtol=1e-9, atol=1e-12 * wanted.abs().max().item() + 1e-14), name
        assert expected.keys() <= found["gradients"].keys()
        assert any(g.abs().max() > 1e-4 for g in expected.values())


def test_two_processes_train_one_model(launched):
    folder, found = launched
    first, second = (rank["train"] for rank in found)
    assert len(first["seen"]) == len(second["seen"]) > 8
    assert not any(a.shape == b.shape and torch.equal(a, b) for a, b in zip(first["seen"], second["seen"], strict=True))
    assert all(torch.equal(t, second["weights"][name]) for name, t in first["weights"].items())
    config = Run.open(folder / "runs" / "smoke+stage1+no_guidance" / "seed0").config
    run = Run.of(config, folder / "runs")
    assert run.done
    saved = run.model().state_dict()
    assert all(torch.equal(t, saved[name]) for name, t in first["weights"].items())

    assert second["written"] == [], "the main process alone writes"
    assert {"config.json", "tokenizer.json", "init.safetensors", "state.pt", "DONE"} <= set(first["written"])
    plain = [
        [{k: v for k, v in r.items() if k not in ("seconds", "waited")} for r in rank["records"]]
        for rank in (first, second)
    ]
    assert plain[0] == plain[1], "means over both"
    assert [r["step"] for r in plain[0]] == [0, 1, 0, 1, 2, 3]
    assert [r["step"] for r in run.metrics()] == [0, 1, 2, 3]
