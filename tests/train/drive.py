"""What the tests' processes do. Each sends its steps through `reports`, or what ended it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import torch
from filelock import FileLock

from xfm import pretrain
from xfm.config import RunConfig
from xfm.train import RunError, Terminated, loop
from xfm.train.step import Training


def train(config: RunConfig, root: Path, reports: Connection, heard: bool = True) -> None:
    """In a process group of its own, as a terminal's Ctrl-C reaches one; `heard`: it hears of it."""
    os.setsid()
    if heard:  # whatever started the tests: nohup, or a shell's &
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    multiprocessing.set_start_method("fork", force=True)  # of loader processes, as anywhere on Linux
    try:
        for record in pretrain(config, root):
            reports.send(record["step"])
    except (KeyboardInterrupt, RunError) as error:
        reports.send(f"{type(error).__name__}: {error}")
    except Terminated as ended:
        reports.send(f"Terminated: {ended.said}")
        raise


def die_at(call: int, config: RunConfig, root: Path, reports: Connection) -> None:
    """Trains; killed just before the `call`-th time that a file is fsynced or replaced."""
    calls = 0

    def counted(function):
        def wrapper(*args):
            nonlocal calls
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args)

        return wrapper

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)
    train(config, root, reports)


def signal_in_update(step: int, signals: list[int], config: RunConfig, root: Path, reports: Connection) -> None:
    """Trains; the signals come between a step's update of the weights and its record."""
    update = Training.update

    def patched(state: Training) -> None:
        update(state)
        for number in signals if state.done == step + 1 else []:
            os.kill(os.getpid(), number)

    Training.update = patched
    train(config, root, reports)


def signal_at(
    step: int, signals: list[int], config: RunConfig, root: Path, reports: Connection, heard: bool = True
) -> None:
    """Trains; the signals come in the middle of a step, before it changes the weights."""
    weights_at = loop.weights_at

    def patched(config: RunConfig, now: int):
        for number in signals if now == step else []:
            os.kill(os.getpid(), number)
        return weights_at(config, now)

    loop.weights_at = patched
    train(config, root, reports, heard)


def signal_in_save(signals: list[int], config: RunConfig, root: Path, reports: Connection) -> None:
    """Trains; the first signal comes in step 3, and the others while that is saved, one before each fsync."""
    left = iter(signals[1:])
    fsync = os.fsync

    def patched(file: int) -> None:
        if number := next(left, 0):
            os.kill(os.getpid(), number)
        fsync(file)

    weights_at = loop.weights_at

    def first(config: RunConfig, now: int):
        if now == 3:
            os.fsync = patched
            os.kill(os.getpid(), signals[0])
        return weights_at(config, now)

    loop.weights_at = first
    train(config, root, reports)


def signal_between_steps(number: int, config: RunConfig, root: Path, reports: Connection) -> None:
    """Trains; the signal comes while the caller does something with the record of step 6."""

    def steps():
        for record in pretrain(config, root):
            reports.send(record["step"])
            if record["step"] == 6:
                os.kill(os.getpid(), number)
                sum(range(1000))  # a signal is heard between two instructions
                reports.send("went on")

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    steps()


def ignore_and_signal(config: RunConfig, root: Path, reports: Connection) -> None:
    """As under `nohup`: the terminal closes in step 3, and the training does not hear of it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal_at(3, [signal.SIGHUP], config, root, reports, heard=False)


def hold(config: RunConfig, root: Path, reports: Connection) -> None:
    """One step, then nothing until the other side says so."""
    records = pretrain(config, root)
    reports.send(next(records)["step"])
    reports.recv()


def lock_unsigned(path: Path, reports: Connection) -> None:
    """As a process that has just locked a run and not said who it is."""
    lock = FileLock(path)  # held until this process ends
    lock.acquire()
    reports.send("locked")
    reports.recv()


def train_and_say(config: RunConfig, root: Path, reports: Connection) -> None:
    """Trains, and sends whatever error ends it."""
    torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.5  # s; else 5
    try:
        train(config, root, reports)
    except Exception as error:
        reports.send(f"{type(error).__name__}: {error}")


def children_of(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
