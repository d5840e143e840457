"""A run's files are what was saved, of this config, or refused: bit rot, other files, races, wrong values."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from train import drive
from train.conftest import vouch
from train.process import process, received

from xfm.runs.manifest import MANIFEST
from xfm.train import Run, RunError, pretrain

FILES = ("config.json", "environment.json", "tokenizer.json", "metrics.jsonl", "model.safetensors", "state.pt", "DONE")


@pytest.fixture(scope="module")
def stopped(config, tmp_path_factory) -> Run:
    root = tmp_path_factory.mktemp("stopped")
    for record in pretrain(config, root):
        if record["step"] == 9:
            break
    return Run.of(config, root)


@pytest.fixture(scope="module")
def spoilt(stopped, tmp_path_factory) -> Run:
    """A copy of it, to which each example does one thing, and undoes it."""
    root = tmp_path_factory.mktemp("spoilt")
    shutil.copytree(stopped.folder.parents[1], root, dirs_exist_ok=True)
    return Run.of(stopped.config, root)


def test_every_file_is_named(trained):
    named = json.loads((trained.folder / MANIFEST).read_text("utf-8"))
    assert sorted(named["files"]) == sorted(FILES)
    assert {p.name for p in trained.folder.iterdir()} == {*FILES, MANIFEST, ".lock"}
    assert named["run"] == trained.config.fingerprint
    assert trained.damaged() == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES[:-1]), at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_is_found_and_a_resume_writes_nothing(name, at, bit, spoilt):
    path = spoilt.folder / name
    good = path.read_bytes()
    bad = bytearray(good)
    bad[int(at * len(bad))] ^= 1 << bit
    path.write_bytes(bad)
    try:
        before = {p.name: p.read_bytes() for p in spoilt.folder.iterdir()}
        assert [str(path) in str(e) for e in spoilt.damaged()] == [True]
        with pytest.raises(RunError, match=rf"{name}: (is not the file that was saved here|no readable config)"):
            next(pretrain(spoilt.config, spoilt.folder.parents[1]))
        assert {p.name: p.read_bytes() for p in spoilt.folder.iterdir()} == before
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize(
    ("name", "read"),
    [("model.safetensors", Run.model), ("metrics.jsonl", Run.metrics), ("tokenizer.json", Run.tokenizer)],
)
def test_what_is_read_is_checked_first(name, read, trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    bad = bytearray((trained.folder / name).read_bytes())
    bad[-2] ^= 1
    (tmp_path / "run" / name).write_bytes(bad)
    run = Run.open(tmp_path / "run")  # the same length: a look at the sizes alone does not tell
    with pytest.raises(RunError, match=rf"{name}: is not the file that was saved here.* Put a good copy back, or "):
        read(run)
    (tmp_path / "run" / name).write_bytes(bad[:-1])
    with pytest.raises(RunError, match=rf"{name}: is not the file that was saved here"):
        Run.open(tmp_path / "run")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"run": 1}', '{"run": "", "files": {"DONE": 3}}', "[" * 100_000, None]
)
def test_a_manifest_that_is_none(text, stopped, tmp_path):
    shutil.copytree(stopped.folder, tmp_path / "run")
    path = tmp_path / "run" / MANIFEST
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunError, match=rf"{MANIFEST}: .* Put a good copy back, or delete the folder and train again"):
        Run.open(tmp_path / "run")


def test_the_config_of_another_run_is_refused(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(trained.config.replace({"train.lr": 5e-4}).to_json())
    with pytest.raises(RunError, match=r"config.json: is not the file that was saved here"):
        Run.open(tmp_path / "run")
    vouch(Run(tmp_path / "run", trained.config))
    with pytest.raises(RunError, match=r"manifest.json: is of a run with the config .* were not trained with that"):
        Run.open(tmp_path / "run")


def test_weights_without_a_config_are_nobodys(trained, tmp_path):
    """And no run of another config starts there, to be called done at once."""
    folder = tmp_path / "smoke" / "seed0"
    shutil.copytree(trained.folder, folder)
    (folder / "config.json").unlink()
    other = trained.config.replace({"train.lr": 5e-4})
    assert not Run.of(other, tmp_path).done
    with pytest.raises(RunError, match=r"has DONE and no config.json, so nothing says what was trained"):
        next(pretrain(other, tmp_path))


NOT_STEPS = [-5, 0, 13, 10**9, 10**30, "x", 3.0, True, None, [1]]


@pytest.mark.parametrize("step", NOT_STEPS, ids=map(str, NOT_STEPS))
def test_a_step_that_is_none(step, stopped, tmp_path):
    shutil.copytree(stopped.folder.parents[1], tmp_path, dirs_exist_ok=True)
    run = Run.of(stopped.config, tmp_path)
    state = torch.load(run.folder / "state.pt", weights_only=True)
    torch.save(state | {"step": step}, run.folder / "state.pt")
    vouch(run)
    with pytest.raises(RunError, match=r"state.pt: no readable checkpoint of this run \(step .*, of 12\)"):
        next(pretrain(run.config, tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["model", "optimizer"])
def test_a_state_that_is_not_finite(where, value, stopped, tmp_path):
    shutil.copytree(stopped.folder.parents[1], tmp_path, dirs_exist_ok=True)
    run = Run.of(stopped.config, tmp_path)
    state = torch.load(run.folder / "state.pt", weights_only=True)
    tensor = state["model"]["text.word.weight"] if where == "model" else state["optimizer"]["state"][3]["exp_avg"]
    tensor.view(-1)[7] = value
    torch.save(state, run.folder / "state.pt")
    vouch(run)
    with pytest.raises(
        RunError, match=r"state.pt: no readable checkpoint .*(text.word.weight|3.exp_avg) is not finite"
    ):
        next(pretrain(run.config, tmp_path))


def test_weights_that_are_not_finite(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    weights = load_file(run.folder / "model.safetensors")
    weights["text.word.weight"][5, 5] = float("nan")
    save_file(weights, run.folder / "model.safetensors")
    vouch(run)
    with pytest.raises(RunError, match=r"model.safetensors: text.word.weight is not finite: this model has diverged"):
        run.model()


def test_two_configs_at_one_moment_and_one_wins(config, tmp_path, processes):
    """Processes that start together under one name: what is there in the end is one run, whole."""
    for n in range(4):
        root = tmp_path / str(n)
        asked = [config.replace({"train.lr": lr, "train.steps": 2}) for lr in (9e-4, 1e-4)]
        with (
            process(processes, drive.train, asked[0], root) as (_, a),
            process(processes, drive.train, asked[1], root) as (_, b),
        ):
            ended = [received(a), received(b)]
        assert sorted(len(sent) for sent in ended) == [1, 2], ended
        winner = [len(sent) for sent in ended].index(2)
        assert ended[winner] == [0, 1]
        (said,) = ended[1 - winner]
        assert "is training this run" in said or "holds a run of another config (train.lr" in said, said
        run = Run.of(asked[winner], root)
        assert run.done and run.damaged() == []
        assert run.metrics()[-1]["rate"] == pytest.approx(0.0) or run.metrics()[0]["rate"] < asked[winner].train.lr
        with pytest.raises(RunError, match="holds a run of another config"):
            Run.of(asked[1 - winner], root)


def test_a_save_that_reads_back_otherwise_keeps_the_last_one(config, tmp_path, monkeypatch):
    """A disk that says yes and stores something else."""
    records = pretrain(config.replace({"train.save_every": 1}), tmp_path)
    next(records)
    folder = Run.of(config, tmp_path).folder
    kept = (folder / "state.pt").read_bytes()
    monkeypatch.setattr("xfm.base.files.os.fsync", lambda file: _rot(folder))
    with pytest.raises(RuntimeError, match="what was written reads back differently"):
        next(records)
    monkeypatch.undo()
    assert (folder / "state.pt").read_bytes() == kept
    assert next(pretrain(config, tmp_path))["step"] == 1


def _rot(folder: Path) -> None:
    for temporary in folder.glob(".model.safetensors.*"):
        with temporary.open("r+b") as file:
            file.seek(5000)
            byte = file.read(1)
            file.seek(5000)
            file.write(bytes([byte[0] ^ 4]))
