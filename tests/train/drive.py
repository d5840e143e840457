"""What the tests' processes do. Each sends its steps through `reports`, or what ended it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from filelock import FileLock

from xfm import pretrain
from xfm.config import RunConfig
from xfm.train import RunError, loop


def train(config: RunConfig, root: Path, reports: Connection) -> None:
    """In a process group of its own, as a terminal's Ctrl-C reaches one."""
    os.setsid()
    multiprocessing.set_start_method("fork", force=True)  # of loader processes, as anywhere on Linux
    try:
        for record in pretrain(config, root):
            reports.send(record["step"])
    except (KeyboardInterrupt, RunError) as error:
        reports.send(f"{type(error).__name__}: {error}")


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


def interrupt_at(step: int, times: int, config: RunConfig, root: Path, reports: Connection) -> None:
    """Trains; presses Ctrl-C `times` times in the middle of a step."""
    weights_at = loop.weights_at

    def patched(config: RunConfig, now: int):
        for _ in range(times if now == step else 0):
            os.kill(os.getpid(), signal.SIGINT)
        return weights_at(config, now)

    loop.weights_at = patched
    train(config, root, reports)


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
