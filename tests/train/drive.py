"""What the tests' processes do. Each sends its steps through `reports`, or what ended it."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import torch

from xfm import pretrain
from xfm.config import RunConfig
from xfm.train import RunError, Terminated, loop
from xfm.train.step import Training


def train(config: RunConfig, root: Path, reports: Connection) -> None:
    """In a process group of its own, as a terminal's Ctrl-C reaches one."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests: nohup, or a shell's &
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


def signals(place: str, numbers: list[int], config: RunConfig, root: Path, reports: Connection) -> None:
    """Trains; signals come in the middle of step 7, before it changes the weights, or between its update and record;
    while step 3 is saved, one before each fsync; or while the caller does something with the record of step 6."""
    left = iter(numbers)
    weights_at, update, fsync = loop.weights_at, Training.update, os.fsync

    def one(*given: object) -> None:
        if number := next(left, 0):
            os.kill(os.getpid(), number)

    def step(config: RunConfig, now: int):
        if place == "save" and now == 3:
            one()
            os.fsync = lambda file: one() or fsync(file)
        if place == "step" and now == 7:
            [*map(one, numbers)]
        return weights_at(config, now)

    def updated(state: Training) -> None:
        update(state)
        if place == "update" and state.done == 8:
            [*map(one, numbers)]

    loop.weights_at, Training.update = step, updated
    if place != "between":
        return train(config, root, reports)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for record in pretrain(config, root):
        reports.send(record["step"])
        if record["step"] == 6:
            one()
            sum(range(1000))  # a signal is heard between two instructions
            reports.send("went on")
    return None


def hold(config: RunConfig, root: Path, reports: Connection) -> None:
    """One step, then nothing until the other side says so."""
    records = pretrain(config, root)
    reports.send(next(records)["step"])
    reports.recv()


def train_and_say(config: RunConfig, root: Path, reports: Connection) -> None:
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


@contextmanager
def process(processes, function, *args) -> Iterator[tuple]:
    ours, theirs = processes.Pipe()
    child = processes.Process(target=function, args=(*args, theirs))
    child.start()
    theirs.close()
    try:
        yield child, ours
    finally:
        child.kill()
        child.join()


def received(reports: Connection) -> list:
    sent = []
    while True:
        try:
            sent.append(reports.recv())
        except EOFError:
            return sent
