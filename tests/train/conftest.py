"""One trained run for all tests of the trainer, real processes that start at once, and what the same run means."""

import json
import multiprocessing
import multiprocessing.forkserver
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from xfm import recipes
from xfm.config import RunConfig
from xfm.runs.manifest import MANIFEST, Manifest
from xfm.train import Run, pretrain

os.environ["ACCELERATE_USE_CPU"] = "true"  # bit for bit is a promise of the CPU
SETTINGS = {  # what the tests count on, however recipes are tuned; with dropout, so that its draws matter
    **{"model.text.dropout": 0.1, "model.vision.drop_path": 0.1, "objectives.mim.start": 0.5, "train.lr": 1e-3},
    **{f"objectives.{objective}.start": 0.25 for objective in ("itm", "imlm", "bbp")},
    **{"train.steps": 12, "train.save_every": 5, "train.validate_every": 6},
}
TIMING = ("seconds", "waited")


@pytest.fixture(scope="session")
def config():
    return recipes.get("smoke").replace(SETTINGS)


@pytest.fixture(scope="session")
def trained(config, once):
    """The uninterrupted run of `config`. Not to be changed."""
    return Run.of(config, once("trained", lambda root: list(pretrain(config, root))))


@pytest.fixture(scope="session")
def processes(trained):
    """A multiprocessing context whose processes begin with everything imported and the data in memory."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train.ready"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        multiprocessing.forkserver.ensure_running()
    first = context.Process(target=time.sleep, args=(0,))  # ready when this one has run
    first.start()
    first.join()
    return context


def plain(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in TIMING}


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def vouch(run: Run) -> None:
    """Makes the manifest name whatever lies in the folder, as somebody would who means to deceive."""
    names = [p.name for p in run.folder.iterdir() if p.name != MANIFEST and p.is_file()]
    tree = json.loads((run.folder / MANIFEST).read_text("utf-8"))
    Manifest(run.folder, tree["run"]).replace({}, grown=names)


def left(config: RunConfig, root: Path, step: int) -> Run:
    for record in pretrain(config, root):
        if record["step"] == step and record["run"] == config.name:
            break
    return Run.of(config, root)


@pytest.fixture(scope="session")
def stopped_once(config, once):
    """A run that was left after 10 of 12 steps. Not to be changed."""
    return Run.of(config, once("stopped", lambda root: left(config, root, 9)))


def copied(run: Run, root: Path) -> Run:
    shutil.copytree(run.root, root, dirs_exist_ok=True)
    return Run.of(run.config, root)


@pytest.fixture
def copy(trained, tmp_path):
    return copied(trained, tmp_path)


@pytest.fixture
def unfinished(stopped_once, tmp_path):
    return copied(stopped_once, tmp_path)


@pytest.fixture
def goes_on(config, trained, tmp_path, assert_same):
    """A run that was left after so many steps goes on with the next one, and ends as if nothing had been."""

    def check(done: int) -> None:
        run = Run.of(config, tmp_path)
        assert steps_done(run) == len(run.metrics()) == done
        assert [r["step"] for r in pretrain(config, tmp_path)] == [*range(done, 12)]
        assert_same(run.folder, trained.folder)

    return check


def steps_done(run: Run) -> int:
    return torch.load(run.folder / "state.pt", weights_only=True)["step"]


@pytest.fixture(scope="session")
def assert_same():
    def check(a: Path, b: Path) -> None:
        """Two run folders hold the same run: weights, optimizer state, records apart from what they took."""
        assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
        states = [torch.load(folder / "state.pt", weights_only=True) for folder in (a, b)]
        assert states[0]["optimizer"]["state"], "an optimizer that has done nothing proves nothing"
        assert equal(*states)
        assert [*map(plain, Run.open(a).metrics())] == [*map(plain, Run.open(b).metrics())]
        assert {p.name for p in a.iterdir()} == {p.name for p in b.iterdir()}

    return check
