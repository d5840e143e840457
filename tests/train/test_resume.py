"""A run that was killed, interrupted or left goes on bit for bit, whatever it was doing."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from train.drive import die_at, finish, hold, interrupt_at, interrupted

from xfm import keyed
from xfm.train import Run, RunBusy, RunError, loop, pretrain


def steps_done(run: Run) -> int:
    return torch.load(run.folder / "state.pt", weights_only=True)["step"]


@pytest.mark.parametrize("workers", [0, 1])
def test_killed_at_random_moments(workers, config, trained, tmp_path, processes, assert_same):
    config = config.replace({"data.workers": workers, "train.save_every": 1})
    draw, kills = random.Random(keyed.seed("kills", workers)), 0
    began = time.monotonic()
    first = processes.Process(target=finish, args=(config, tmp_path / "whole"))
    first.start()
    first.join()
    whole = time.monotonic() - began
    while not Run.of(config, tmp_path).done:
        process = processes.Process(target=finish, args=(config, tmp_path))
        process.start()
        process.join(whole * draw.uniform(0.2, 0.7) if kills < 5 else None)
        kills += process.is_alive()
        process.kill()
        process.join()
    assert kills >= 2
    assert_same(Run.of(config, tmp_path).folder, trained.folder)
