"""What the tests' processes do; under torch.distributed.run this file is the script."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from xfm import pretrain
from xfm.config import RunConfig, from_json
from xfm.train import loop


def finish(config: RunConfig, root: Path) -> None:
    for _ in pretrain(config, root):
        pass


def die_at(call: int, config: RunConfig, root: Path) -> None:
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
    finish(config, root)


def interrupted(config: RunConfig, root: Path, reports: Connection) -> None:
    """Trains in a process group of its own and sends every step, then what the interrupt said."""
    os.setsid()
    try:
        for record in pretrain(config, root):
            reports.send(record["step"])
    except KeyboardInterrupt as interrupt:
        reports.send(str(interrupt))


def interrupt_at(step: int, times: int, config: RunConfig, root: Path, reports: Connection) -> None:
    """Interrupts itself `times` times in the middle of a step."""
    weights_at = loop.weights_at

    def patched(config: RunConfig, now: int):
        for _ in range(times if now == step else 0):
            os.kill(os.getpid(), signal.SIGINT)
        return weights_at(config, now)

    loop.weights_at = patched
    interrupted(config, root, reports)


def hold(config: RunConfig, root: Path, reports: Connection) -> None:
    """One step, then nothing until the other side says so, then the end of the process in the middle of the loop."""
    records = pretrain(config, root)
    reports.send(next(records)["step"])
    reports.recv()
    sys.exit()


if __name__ == "__main__":
    finish(from_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
