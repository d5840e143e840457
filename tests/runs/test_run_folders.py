"""Folders of runs and of fine-tunings alike: of one config, trained by one process at a time in whole steps, and read
as they were saved or refused by name."""

import json
import os
import pickle
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM
from typing import Any

import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from train.conftest import equal, vouch

from xfm import recipes
from xfm.lab import CHECKPOINTS
from xfm.runs import run_lock
from xfm.runs.folder import METRICS, STATE, WEIGHTS, Folder
from xfm.runs.manifest import MANIFEST
from xfm.runs.run_lock import HOLDER, when_free
from xfm.runs.signals import StopRequest, Terminated, uncut
from xfm.runs.weights import packed
from xfm.tasks.finetuning.config import recipe
from xfm.tasks.finetuning.task_run import TaskRun
from xfm.train import Run, RunBusy, RunError

STEPS = 4
TENSORS = {"model": {"w": torch.ones(2)}, "optimizer": {"state": {0: {"m": torch.zeros(2)}}}}


@pytest.fixture(params=["run", "fine-tuning"])
def kind(request):
    return request.param


def of(kind: str, root: Path, lr: float = 1e-3) -> Folder[Any]:
    if kind == "run":
        return Run.of(recipes.smoke().replace({"train.steps": STEPS, "train.lr": lr}), root)
    return TaskRun.of(recipe("lexname", CHECKPOINTS / "demo", STEPS).replace({"train.lr": lr}), root)


def records(until: int) -> list[dict[str, Any]]:
    return [{"step": step, "loss": 1.0} for step in range(until)]


def save(folder: Folder[Any], step: int, start: int = 0) -> None:
    folder.save_state(step, TENSORS, {METRICS: records(step)[start:]}, {WEIGHTS: packed(TENSORS["model"])})


@pytest.fixture
def left(kind, tmp_path):
    """Left after 2 of 4 steps."""
    folder = of(kind, tmp_path)
    with folder.lock():
        folder.claim()
        save(folder, 2)
    return folder


def contents(folder: Folder[Any]) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.folder.iterdir() if p.name != ".lock"}


def refused(folder: Folder[Any], said: str) -> None:
    """Opened, or read to go on, it is a RunError that says this, and no file changes."""
    before = contents(folder)
    with pytest.raises(RunError, match=said):
        folder.open(folder.folder).load_state(dict)
    assert contents(folder) == before


