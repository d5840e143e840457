"""What the machine refuses or takes away in mid-training, for real: the way out is said, and nothing is lost."""

import errno
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from contextlib import closing

import numpy as np
import pytest
import torch
from train import drive
from train.conftest import left
from train.drive import process, received

from xfm import recipes
from xfm.base.files import FileError
from xfm.data import batch_loader, streams
from xfm.runs.errors import explain_failures
from xfm.train import LoaderFailed, OutOfMemory, Run, RunError, loop, pretrain

pytestmark = pytest.mark.full


def test_a_full_disk(config, trained, tmp_path, processes, assert_same):
    config = config.replace({"train.save_every": 1})
    with process(processes, drive.disk_full, config, tmp_path) as (_, reports):
        reason, *found = received(reports)
    assert len(found) == 7, found
    written = ("metrics.jsonl|manifest.json", "manifest.json|model.safetensors", "state.pt")  # a page has room
    for i, names in enumerate(written):
        (steps, said, same, left), again = found[2 * i : 2 * i + 2]
        full = rf"FileError: .*seed0/({names}): cannot be written \({reason}\); the last good file is kept. Make room"
        assert steps == [] and same and re.match(full, said), said
        assert not [n for n in left if n.startswith(".") and n != ".lock"], "no half file is left"
        assert again == 2 + i, "what could not be saved is done again"
    assert found[-1] == ([*range(5, 12)], "")
    assert_same(Run.of(config, tmp_path / "copy").folder, trained.folder)


def test_a_read_only_folder(config, trained, tmp_path, processes, assert_same):
    finished = tmp_path / "finished" / "smoke" / "seed0"
    shutil.copytree(trained.folder, finished)
    config = config.replace({"train.save_every": 2})
    with process(processes, drive.read_only, config, finished, tmp_path) as (_, reports):
        became, was, records, again, opened, read, evaluated = received(reports)
    refused = r"cannot be written (Permission denied); the last good file is kept. Make room or rights there"
    assert became[0] == [] and f"seed0/manifest.json: {refused}" in became[1]
    assert was[0] == [] and f"seed0/.lock: {refused}" in was[1]
    assert records == [0, 1, 2, 3], "it can still be read, with what led there"
    assert again == ([*range(2, 12)], "")
    assert_same(Run.of(config, tmp_path).folder, trained.folder)

    assert opened == ([*range(12)], "")
    assert read == (12, False, config.model.text.vocabulary)
    (metric, *_), (warned,) = evaluated
    assert metric == "accuracy" and "manifest.json: cannot be written (Permission denied)" in warned
    assert {p.name for p in finished.iterdir()} == {p.name for p in trained.folder.iterdir()}


def test_a_cache_that_is_deleted(config, trained, tmp_path, processes, assert_same):
    config, cache = config.replace({"data.workers": 2}), tmp_path / "cache"
    shutil.copytree(os.environ["XFM_CACHE"], cache)
    with process(processes, drive.cache_deleted, config, tmp_path, cache) as (_, reports):
        outcome, files = received(reports)
    assert outcome == ([*range(1, 12)], "")
    assert [name for name in files if name.startswith("openmoji-")], "made again, where it was needed again"
    assert_same(Run.of(config, tmp_path).folder, trained.folder)


SHARED = (
    "shared memory (/dev/shm, in a container): data.workers = {} may be lowered in the same run, to 0 for no processes"
)


def test_a_loader_that_is_killed(config, trained, tmp_path, monkeypatch, assert_same):
    list(torch.utils.data.DataLoader([0], num_workers=1))  # somebody else's: it leaves torch's signal handler behind
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.5)  # s; else 5
    changed, steps = config.replace({"data.workers": 2, "train.save_every": 100}), []
    with pytest.raises(LoaderFailed) as error:
        for record in pretrain(changed, tmp_path):
            steps.append(record["step"])
            if record["step"] == 1:
                victim = multiprocessing.active_children()[0]
                os.kill(victim.pid, signal.SIGKILL)
                time.sleep(0.1)  # where torch would have raised in this line
    run = Run.of(config, tmp_path)
    assert str(error.value) == (
        f"step {len(steps)}: a loader process (pid {victim.pid}) died. What was saved stays in {run.folder}, and the "
        f"same call goes on from there. If it happens again, memory is short, or {SHARED.format(2)}"
    )
    assert steps == [*range(len(steps))] and not multiprocessing.active_children()
    assert [r["step"] for r in run.metrics()] == steps, "saved to the last whole step"
    assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(len(steps), 12)]
    assert_same(run.folder, trained.folder)


def test_whatever_is_said_of_a_dead_loader_is_one_error(config, trained, tmp_path, monkeypatch):
    """Where a worker is alive it is what it is: an error of the data."""

    def fails(kill: bool) -> None:
        def next_(self):
            if kill:
                self._workers[0].kill()
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")

        monkeypatch.setattr(torch.utils.data.dataloader._BaseDataLoaderIter, "__next__", next_)

    config = config.replace({"data.workers": 1})
    made = streams.Streams(config, trained.tokenizer())
    with pytest.raises(FileNotFoundError), closing(batch_loader.loader(made)) as batches:
        fails(kill=False)
        next(batches)
    fails(kill=True)
    with pytest.raises(LoaderFailed, match=r"^step 0: a loader process \(pid \d+\) died\. What was saved stays in "):
        next(pretrain(config, tmp_path))
    assert not multiprocessing.active_children()


