"""A run that was killed, interrupted or left goes on bit for bit, whatever it was doing."""

import getpass
import multiprocessing
import os
import platform
import random
import re
import signal
import threading
import time
from datetime import datetime

import psutil
import pytest
from train import drive
from train.conftest import left, steps_done, vouch
from train.drive import process, received

from xfm import recipes
from xfm.base import seeding
from xfm.recipes import prior_runs
from xfm.runs.run_lock import HOLDER
from xfm.train import Run, RunBusy, RunError, loop, pretrain
from xfm.train.step import Training

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
ENDING = {TERM: 143, HUP: 129}


@pytest.mark.full
@pytest.mark.parametrize(("workers", "kills"), [(0, 3), (1, 2)])
def test_killed_at_random_moments(workers, kills, config, trained, tmp_path, processes, assert_same):
    config = config.replace({"data.workers": workers, "train.save_every": 1})
    draw, killed = random.Random(seeding.seed("kills", workers)), []
    while not Run.of(config, tmp_path).done:
        with process(processes, drive.train, config, tmp_path) as (child, reports):
            if len(killed) < kills:
                if killed or workers:  # the first may die while it starts, but not with a loader that just starts:
                    reports.poll(60)  # torch's would not notice, and stay
                time.sleep(draw.uniform(0, 0.2))
            else:
                received(reports)
            killed.append(child.is_alive())
    assert any(killed)
    assert_same(Run.of(config, tmp_path).folder, trained.folder)


@pytest.mark.full
def test_killed_at_every_write(config, tmp_path, processes, assert_same):
    """Before each fsync and each replacement of a file: config, tokenizer, records, weights, state, DONE."""
    config = config.replace({"train.steps": 4, "train.save_every": 2, "train.validate_every": 0, "train.warmup": 1})
    undisturbed, call = left(config, tmp_path / "undisturbed", 4), 0
    while not Run.of(config, tmp_path).done:
        call += 1
        with process(processes, drive.die_at, call, config, tmp_path) as (child, reports):
            received(reports)
            child.join()
            assert child.exitcode in (-signal.SIGKILL, 0)
    assert call > 7
    assert_same(Run.of(config, tmp_path).folder, undisturbed.folder)


SAVED = "saved after step {} of 12, in {}: the same call goes on from there"
SIGNALS = [  # where they come, which, the steps that are saved, and what ends the training: whole messages
    ("step", [INT], 8, f"KeyboardInterrupt: {SAVED}"),
    ("step", [INT, INT], 7, "KeyboardInterrupt: "),  # a second one does not wait
    ("step", [TERM], 8, f"Terminated: {SAVED}"),
    ("step", [HUP], 8, f"Terminated: {SAVED}"),
    ("update", [INT] * 3, 8, ""),  # what is saved between update and record would be lost, with all since the last save
    ("update", [INT, TERM], 8, ""),
    *[("save", [number, TERM, number, INT, HUP, number], 4, "") for number in (INT, TERM, HUP)],
    *[("between", [number], 7, "") for number in (INT, TERM, HUP)],
]


@pytest.mark.full
@pytest.mark.parametrize(("place", "numbers", "saved", "said"), SIGNALS, ids=str)
def test_signals_end_a_training_after_a_whole_step(place, numbers, saved, said, config, tmp_path, processes, goes_on):
    with process(processes, drive.signals, place, numbers, config, tmp_path) as (child, reports):
        sent = received(reports)
        child.join()
    run = Run.of(config, tmp_path)
    assert [step for step in sent if isinstance(step, int)] == [*range(saved)] or place in ("update", "save")
    assert not said or sent[-1] == said.format(saved, run.folder)
    assert "went on" not in sent
    if place == "between" or (place == "step" and numbers[0] != INT):
        assert child.exitcode == ENDING.get(numbers[0], 1)
    assert run.damaged() == [] and not run.done and not [*run.folder.glob(".*.????????")], "no half file"
    goes_on(saved)