def test_what_is_saved_is_named_and_comes_back(left):
    named = json.loads((left.folder / MANIFEST).read_text("utf-8"))
    assert {*contents(left)} == {*named["files"], MANIFEST} and named["run"] == left.config.fingerprint
    opened, states = left.open(left.folder), list[Any]()
    assert opened == left and opened.begun and not opened.done and opened.damaged() == []
    assert opened.load_state(states.append) == 2
    assert equal({k: states[0][k] for k in TENSORS}, TENSORS) and opened.metrics() == records(2)
    os.truncate(left.folder / STATE, 9)
    with pytest.raises(RunError, match=rf"{STATE}: is not the file that was saved here"):
        left.open(left.folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([METRICS, WEIGHTS, STATE]), at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found(left, name, at, bit):
    path, good = left.folder / name, (left.folder / name).read_bytes()
    try:
        path.write_bytes(bytes(byte ^ (1 << bit) * (i == int(at * len(good))) for i, byte in enumerate(good)))
        assert [str(path) in str(error) for error in left.damaged()] == [True]
        refused(left, rf"{name}: is not the file that was saved here.* Put a good copy back, or ")
        with pytest.raises(RunError, match=name):
            left.read(name)
    finally:
        path.write_bytes(good)


def test_a_config_that_is_none_or_anothers_is_refused_even_if_the_manifest_names_it(left, kind):
    whole = (left.folder / MANIFEST).read_text()
    for text in ("", '{"run": 1}', '{"run": "", "files": {"a": 3}}', "[" * 100_000):
        (left.folder / MANIFEST).write_text(text)
        refused(left, rf"{MANIFEST}: .* Put a good copy back, or delete the folder and train again")
    (left.folder / MANIFEST).write_text(whole)
    for text in ("{", "[]", '{"seed": "x"}', '{"train": {"steps": 0}}', "\xff"):
        (left.folder / left.CONFIG).write_text(text, encoding="latin-1")
        refused(left, rf"{left.CONFIG}: no readable config .* delete the folder")
    with pytest.raises(RunError, match=rf"no {left.KIND} here \(no {left.CONFIG}\)"):
        left.open(left.folder.parent)
    other = of(kind, left.root / "elsewhere", lr=0.5)
    (left.folder / left.CONFIG).write_text(other.first_files()[left.CONFIG])
    refused(left, rf"{left.CONFIG}: is not the file that was saved here")
    vouch(left)  # type: ignore[arg-type]
    refused(left, r"manifest.json: is of a run with the config .* were not trained with that")


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("hacked",)


NAN = {"model": {"w": torch.tensor([torch.nan])}}
INFINITE = {"optimizer": {"state": {3: {"m": torch.tensor([torch.inf])}}}}
STATES: dict[str, tuple[Any, str]] = {
    **{f"step {x}": ({"step": x}, rf"step .*, of {STEPS}") for x in (0, 5, 10**30, "x", 3.0, True, None)},
    "weights": (NAN, "w is not finite"), "moments": (INFINITE, "3.m is not finite"),
    "another": ({"run": "0" * 12}, "of another config"), "a list": ([1, 2], ""), "code": ({"step": Hostile()}, ""),
    "garbage": (b"\x80garbage", ""), "empty": (b"", ""),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("state", STATES)
def test_a_state_that_is_none(left, state, monkeypatch):
    content, said = STATES[state]
    monkeypatch.chdir(left.root)
    if isinstance(content, bytes):
        (left.folder / STATE).write_bytes(content)
    else:
        saved = torch.load(left.folder / STATE, weights_only=True)
        torch.save(saved | content if isinstance(content, dict) else content, left.folder / STATE)
    vouch(left)  # type: ignore[arg-type]
    refused(left, rf"{STATE}: no readable checkpoint of this run \(.*{said}.* delete the file to train from the start")
    assert not (left.root / "hacked").exists()
    (left.folder / STATE).unlink()
    assert left.load_state(dict) == 0


def test_torn_records_are_left_out_and_those_to_be_repeated_dropped(left):
    path = left.folder / METRICS
    whole = path.read_bytes()
    for torn in (b"[]\n{}\n", b"\0\0\xff\n7\n", b'{"run": "smoke", "st'):
        path.write_bytes(whole + torn)
        assert left.metrics() == records(2)
    with left.lock():
        save(left, 3, start=2)
    assert left.metrics() == records(3), "the next record begins a line of its own"
    left.keep(METRICS, before=1)
    assert left.metrics() == records(1) and left.damaged() == []


def test_a_folder_belongs_to_the_config_that_has_begun_in_it(left, kind):
    other = type(left)(left.folder, of(kind, left.root / "elsewhere", lr=0.5).config)
    before = contents(left)
    for look in (other.require_own, other.claim, lambda: of(kind, left.root, lr=0.5)):
        with pytest.raises(RunError, match=rf"a {left.KIND} of another config \(train.lr: 0.001 there, 0.5 asked"):
            look()
    left.claim()
    assert contents(left) == before
    (left.folder / left.CONFIG).unlink()  # what was trained is not removed for want of it
    for folder in (left, other):
        with pytest.raises(RunError, match=rf"has state.pt and no {left.CONFIG}, so nothing says what was trained"):
            folder.claim()
    assert left.has(STATE) and not left.done


class Killed(BaseException):
    pass


def test_a_kill_at_any_write_leaves_one_of_the_two_saves(left, monkeypatch):
    """Before each fsync and each replacement of a file."""
    good, steps, kill = left.folder.with_name("good"), list[int](), 0
    shutil.copytree(left.folder, good)
    while not steps or kill:
        kill, calls = kill + 1, iter(range(kill, -1, -1))

        def call(function: Any, *given: Any, calls: Iterator[int] = calls) -> Any:
            if next(calls, -1) == 0:
                raise Killed
            return function(*given)

        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(os, "fsync", partial(call, os.fsync))
            patch.setattr(os, "replace", partial(call, os.replace))
            save(left, 3, start=2)
            kill = 0
        assert left.damaged() == []
        steps.append(left.load_state(dict))
        assert left.metrics()[: steps[-1]] == records(steps[-1])
        shutil.rmtree(left.folder)
        shutil.copytree(good, left.folder)
    assert steps == sorted(steps) and {*steps} == {2, 3} and len(steps) > 8


def test_one_process_at_a_time_and_a_later_call_takes_over(left, monkeypatch):
    with left.lock():
        assert json.loads((left.folder / HOLDER).read_text("utf-8"))["pid"] == os.getpid()
    assert not left.has(HOLDER)
    (elsewhere := FileLock(left.folder / ".lock")).acquire()

    def train() -> Iterator[dict[str, Any]]:
        with left.lock():
            yield from left.metrics()

    with pytest.raises(RunBusy, match=rf"{left.folder}: another process is training this run"):
        next(train())
    monkeypatch.setattr(run_lock.time, "sleep", lambda _: elsewhere.release())
    assert [*when_free(train)] == records(2)  # type: ignore[arg-type]
    with left.lock() as first:
        first.save = lambda: save(left, 3, start=2)
        with left.lock() as second, second.step():
            assert left.load_state(dict) == 3
        with pytest.raises(RunError, match="later call of pretrain has taken this run over"), first.step():
            pass


@pytest.fixture
def heard():
    """Signals at their defaults: under nohup, or behind a shell's &, they would be ignored, and rightly left alone."""
    defaults = {SIGTERM: signal.SIG_DFL, SIGHUP: signal.SIG_DFL, SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_must_not_cut_arrives_at_the_end_and_processes_stop_together(left, heard):
    for number in (SIGINT, SIGTERM, SIGHUP):  # each waits for the end of its step, a second one does not
        with left.lock() as lock:
            with lock.step():
                os.kill(os.getpid(), number)
                assert lock.stop.numbers == [number]
            error = lock.stop.error("saved")
        assert isinstance(error, KeyboardInterrupt if number == SIGINT else Terminated) and "saved" in str(error.args)
        with left.lock() as lock, pytest.raises((KeyboardInterrupt, Terminated)), lock.step():
            [os.kill(os.getpid(), number) for _ in range(2)]
            pytest.fail("a second one does not wait")
    done = []
    with left.lock(), pytest.raises((KeyboardInterrupt, Terminated)):
        with uncut():
            for number in (SIGTERM, SIGINT, SIGTERM):
                done.append(os.kill(os.getpid(), number))
        pytest.fail("it has arrived")
    assert len(done) == 3
    stop = StopRequest(together=True)
    with stop.between_steps():
        os.kill(os.getpid(), SIGINT)
        for _ in range(2):
            with stop.hearing():
                os.kill(os.getpid(), SIGINT)
            assert not stop, "the others have not heard"
        stop.agree(True)
    assert stop and isinstance(stop.error(""), KeyboardInterrupt)
    other = StopRequest(together=True)
    other.agree(True)
    assert isinstance(ended := other.error(""), Terminated) and ended.code == 143
    assert pickle.loads(pickle.dumps(ended)).code == 143, "on the way from a worker"
