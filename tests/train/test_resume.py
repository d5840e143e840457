"""A run that was killed, interrupted or left goes on bit for bit, whatever it was doing."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import pickle
import platform
import random
import re
import signal
import threading
import time
from datetime import datetime

import psutil
import pytest
import torch
from train import drive
from train.conftest import vouch
from train.process import process, received

from xfm import recipes
from xfm.base import seeding
from xfm.recipes import prior_runs
from xfm.runs.run_lock import HOLDER
from xfm.train import Run, RunBusy, RunError, Terminated, loop, pretrain
from xfm.train.step import Training


def steps_done(run: Run) -> int:
    return torch.load(run.folder / "state.pt", weights_only=True)["step"]


@pytest.mark.parametrize(("workers", "kills"), [(0, 5), (1, 3)])
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


def test_killed_at_every_write(config, trained, tmp_path, processes, assert_same):
    """Before each fsync and each replacement of a file: config, tokenizer, records, weights, state, DONE."""
    config, root, call = config.replace({"train.save_every": 4}), tmp_path, 0
    while not Run.of(config, root).done:
        call += 1
        with process(processes, drive.die_at, call, config, root) as (child, reports):
            received(reports)
            child.join()
            assert child.exitcode in (-signal.SIGKILL, 0)
    assert call > 7
    assert_same(Run.of(config, root).folder, trained.folder)


def test_ctrl_c_in_a_step_saves_it_and_says_how_to_go_on(config, trained, tmp_path, processes, assert_same):
    with process(processes, drive.signal_at, 7, [signal.SIGINT], config, tmp_path) as (_, reports):
        *steps, said = received(reports)
    run = Run.of(config, tmp_path)
    assert steps == [*range(8)]
    assert said == f"KeyboardInterrupt: saved after step 8 of 12, in {run.folder}: the same call goes on from there"
    assert steps_done(run) == len(run.metrics()) == 8
    assert not run.done
    assert [r["step"] for r in pretrain(config, tmp_path)] == [8, 9, 10, 11]
    assert_same(run.folder, trained.folder)


def test_a_second_ctrl_c_does_not_wait(config, trained, tmp_path, processes, assert_same):
    with process(processes, drive.signal_at, 7, [signal.SIGINT] * 2, config, tmp_path) as (_, reports):
        assert received(reports) == [*range(7), "KeyboardInterrupt: "]
    run = Run.of(config, tmp_path)
    assert steps_done(run) == 7, "nothing of the step that was cut"
    assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(7, 12)]
    assert_same(run.folder, trained.folder)


@pytest.mark.parametrize("signals", [[signal.SIGINT] * 3, [signal.SIGINT, signal.SIGTERM]], ids=["alike", "two kinds"])
def test_no_signal_cuts_an_update_from_its_record(signals, config, trained, tmp_path, processes, assert_same):
    """Between them a step is half done: what is saved there would be lost, with all steps since the last save."""
    with process(processes, drive.signal_in_update, 7, signals, config, tmp_path) as (_, reports):
        received(reports)
    run = Run.of(config, tmp_path)
    assert steps_done(run) == len(run.metrics()) == 8
    assert [r["step"] for r in pretrain(config, tmp_path)] == [8, 9, 10, 11]
    assert_same(run.folder, trained.folder)


ENDING = {signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_an_end_keeps_its_status_on_the_way_from_a_worker(number):
    sent = pickle.loads(pickle.dumps(Terminated(number, "saved")))
    assert (sent.code, sent.said) == (ENDING[number], "saved")


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_a_signal_to_end_saves_the_step_and_ends_with_its_number(
    number, config, trained, tmp_path, processes, assert_same
):
    with process(processes, drive.signal_at, 7, [number], config, tmp_path) as (child, reports):
        *steps, said = received(reports)
        child.join()
    run = Run.of(config, tmp_path)
    assert steps == [*range(8)]
    assert said == f"Terminated: saved after step 8 of 12, in {run.folder}: the same call goes on from there"
    assert child.exitcode == ENDING[number]
    assert steps_done(run) == len(run.metrics()) == 8
    assert [r["step"] for r in pretrain(config, tmp_path)] == [8, 9, 10, 11]
    assert_same(run.folder, trained.folder)


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDING], ids=lambda n: n.name)
def test_signals_during_the_save_do_not_cut_it(number, config, trained, tmp_path, processes, assert_same):
    """However many, and of whatever kind."""
    signals = [number, signal.SIGTERM, number, signal.SIGINT, signal.SIGHUP, number]
    with process(processes, drive.signal_in_save, signals, config, tmp_path) as (child, reports):
        received(reports)
        child.join()
    run = Run.of(config, tmp_path)
    assert steps_done(run) == len(run.metrics()) == 4 and run.damaged() == []
    assert not [*run.folder.glob(".*.????????")], "no half file"
    assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(4, 12)]
    assert_same(run.folder, trained.folder)


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDING], ids=lambda n: n.name)
def test_a_signal_between_two_steps_saves_too(number, config, trained, tmp_path, processes, assert_same):
    with process(processes, drive.signal_between_steps, number, config, tmp_path) as (child, reports):
        assert received(reports) == [*range(7)]
        child.join()
    assert child.exitcode == ENDING.get(number, 1)
    run = Run.of(config, tmp_path)
    assert steps_done(run) == len(run.metrics()) == 7
    assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(7, 12)]
    assert_same(run.folder, trained.folder)


def test_what_somebody_ignores_stays_ignored(config, trained, tmp_path, processes, assert_same):
    with process(processes, drive.ignore_and_signal, config, tmp_path) as (_, reports):
        assert received(reports) == [*range(12)]
    assert_same(Run.of(config, tmp_path).folder, trained.folder)


def test_signals_are_left_as_they_were(config, tmp_path):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    for _ in pretrain(config.replace({"train.steps": 2}), tmp_path):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.parametrize("number", ENDING, ids=lambda n: n.name)
def test_a_signal_to_the_whole_group_reaches_no_loader(number, config, trained, tmp_path, processes, assert_same):
    """As Slurm and a closing terminal send it."""
    config = config.replace({"data.workers": 2, "train.steps": 12})
    with process(processes, drive.train, config, tmp_path) as (child, reports):
        reports.poll(60)
        os.killpg(child.pid, number)
        *_, said = received(reports)
        child.join()
    assert str(said).startswith(("Terminated", "KeyboardInterrupt")) or said == 11, said
    assert not [p for p in psutil.process_iter(["ppid"]) if p.info["ppid"] == child.pid]
    run = Run.of(config, tmp_path)
    done = steps_done(run)
    if not run.done:
        assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(done, 12)]
    assert_same(run.folder, trained.folder)


def test_ctrl_c_at_random_moments_reaches_loaders_too(config, trained, tmp_path, processes, assert_same):
    config, draw = config.replace({"data.workers": 1}), random.Random(seeding.seed("interrupts"))
    run, done = Run.of(config, tmp_path), 0
    for _ in range(2):
        with process(processes, drive.train, config, tmp_path) as (child, reports):
            reports.poll(60)
            time.sleep(draw.uniform(0, 0.1))
            if child.is_alive():
                os.killpg(child.pid, signal.SIGINT)
            sent = received(reports)
        if run.done:  # a slow machine: it was through by then
            break
        assert sent.pop().startswith("KeyboardInterrupt")
        before, done = done, steps_done(run)
        assert sent in ([*range(before, done)], [*range(before, done - 1)])  # it may cut the sending of the last
        assert len(run.metrics()) == done
    else:
        assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(done, 12)]
    assert_same(run.folder, trained.folder)


def test_breaking_out_saves_and_ends_the_loaders(config, trained, tmp_path, assert_same):
    config = config.replace({"data.workers": 1})
    for record in pretrain(config, tmp_path):
        if record["step"] == 2:
            break
    assert not multiprocessing.active_children()
    assert steps_done(Run.of(config, tmp_path)) == 3
    assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(3, 12)]
    assert not multiprocessing.active_children()
    assert_same(Run.of(config, tmp_path).folder, trained.folder)


@pytest.mark.parametrize(("where", "saved"), [("weights_at", 7), ("validate", 7), ("update", 5)])
def test_an_error_in_a_step_saves_the_steps_before_and_ends_the_loaders(
    where, saved, config, trained, tmp_path, monkeypatch, assert_same
):
    """Before the update of the eighth, in what is measured after the seventh, and between the eighth's update and its
    record, where weights cannot go back."""
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
        for _ in pretrain(config.replace(changes), tmp_path):
            pass
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
        for record in records:
            print(1 / (record["step"] - 2))
    again = pretrain(config, tmp_path)
    assert next(again)["step"] == 3
    with pytest.raises(RunError, match="later call of pretrain has taken this run over"):
        next(records)
    del records
    assert [r["step"] for r in again] == [*range(4, 12)]
    assert_same(Run.of(config, tmp_path).folder, trained.folder)


def test_one_process_at_a_time_and_the_others_hear_who(config, trained, tmp_path, processes, assert_same):
    started = datetime.now().astimezone()
    with process(processes, drive.hold, config, tmp_path) as (child, reports):
        assert reports.recv() == 0
        with pytest.raises(RunBusy) as error:
            next(pretrain(config, tmp_path))
        who = re.fullmatch(
            r".*seed0: another process \(pid (\d+) of (.+) on (.+), since (.+)\) is training this run; let it finish, "
            r"or press Ctrl-C there, which saves",
            str(error.value),
        )
        assert who, str(error.value)
        assert who.groups()[:3] == (str(child.pid), getpass.getuser(), platform.node())
        assert -1 < (datetime.fromisoformat(who[4]) - started).total_seconds() < 60
        reports.send("go")
        child.join()
    assert not (Run.of(config, tmp_path).folder / HOLDER).exists(), "nobody holds it"
    assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(1, 12)]
    assert_same(Run.of(config, tmp_path).folder, trained.folder)


def test_who_was_killed_is_not_taken_for_who_holds(config, tmp_path, processes):
    lock = Run.of(config, tmp_path).folder / ".lock"
    with process(processes, drive.hold, config, tmp_path) as (killed, reports):
        assert reports.recv() == 0
    assert f'"pid": {killed.pid},' in lock.with_name(HOLDER).read_text(encoding="utf-8")
    with process(processes, drive.lock_unsigned, lock) as (_, reports):
        assert reports.recv() == "locked"
        with pytest.raises(RunBusy, match="seed0: another process is training this run"):
            next(pretrain(config, tmp_path))
    with process(processes, drive.hold, config, tmp_path) as (second, reports):
        assert reports.recv() == 0
        with pytest.raises(RunBusy, match=rf"another process \(pid {second.pid} of"):
            next(pretrain(config, tmp_path))


def test_variants_that_start_at_once_train_their_stage_1_once(tmp_path, processes):
    variants = [
        recipes.get(name).replace({"train.steps": 3, "stage1_steps": 2})
        for name in ("smoke+stage1", "smoke+stage1+no_itm")
    ]
    with (
        process(processes, drive.train, variants[0], tmp_path) as (_, a),
        process(processes, drive.train, variants[1], tmp_path) as (_, b),
    ):
        assert received(a) == received(b) == [0, 1, *range(3)]
    stage1 = Run.of(prior_runs.stage1(variants[0]), tmp_path)
    assert [r["step"] for r in stage1.metrics()] == [0, 1]


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


def test_a_run_that_only_lacks_its_end_yields_all_its_records(config, trained, tmp_path, assert_same):
    for record in pretrain(config, tmp_path):
        if record["step"] == 11:  # the last
            break
    run = Run.of(config, tmp_path)
    assert not run.done
    assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(12)]
    assert_same(run.folder, trained.folder)


def test_weights_that_a_kill_left_behind_the_state_are_made_anew(config, trained, tmp_path, assert_same):
    for record in pretrain(config, tmp_path):
        if record["step"] == 9:
            break
    run = Run.of(config, tmp_path)
    older = (run.folder / "model.safetensors").read_bytes()
    for _ in pretrain(config, tmp_path):
        pass
    (run.folder / "DONE").unlink()
    (run.folder / "model.safetensors").write_bytes(older)
    vouch(run)
    for _ in pretrain(config, tmp_path):
        pass
    assert_same(run.folder, trained.folder)


def test_a_finished_run_that_is_trained_anew_is_not_finished_until_it_is(config, trained, tmp_path, assert_same):
    for _ in pretrain(config, tmp_path):
        pass
    run = Run.of(config, tmp_path)
    run.write({"evaluation.json": "[]\n"})
    for name in ("state.pt", "model.safetensors"):  # the way out of damage to either
        (run.folder / name).unlink()
    for record in pretrain(config, tmp_path):
        if record["step"] == 6:
            break
    assert not run.done and not run.has("evaluation.json"), "half-trained weights would pass for the run's"
    steps = [record["step"] for record in pretrain(config, tmp_path)]
    assert steps == [*range(7, 12)]
    assert_same(run.folder, trained.folder)