def test_shared_memory_that_is_full(config, trained, tmp_path, processes, assert_same):
    """64 MB in a container, of which torch itself would not say anything, and wait."""
    with process(processes, drive.no_shared_memory, config.replace({"data.workers": 1}), tmp_path) as (_, reports):
        ((steps, said),) = received(reports)
    assert steps == [] and said.endswith(SHARED.format(1))
    assert said.startswith("LoaderFailed: step 2: a loader process has no room for a batch. What was saved stays in ")
    assert [r["step"] for r in pretrain(config.replace({"data.workers": 0}), tmp_path)] == [*range(2, 12)]
    assert_same(Run.of(config, tmp_path).folder, trained.folder)


def test_a_checkpoint_that_does_not_fit_into_memory_is_not_called_broken(config, tmp_path, monkeypatch):
    next(pretrain(config, tmp_path))
    monkeypatch.setattr(torch, "load", lambda *_, **__: torch.empty(1 << 60))
    with pytest.raises(OutOfMemory, match="before a step: out of memory"):
        next(pretrain(config, tmp_path))
    monkeypatch.undo()
    assert next(pretrain(config, tmp_path))["step"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit a process's memory")
def test_out_of_memory(tmp_path, processes, assert_same):
    changes = {"data.texts": 1024, "objectives.mlm.start": 0.5, "train.steps": 4, "train.save_every": 100}
    config = recipes.get("smoke").replace(changes)
    with process(processes, drive.no_memory, config, tmp_path) as (_, reports):
        (steps, said), again = received(reports)
    run = Run.of(config, tmp_path)
    assert steps == [] and float(re.match(r"OutOfMemory: step 2: out of memory \(([\d.e+-]+) GiB more", said)[1]) > 5e-4
    for hint in ("In the same run may be set: train.checkpoint_activations = true, train.strategy = 'fsdp'",
                 "Lower data.pairs = 8, data.regions = 6, data.images = 4, data.texts = 1024, then model.vision.w",
                 "or set train.precision = 'auto' to 'bf16': each is another run, under another -",
                 f"What was saved stays in {run.folder}, and the same call goes on from there"):  # fmt: skip
        assert hint in said, said
    assert again == ([2, 3], ""), "the two steps before were saved"
    assert_same(run.folder, left(config, tmp_path / "undisturbed", 4).folder)


CUDA = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of ..."
FULL = OSError(errno.ENOSPC, "No space left on device")  # as the kernel says it of a semaphore
REFUSED = {  # a request to the machine, and how its refusal begins; the machine itself where there is none
    "torch": (lambda: torch.empty(1 << 60, dtype=torch.uint8), "out of memory (1.07e+09 GiB more were asked for). In "),
    "numpy": (lambda: np.empty(1 << 60, np.uint8), "out of memory (1.00 EiB more were asked for). In the same run"),
    "python": (lambda: bytes(1 << 62), "out of memory. In the same run may be set: train.checkpoint_activations = "),
    "cuda": (torch.OutOfMemoryError(CUDA), "out of memory (20.00 MiB more were asked for). In the same run"),
    "locks": (FULL, "the loader processes have no room for their locks. What was saved stays in "),
    "shapes": (RuntimeError("mat1 and mat2 shapes"), ""),
    "a run": (RunError("state.pt: out of memory"), ""),
    "a file": (OSError(), ""),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_machine_refuses_is_one_error_and_all_else_is_left_alone(what, config, tmp_path):
    ask, said = REFUSED[what]
    kind = (OutOfMemory if "memory" in said else LoaderFailed) if said else (RuntimeError, OSError)
    message = re.escape(f"step 7: {said}") if said else None
    with pytest.raises(kind, match=message) as error, explain_failures(config, "step 7", tmp_path):
        if isinstance(ask, Exception):
            raise ask
        ask()
    assert (error.value.__cause__ is not None) == bool(said) == (error.value is not ask)


@pytest.mark.parametrize("between", [False, True])
def test_a_save_that_fails_after_an_error_does_not_hide_it(between, config, tmp_path, monkeypatch):
    """And between two steps, where there is no other, it is raised."""
    path, records = Run.of(config, tmp_path).folder / "metrics.jsonl", pretrain(config, tmp_path)
    next(records)
    path.unlink()
    path.mkdir()  # nobody can append to that
    monkeypatch.setattr(loop, "weights_at", lambda *_: 1 / 0)
    with pytest.raises(FileError if between else ZeroDivisionError) as error:
        records.close() if between else next(records)
    said = str(error.value if between else error.value.__notes__)
    assert "metrics.jsonl: cannot be written (Is a directory)" in said
    assert between or "Nor could the steps since the last save be saved" in said
