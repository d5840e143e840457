"""A GPU trains and evaluates as a CPU does: the same losses and gradients, the same resume, no wait within a step. Each
test runs on a CPU, so that it is known to run, and on a GPU (`make gpu`), which it is for."""

import itertools
import runpy
from pathlib import Path
from typing import Any

import few
import pytest
import torch
from accelerate.state import AcceleratorState
from reference import batches
from reference.batches import STILL
from torch import Tensor

from xfm import recipes
from xfm.config import RunConfig
from xfm.data.skipped_items import SkippedItems
from xfm.model import attention
from xfm.model.batch import tree_map
from xfm.model.kernels import waits
from xfm.objectives import Pretraining
from xfm.tasks import evaluate
from xfm.train import Run, loop, pretrain, step_gradient

GPU = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "gpu.py"))


@pytest.fixture(params=[pytest.param("cpu", marks=pytest.mark.full), pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request, monkeypatch):
    """Where the test, and a run that it trains, computes; without TF32."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    if request.param == "cuda":
        monkeypatch.delenv("ACCELERATE_USE_CPU")  # another folder's tests set it
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    AcceleratorState._reset_state(reset_partial_state=True)
    yield torch.device(request.param)
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_float32_matmul_precision(before)


def step(p: Pretraining, device: torch.device, dtype: torch.dtype, narrow: bool = False) -> dict[str, Tensor]:
    p, batch = p.to(device, dtype).train(), tree_map(lambda t: t.to(device), batches.batch(p.config))
    p.zero_grad()
    with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
        losses, report = p(batch, batches.ALL, (0, 0))
    torch.stack([*losses.values()]).sum().backward()
    found = losses | report | {n: w.grad for n, w in p.named_parameters() if w.grad is not None}
    return {name: value.detach().cpu().double() for name, value in found.items()}


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor], rtol: float) -> None:
    """By tensor, to a share of its own largest value; what is next to zero, of the largest of all (a key's bias)."""
    assert ours.keys() == theirs.keys()
    floor = 1e-3 * max(float(value.abs().max()) for value in theirs.values())
    errors = {name: float((ours[name] - value).abs().max()) for name, value in theirs.items()}
    assert not {n: e for n, e in errors.items() if e > rtol * max(float(theirs[n].abs().max()), floor)}


def test_smoke_has_the_losses_and_gradients_of_fp64_on_a_cpu(device):
    found = GPU["parity"](recipes.get("smoke"), device)
    assert found["losses"] < 1e-5 and found["gradients"] < 1e-4


@pytest.mark.parametrize("encoder", [{}, {"model__vision__encoder": "open_clip", "model__text__encoder": "open_clip"}])
def test_every_gradient_is_that_of_fp64_on_a_cpu(device, encoder):
    exact = step(batches.pretraining(**STILL, **encoder), torch.device("cpu"), torch.float64)
    assert_close(step(batches.pretraining(**STILL, **encoder), device, torch.float32), exact, 2e-4)


@pytest.mark.parametrize("narrow", [False, True], ids=["fp32", "bf16"])
def test_sdpa_has_the_losses_and_gradients_of_the_plain_form_and_bf16_is_close_to_fp32(device, narrow, monkeypatch):
    monkeypatch.setattr(attention, "waits", lambda device: True)
    found = []
    for explicit in (True, False):
        monkeypatch.setattr(attention, "prefers_explicit", lambda q, explicit=explicit: explicit)
        found.append(step(batches.pretraining(**STILL), device, torch.float32, narrow))
    if narrow:  # gradients of a tiny model in bf16 say little
        found.append(step(batches.pretraining(**STILL), device, torch.float32))
        found = [{n: value for n, value in each.items() if n.count("/") == 1} for each in found]
    for other in found[1:]:
        assert_close(other, found[0], 5e-2 if narrow else 2e-4)


def smoke(**changes: Any) -> RunConfig:
    fields = {name.replace("__", "."): value for name, value in changes.items()}
    still = {"train.shards": 1, "train.steps": 12, "train.precision": "fp32", "train.validate_every": 6}
    return recipes.get("smoke").replace(STILL | still | fields)


def test_a_run_trains_goes_on_and_is_evaluated(device, tmp_path, monkeypatch):
    """A resume is exact to the bit on a CPU; on a GPU sums are in no fixed order."""
    config, whole, cut = smoke(), tmp_path / "whole", tmp_path / "cut"
    expected = [*pretrain(config, whole)]
    records = [*itertools.islice(pretrain(config, cut), 7)]
    records += pretrain(config, cut)
    assert [r["step"] for r in records] == [*range(12)]
    found, wanted = ([[r[n] for n in ("loss", "grad_norm")] for r in of] for of in (records, expected))
    assert found == ([pytest.approx(each, rel=1e-3) for each in wanted] if waits(device) else wanted)
    run, asked = Run.of(config, cut), {"tasks": ["retrieval", "grounding"]}
    few.ask_few(monkeypatch.setattr)
    results = evaluate(run.model().to(device), config, run.tokenizer(), **asked)
    on_a_cpu = evaluate(run.model(), config, run.tokenizer(), **asked)
    assert [r.metric for r in results] == [r.metric for r in on_a_cpu]
    assert [r.value for r in results] == pytest.approx([r.value for r in on_a_cpu], abs=0.1)


def test_compiled_encoders_train_alike(device, tmp_path):
    """Without falling back, as torch does where it has compiled too often. On a CPU nothing is compiled."""
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        runs = [[*pretrain(smoke(train__compile=on), tmp_path / str(on))] for on in (False, True)]
    first = [[value for name, value in records[0].items() if name.count("/") == 1] for records in runs]
    assert first[1] == pytest.approx(first[0], rel=1e-3)
    assert runs[1][-1]["loss"] == pytest.approx(runs[0][-1]["loss"], rel=1e-2)


@pytest.mark.parametrize("parts", [1, 2])
def test_no_step_waits_but_for_its_record(parts, device, tmp_path, monkeypatch):
    """As torch itself sees it (on a CPU: `tests/train/test_step_gradient.py`)."""

    def watched(on: bool) -> None:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("error" if on else "default")

    def watch(owner: Any, name: str, within: bool, after: bool) -> None:
        """Whether a wait is an error while this is called, and from then on."""
        call = getattr(owner, name)

        def called(*args: Any, **kwargs: Any) -> Any:
            watched(within)
            told = call(*args, **kwargs)
            watched(after)
            return told

        monkeypatch.setattr(owner, name, called)

    watch(step_gradient, "on_device", True, True)
    watch(loop, "means_on_host", False, True)
    watch(SkippedItems, "record", False, False)
    try:
        config = smoke(train__validate_every=0, train__accumulate=parts, data__region_images=4)
        assert len([*pretrain(config, tmp_path)]) == 12
    finally:
        watched(False)


def test_the_benchmark_measures_a_run(device):
    found = GPU["training"](smoke(), 10, device, product=256)
    assert found["step_seconds"] > 0 and found["mfu"] > 0 and found["step_flop"] > 0
    assert (found["memory"]["peak"] is not None) == (device.type == "cuda")
    assert {n.split("/")[1] for n in found["losses"]} == set(batches.ALL)
