"""The data that a fine-tuning was made of are known by what they are, wherever they lie."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from own_data import glue
from photographs import photograph, photographs, write_json

from xfm.base.fields import ConfigError
from xfm.lab import CHECKPOINTS
from xfm.tasks.finetuning import finetune as module
from xfm.tasks.finetuning import finetuned_model
from xfm.tasks.finetuning.config import FinetuneConfig, recipe
from xfm.tasks.finetuning.finetune import finetune
from xfm.tasks.finetuning.task_run import TaskRun, contents
from xfm.train import RunError


def karpathy(folder: Path) -> Path:
    names = photographs(folder / "images", 8)
    images = [{"filename": name, "sentences": [{"raw": f"picture {name}"}], "split": "train"} for name in names]
    write_json(folder / "dataset.json", {"images": images})
    return folder / "dataset.json"


@pytest.mark.parametrize("whole", [True, False])
def test_a_picture_that_changes_makes_other_data(whole: bool, tmp_path: Path) -> None:
    file = karpathy(tmp_path / "a")
    data = file.parent if whole else file
    before = contents(data)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert contents(tmp_path / "b" / data.relative_to(tmp_path / "a")) == before
    picture = tmp_path / "a/images/3.png"
    photograph(3).resize((30, 20)).save(picture)
    assert contents(data) != before
    shutil.copy(tmp_path / "b/images/3.png", picture)
    assert contents(data) == before
    picture.rename(picture.with_name("other.png"))
    assert contents(data) != before


def test_a_word_that_changes_makes_other_data_and_a_stranger_does_not(tmp_path: Path) -> None:
    file = karpathy(tmp_path)
    before = contents(file)
    photograph(20).save(tmp_path / "images/stranger.png")
    assert contents(file) == before
    tree = json.loads(file.read_text("utf-8"))
    tree["images"][0]["sentences"][0]["raw"] = "another"
    write_json(file, tree)
    assert contents(file) != before


def test_what_is_no_data_is_left_to_the_task(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]", "utf-8")
    assert contents(tmp_path / "a.json")
    with pytest.raises(ConfigError, match=r"data = '.*none': no such file or folder"):
        contents(tmp_path / "none")


def test_what_is_hidden_or_a_run_is_no_part_of_the_data(tmp_path: Path) -> None:
    data = karpathy(tmp_path).parent
    before = contents(data)
    (data / ".#dataset.json").symlink_to("somebody@somewhere.123")
    (data / ".cache").mkdir()
    (data / ".cache" / "a.txt").write_text("a", "utf-8")
    run = data / "runs" / "pretrained@rte" / "seed0"
    run.mkdir(parents=True)
    for name in ("finetune.json", "metrics.jsonl"):
        (run / name).write_text("{}", "utf-8")
    assert contents(data) == before
    (data / "notes.txt").write_text("a", "utf-8")
    assert contents(data) != before


def test_what_cannot_be_read_is_named_with_the_way_out(tmp_path: Path) -> None:
    data = karpathy(tmp_path).parent
    (data / "lost.tsv").symlink_to(data / "nowhere")
    with pytest.raises(ConfigError, match=r"lost\.tsv: cannot be read \(No such file.*\); mend it, or take it away"):
        contents(data)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VALIDATED", 8)
    monkeypatch.setattr(finetuned_model, "PRIOR", 8)


def config(data: Path | str) -> FinetuneConfig:
    train = {"train.save_every": 2, "train.validate_every": 2, "train.warmup": 0}
    return recipe("rte", CHECKPOINTS / "demo", 3, batch=4, frozen="model", data=str(data)).replace(train)


@pytest.mark.usefixtures("few")
def test_a_finished_one_is_opened_without_its_data(tmp_path: Path) -> None:
    asked = config(glue("rte", tmp_path / "data"))
    [*finetune(asked, tmp_path)]
    run = TaskRun.of(asked, tmp_path)
    results, answers = run.results(), run.answers()
    (tmp_path / "data" / "train.tsv").write_text("another", "utf-8")
    for there in (True, False):
        if not there:
            shutil.rmtree(tmp_path / "data")
        opened = TaskRun.open(run.folder)
        assert opened.results() == results and opened.answers() == answers and not opened.tuned().training


@pytest.mark.usefixtures("few")
def test_other_data_are_refused_and_the_same_go_on_from_anywhere(tmp_path: Path) -> None:
    data = Path(glue("rte", tmp_path / "data"))
    for record in finetune(config(data), tmp_path / "runs"):
        if record["step"] == 1:
            break
    run = TaskRun.of(config(data), tmp_path / "runs")
    with (data / "dev.tsv").open("a", encoding="utf-8") as file:
        file.write("\n")
    said = f"{run.folder}: began with other data than are in '{data}' now; put those back, or choose another --root"
    with pytest.raises(RunError, match=re.escape(said)):
        next(finetune(config(data), tmp_path / "runs"))
    with pytest.raises(RunError, match=re.escape(said)):
        TaskRun.of(config(data), tmp_path / "runs")
    moved = Path(glue("rte", tmp_path / "moved"))
    assert [record["step"] for record in finetune(config(moved), tmp_path / "runs")] == [2]
    (run.folder / "data.json").unlink()
    with pytest.raises(RunError, match=r"data\.json: not there, so nothing says which data"):
        TaskRun.of(config(moved), tmp_path / "runs")


@pytest.mark.usefixtures("few")
def test_a_refused_start_keeps_the_folder_for_nobody(tmp_path: Path) -> None:
    """Neither for its config nor for its data: what comes then is as if nothing had been there."""
    data = Path(glue("rte", tmp_path / "data"))
    cut, whole = data / "train.tsv", (data / "train.tsv").read_bytes()
    refused = {
        "has no embedded data; --data takes": config(""),
        "has no column 'sentence1'": config(glue("sst2", tmp_path / "of another task")),
        r"train\.tsv:2: has 1 cells": config(data),
    }
    for said, asked in refused.items():
        cut.write_bytes(b"index\tsentence1\tsentence2\tlabel\ntorn\n" if "cells" in said else whole)
        with pytest.raises(ConfigError, match=said):
            [*finetune(asked, tmp_path / "runs")]
    cut.write_bytes(whole)
    for root in ("runs", "fresh"):
        assert [record["step"] for record in finetune(config(data), tmp_path / root)] == [0, 1, 2]
    run, fresh = (TaskRun.of(config(data), tmp_path / root) for root in ("runs", "fresh"))
    assert run.results() == fresh.results() and run.damaged() == []
    assert TaskRun.open(run.folder).config == config(data)
    assert run.read("data.json") == fresh.read("data.json")
    assert {path.name for path in run.folder.iterdir()} == {path.name for path in fresh.folder.iterdir()}
    with pytest.raises(RunError, match="holds a fine-tuning of another config"):
        next(finetune(config(data).replace({"train.lr": 0.5}), tmp_path / "runs"))


@pytest.mark.usefixtures("few")
def test_the_runs_may_lie_among_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glue("rte", tmp_path)
    monkeypatch.chdir(tmp_path)
    for record in finetune(config("."), "runs"):
        if record["step"] == 1:
            break
    assert [record["step"] for record in finetune(config("."), "runs")] == [2]


def test_whether_there_are_data_is_part_of_what_a_run_is_and_which_is_not(tmp_path: Path) -> None:
    one, other = (config(glue("rte", tmp_path / name)) for name in "ab")
    (tmp_path / "b" / "train.tsv").write_text("another", "utf-8")
    assert one.fingerprint == other.fingerprint
    embedded = recipe("synset", CHECKPOINTS / "demo")
    assert embedded.fingerprint != embedded.replace({"data": str(tmp_path)}).fingerprint
