"""A run that was killed, interrupted or left goes on bit for bit, whatever it was doing."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from train import drive

from xfm import keyed
from xfm.train import Run, RunBusy, RunError, loop, pretrain


@contextmanager
def process(processes, function, *args) -> Iterator[tuple]:
    """A process that runs `function(*args, connection)`, and our end of the connection."""
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
    """All that the other side sent until its end."""
    sent = []
    while True:
        try:
            sent.append(reports.recv())
        except EOFError:
            return sent


def steps_done(run: Run) -> int:
    return torch.load(run.folder / "state.pt", weights_only=True)["step"]


@pytest.mark.parametrize(("workers", "kills"), [(0, 5), (1, 3)])
def test_killed_at_random_moments(workers, kills, config, trained, tmp_path, processes, assert_same):
    config = config.replace({"data.workers": workers, "train.save_every": 1})
    draw, killed = random.Random(keyed.seed("kills", workers)), []
    while not Run.of(config, tmp_path).done:
        with process(processes, drive.train, config, tmp_path) as (child, reports):
            if len(killed) < kills:
                if killed:  # the first may die while it starts, the others have done a step
                    reports.poll(60)
                time.sleep(draw.uniform(0, 0.2))
            else:
                received(reports)
            killed.append(child.is_alive())
    assert sum(killed) >= 2
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
    print(call)
    assert call > 10
    assert_same(Run.of(config, root).folder, trained.folder)
