"""A run's files are what was saved, of this config, or refused: bit rot, other files, races, wrong values."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from train import drive
from train.conftest import vouch
from train.process import process, received

from xfm.runs.manifest import MANIFEST
from xfm.train import Run, RunError, pretrain

FILES = ("config.json", "environment.json", "tokenizer.json", "metrics.jsonl", "model.safetensors", "state.pt", "DONE")


def test_every_file_is_named(trained):
    named = json.loads((trained.folder / MANIFEST).read_text("utf-8"))
    assert sorted(named["files"]) == sorted(FILES)
    assert {p.name for p in trained.folder.iterdir()} == {*FILES, MANIFEST, ".lock"}
    assert named["run"] == trained.config.fingerprint
    assert trained.damaged() == []


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
