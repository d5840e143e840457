"""Trainings that are killed, asked to end, raced and robbed of their loaders: what is there is whole, and goes on."""

import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from train import drive
from train.conftest import plain
from train.drive import process, received

from xfm.base.files import TEMPORARY
from xfm.config import RunConfig
from xfm.runs.manifest import MANIFEST
from xfm.runs.run_lock import HOLDER
from xfm.train import Run, pretrain

pytestmark = pytest.mark.full
ENDINGS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
BUSY = r"RunBusy: .* is training this run.*"
OTHER = r"RunError: .*(holds a run of another config|is of a run with the config).*"


def finish(config: RunConfig, root: Path) -> Run:
    list(pretrain(config, root))
    return Run.of(config, root)


def test_kills(attack, config, trained, processes, assert_same):
    """At a random write or after a random time, one to three times; then it goes on to the same weights."""
    for draw in attack:
        root = attack.root
        changed = config.replace({"train.save_every": draw.choice([1, 2, 5])})
        plan = [draw.choice([draw.randrange(1, 60), draw.uniform(0, 0.5)]) for _ in range(draw.randint(1, 3))]
        with attack.attempt(plan):
            for kill in plan:
                way = (drive.die_at, kill) if isinstance(kill, int) else (drive.train,)
                with process(processes, *way, changed, root) as (_, reports):
                    if isinstance(kill, int):
                        received(reports)
                    else:
                        reports.poll(60)  # it has begun
                        time.sleep(kill)
                run = Run.of(changed, root)
                if run.has(MANIFEST):
                    assert run.damaged() == []
            run = finish(changed, root)
            for left in (*run.folder.glob(TEMPORARY), run.folder / HOLDER):  # of a kill in a finished run's last write
                left.unlink(missing_ok=True)
            assert_same(run.folder, trained.folder)


def test_signals(attack, config, trained, processes, assert_same):
    """To end, several and of several kinds, at random moments, to the process or to its group with its loaders."""
    for draw in attack:
        root, sent = attack.root, [draw.choice(ENDINGS[1:]) for _ in range(draw.randint(1, 4))]
        changed = config.replace({"data.workers": draw.choice([0, 0, 1])})
        group = draw.random() < 0.5
        with attack.attempt((sent, group)):
            with process(processes, drive.train, changed, root) as (child, reports):
                reports.poll(60)
                for number in sent:
                    time.sleep(draw.uniform(0, 0.1))
                    if child.is_alive():
                        (os.killpg if group else os.kill)(child.pid, number)
                received(reports)
                child.join(60)
                assert not child.is_alive()
            run = Run.of(changed, root)
            assert run.damaged() == []
            assert len(run.metrics()) >= 1, "a step that was done is saved"
            assert_same(finish(changed, root).folder, trained.folder)


def test_races(attack, config, tmp_path, processes):
    """Two or three processes, one name, of equal or of other configs, at about one moment."""
    for draw in attack:
        root = attack.root
        rates = [draw.choice([9e-4, 1e-4]) for _ in range(draw.randint(2, 3))]
        asked = [config.replace({"train.lr": rate, "train.steps": 2, "train.warmup": 0}) for rate in rates]
        with attack.attempt(rates):
            ended = together(processes, asked, root, draw)
            ran = [i for i, sent in enumerate(ended) if sent[-1:] == [1]]
            assert ran and len({rates[i] for i in ran}) == 1, ended
            for said in (sent[0] for i, sent in enumerate(ended) if i not in ran):
                assert re.fullmatch(f"{BUSY}|{OTHER}", str(said), re.DOTALL), said
            run = Run.of(asked[ran[0]], root)
            assert run.damaged() == []
            assert run.done and [r["rate"] for r in run.metrics()][:1] == [rates[ran[0]]]
            alone = finish(asked[ran[0]], tmp_path / f"alone {rates[ran[0]]}")
            assert (run.folder / "model.safetensors").read_bytes() == (alone.folder / "model.safetensors").read_bytes()
            assert [*map(plain, run.metrics())] == [*map(plain, alone.metrics())]


def together(processes: Any, configs: list[RunConfig], root: Path, draw: random.Random) -> list[list[Any]]:
    if not configs:
        return []
    with process(processes, drive.train, configs[0], root) as (_, reports):
        time.sleep(draw.choice([0, 0, draw.uniform(0, 0.05)]))
        others = together(processes, configs[1:], root, draw)
        return [received(reports), *others]


def test_loaders(attack, config, trained, processes, assert_same):
    """A loader process killed at a random moment, by a signal that it cannot refuse or by itself."""
    for draw in attack:
        root, changed = attack.root, config.replace({"data.workers": draw.choice([1, 2])})
        number = draw.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
        with attack.attempt((number, changed.data.workers)):
            with process(processes, drive.train_and_say, changed, root) as (child, reports):
                sent = [reports.recv()]
                time.sleep(draw.uniform(0, 0.15))
                for pid in drive.children_of(child.pid)[: draw.randint(1, 2)]:
                    drive.kill(pid, number)
                sent += received(reports)
            ends = sent[-1]
            assert ends == 11 or re.match(r"LoaderFailed: (step \d+|before a step): a loader process ", str(ends)), sent
            assert Run.of(changed, root).damaged() == []
            assert_same(finish(changed, root).folder, trained.folder)