def test_signals_are_left_as_they_were_and_what_somebody_ignores_stays_ignored(config, tmp_path):
    """As under `nohup`, where the terminal closes in the middle of a training."""
    before = signal.signal(HUP, signal.SIG_IGN)
    handlers = [signal.getsignal(n) for n in (INT, TERM, HUP)]
    steps = []
    for record in pretrain(config.replace({"train.steps": 2}), tmp_path):
        assert signal.getsignal(TERM) is not signal.SIG_DFL
        os.kill(os.getpid(), HUP)
        steps.append(record["step"])
    assert steps == [0, 1] and [signal.getsignal(n) for n in (INT, TERM, HUP)] == handlers
    signal.signal(HUP, before)


@pytest.mark.full
@pytest.mark.parametrize("number", [INT, TERM], ids=lambda n: n.name)
def test_a_signal_to_the_whole_group_reaches_no_loader(number, config, trained, tmp_path, processes, assert_same):
    """As Ctrl-C, Slurm and a closing terminal send it, at a random moment."""
    config, draw = config.replace({"data.workers": 2}), random.Random(seeding.seed("interrupts", number))
    with process(processes, drive.train, config, tmp_path) as (child, reports):
        reports.poll(60)
        time.sleep(draw.uniform(0, 0.1))
        os.killpg(child.pid, number)
        *_, said = received(reports)
        child.join()
    assert str(said).startswith(("Terminated", "KeyboardInterrupt")) or said == 11, said
    assert not [p for p in psutil.process_iter(["ppid"]) if p.info["ppid"] == child.pid]
    run = Run.of(config, tmp_path)
    assert len(run.metrics()) == steps_done(run)
    left(config, tmp_path, 12)
    assert_same(run.folder, trained.folder)


@pytest.mark.full
def test_breaking_out_saves_and_ends_the_loaders(config, tmp_path, goes_on):
    left(config.replace({"data.workers": 1}), tmp_path, 2)
    assert not multiprocessing.active_children()
    goes_on(3)
    assert not multiprocessing.active_children()


@pytest.mark.full
@pytest.mark.parametrize(("where", "saved"), [("weights_at", 7), ("validate", 7), ("update", 5)])
def test_an_error_in_a_step_saves_the_steps_before_it(where, saved, config, trained, tmp_path, monkeypatch):
    """And ends the loaders: before the update of the eighth, in what is measured after the seventh, and between the
    eighth's update and its record, where weights cannot go back."""
    steps, of = iter([1] * 7 + [0]), loop if where == "weights_at" else Training
    real = getattr(of, where)
    failing = {
        "weights_at": lambda *given: 1 / next(steps) and real(*given),
        "validate": lambda *_: 1 / 0,
        "update": lambda state: real(state) or 1 / next(steps),
    }
    monkeypatch.setattr(of, where, failing[where])
    changes = {"data.workers": 1, "train.validate_every": 7 if where == "validate" else 0}
    with pytest.raises(ZeroDivisionError) as error:
        [*pretrain(config.replace(changes), tmp_path)]
    assert error.tb, "held, as a notebook holds the last one"
    assert not multiprocessing.active_children()
    run = Run.of(config, tmp_path)
    assert steps_done(run) == len(run.metrics()) == saved and all(r["seconds"] > 0 for r in run.metrics())
    monkeypatch.undo()
    assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(saved, 12)]
    assert (run.folder / "model.safetensors").read_bytes() == (trained.folder / "model.safetensors").read_bytes()


def test_a_loop_that_an_error_left_hanging_is_saved_when_the_cell_runs_again(config, trained, tmp_path, assert_same):
    records = pretrain(config, tmp_path)
    with pytest.raises(ZeroDivisionError):  # its traceback, and `records`, keep the loop alive
        print([1 / (record["step"] - 2) for record in records])
    again = pretrain(config, tmp_path)
    assert next(again)["step"] == 3
    with pytest.raises(RunError, match="later call of pretrain has taken this run over"):
        next(records)
    del records
    assert [r["step"] for r in again] == [*range(4, 12)]
    assert_same(Run.of(config, tmp_path).folder, trained.folder)


