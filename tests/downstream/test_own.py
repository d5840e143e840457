"""The data that a fine-tuning was made of are known by what they are, wherever they lie."""

import re
import shutil
from pathlib import Path

import pytest
from downstream.conftest import cut, short
from own_data import glue, karpathy
from photographs import photograph

from xfm.base.fields import ConfigError
from xfm.tasks.finetuning.config import FinetuneConfig
from xfm.tasks.finetuning.finetune import finetune
from xfm.tasks.finetuning.task_run import TaskRun, contents
from xfm.train import RunError


@pytest.mark.parametrize("whole", [True, False])
def test_a_picture_that_changes_makes_other_data(whole: bool, tmp_path: Path) -> None:
    file, kept = karpathy(tmp_path / "a"), tmp_path / "b"
    data, picture = file.parent if whole else file, tmp_path / "a/images/3.png"
    before = contents(data)
    shutil.copytree(tmp_path / "a", kept)
    assert contents(kept / data.relative_to(tmp_path / "a")) == before
    changes = {
        "resized": lambda: photograph(3).resize((30, 20)).save(picture),
        "renamed": lambda: picture.rename(picture.with_name("other.png")),
        "added": lambda: photograph(20).save(picture.with_name("stranger.png")),  # a file that the data do not name
        "said": lambda: file.write_text(file.read_text("utf-8").replace("Caption one of 0", "another"), "utf-8"),
    }
    for name, change in changes.items():
        change()
        assert (contents(data) != before) == (whole or name != "added"), name
        shutil.rmtree(tmp_path / "a")
        shutil.copytree(kept, tmp_path / "a")
    assert contents(data) == before


def test_what_is_hidden_or_a_run_is_no_part_of_the_data(tmp_path: Path) -> None:
    data = karpathy(tmp_path).parent
    before = contents(data)
    (data / ".#dataset.json").symlink_to("somebody@somewhere.123")
    for name in (".cache/a.txt", "runs/pretrained@rte/seed0/finetune.json", "runs/pretrained@rte/seed0/metrics.jsonl"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("{}", "utf-8")
    assert contents(data) == before
    (data / "notes.txt").write_text("a", "utf-8")
    assert contents(data) != before
    (data / "lost.tsv").symlink_to(data / "nowhere")
    with pytest.raises(ConfigError, match=r"lost\.tsv: cannot be read \(No such file.*\); mend it, or take it away"):
        contents(data)
    with pytest.raises(ConfigError, match=r"data = '.*none': no such file or folder"):
        contents(tmp_path / "none")


def config(data: Path | str) -> FinetuneConfig:
    return short("rte", data=data, frozen="model", train__steps=3)


@pytest.mark.usefixtures("small")
def test_a_finished_one_is_opened_without_its_data(tmp_path: Path) -> None:
    asked = config(glue("rte", tmp_path / "data"))
    [*finetune(asked, tmp_path)]
    run = TaskRun.of(asked, tmp_path)
    results, answers = run.results(), run.answers()
    for change in (lambda data: (data / "train.tsv").write_text("another", "utf-8"), shutil.rmtree):
        change(tmp_path / "data")
        opened = TaskRun.open(run.folder)
        assert opened.results() == results and opened.answers() == answers and not opened.tuned().training


@pytest.mark.usefixtures("small")
def test_other_data_are_refused_and_the_same_go_on_from_anywhere(tmp_path: Path) -> None:
    data = Path(glue("rte", tmp_path / "data"))
    cut(config(data), tmp_path / "runs", 1)
    run = TaskRun.of(config(data), tmp_path / "runs")
    with (data / "dev.tsv").open("a", encoding="utf-8") as file:
        file.write("\n")
    said = re.escape(f"{run.folder}: began with other data than are in '{data}' now; put those back, or choose another")
    with pytest.raises(RunError, match=said):
        next(finetune(config(data), tmp_path / "runs"))
    moved = Path(glue("rte", tmp_path / "moved"))
    assert [record["step"] for record in finetune(config(moved), tmp_path / "runs")] == [2]
    (run.folder / "data.json").unlink()
    with pytest.raises(RunError, match=r"data\.json: not there, so nothing says which data"):
        TaskRun.of(config(moved), tmp_path / "runs")


@pytest.mark.usefixtures("small")
def test_a_refused_start_keeps_the_folder_for_nobody(tmp_path: Path) -> None:
    data = Path(glue("rte", tmp_path / "data"))
    cut, whole = data / "train.tsv", (data / "train.tsv").read_bytes()
    folder = glue("sst2", tmp_path / "of another task")
    cut.write_bytes(b"index\tsentence1\tsentence2\tlabel\ntorn\n")
    refused = {r"train\.tsv:2: has 1 cells": config(data), "has no column 'sentence1'": config(folder),
               "has no embedded data; --data takes": config("")}  # fmt: skip
    for said, asked in refused.items():
        with pytest.raises(ConfigError, match=said):
            [*finetune(asked, tmp_path / "runs")]
    cut.write_bytes(whole)
    for root in ("runs", "fresh"):
        assert [record["step"] for record in finetune(config(data), tmp_path / root)] == [0, 1, 2]
    run, fresh = (TaskRun.of(config(data), tmp_path / root) for root in ("runs", "fresh"))
    assert run.results() == fresh.results() and run.read("data.json") == fresh.read("data.json")
    assert run.damaged() == [] and TaskRun.open(run.folder).config == config(data)
    assert {path.name for path in run.folder.iterdir()} == {path.name for path in fresh.folder.iterdir()}