@pytest.mark.full
def test_one_process_at_a_time_and_the_others_hear_who_but_not_of_who_was_killed(config, tmp_path, processes, goes_on):
    started, run = datetime.now().astimezone(), Run.of(config, tmp_path)
    with process(processes, drive.hold, config, tmp_path) as (child, reports):
        assert reports.recv() == 0
        with pytest.raises(RunBusy) as error:
            next(pretrain(config, tmp_path))
        who = re.fullmatch(
            r".*seed0: another process \(pid (\d+) of (.+) on (.+), since (.+)\) is training this run; let it finish, "
            r"or press Ctrl-C there, which saves",
            str(error.value),
        )
        assert who and who.groups()[:3] == (str(child.pid), getpass.getuser(), platform.node()), str(error.value)
        assert -1 < (datetime.fromisoformat(who[4]) - started).total_seconds() < 60
        reports.send("go")
        child.join()
    assert not (run.folder / HOLDER).exists(), "nobody holds it"
    with process(processes, drive.hold, config, tmp_path) as (killed, reports):
        assert reports.recv() == 1
    assert f'"pid": {killed.pid},' in (run.folder / HOLDER).read_text(encoding="utf-8")
    with process(processes, drive.lock_unsigned, run.folder / ".lock") as (_, reports):
        assert reports.recv() == "locked"
        with pytest.raises(RunBusy, match="seed0: another process is training this run"):
            next(pretrain(config, tmp_path))
    goes_on(1)


@pytest.mark.full
def test_variants_that_start_at_once_train_their_stage_1_once(tmp_path, processes):
    names, short = ("smoke+stage1", "smoke+stage1+no_itm"), {"train.steps": 3, "stage1_steps": 2}
    one, other = (recipes.get(name).replace(short) for name in names)
    with (
        process(processes, drive.train, one, tmp_path) as (_, a),
        process(processes, drive.train, other, tmp_path) as (_, b),
    ):
        assert received(a) == received(b) == [0, 1, *range(3)]
    assert [r["step"] for r in Run.of(prior_runs.stage1(one), tmp_path).metrics()] == [0, 1]


def test_one_thread_at_a_time(config, trained, tmp_path, monkeypatch, assert_same):
    weights_at, inside, go_on = loop.weights_at, threading.Event(), threading.Event()

    def patched(config, step):
        inside.set()
        assert go_on.wait(60)
        return weights_at(config, step)

    monkeypatch.setattr(loop, "weights_at", patched)
    thread = threading.Thread(target=lambda: [*pretrain(config, tmp_path)])
    thread.start()
    assert inside.wait(60)
    with pytest.raises(RunBusy, match="another thread is training this run"):
        next(pretrain(config, tmp_path))
    go_on.set()
    thread.join()
    assert_same(Run.of(config, tmp_path).folder, trained.folder)


def test_weights_that_a_kill_left_behind_the_state_are_made_anew(unfinished, trained, assert_same):
    """A run that only lacks its end yields all its records."""
    older = (unfinished.folder / "model.safetensors").read_bytes()
    left(unfinished.config, unfinished.root, 12)
    (unfinished.folder / "DONE").unlink()
    (unfinished.folder / "model.safetensors").write_bytes(older)
    vouch(unfinished)
    assert [r["step"] for r in pretrain(unfinished.config, unfinished.root)] == [*range(12)]
    assert_same(unfinished.folder, trained.folder)


def test_a_finished_run_that_is_trained_anew_is_not_finished_until_it_is(copy, goes_on):
    copy.write({"evaluation.json": "[]\n"})
    for name in ("state.pt", "model.safetensors"):  # the way out of damage to either
        (copy.folder / name).unlink()
    run = left(copy.config, copy.root, 6)
    assert not run.done and not run.has("evaluation.json"), "half-trained weights would pass for the run's"
    goes_on(7)
