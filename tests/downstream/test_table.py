"""The main table in miniature, and studies whose metric is a fine-tuned task."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from downstream.conftest import RUN, cut, short
from own_data import glue, karpathy
from photographs import photograph

from xfm import Run, cli, pretrain, recipes
from xfm.config import ConfigError
from xfm.data import dataset
from xfm.objectives import build
from xfm.study import Study
from xfm.tasks import TRAINABLE, Result
from xfm.tasks.finetuning import table as module_of_table
from xfm.tasks.finetuning.config import FinetuneConfig, recipe
from xfm.tasks.finetuning.finetune import finetune
from xfm.tasks.finetuning.finetuned_model import headed
from xfm.tasks.finetuning.table import finetuned, startable, table
from xfm.tasks.finetuning.task import Trainable
from xfm.tasks.finetuning.task_run import TaskRun, contents
from xfm.train import RunError

SHORT = {"train.steps": 2, "train.validate_every": 0, "train.save_every": 2}


@pytest.fixture
def smallest(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def quick(task: str, run: Any, **changes: Any) -> FinetuneConfig:
        return recipe(task, run, batch=4, **changes).replace({"train.steps": 2, "train.warmup": 0})

    monkeypatch.setattr(module_of_table, "recipe", quick)


def test_a_run_starts_the_tasks_that_it_has_learnt_for() -> None:
    for name, family in (("bert_like", "language"), ("beit_like", "vision")):
        config = recipes.get(f"smoke+{name}")
        own = {t for t, task in TRAINABLE.items() if task.family == family and not task.heads}
        assert {t for t in TRAINABLE if startable(config, t)} == own
    for name in ("smoke", "smoke+fused", "smoke+no_stop_gradient"):
        assert all(startable(recipes.get(name), task) for task in TRAINABLE), name


@pytest.mark.parametrize(("name", "changes", "task", "said"), [
    ("clip_like", {}, "nlvr2", "model.fusion_depth = 0: must be positive: without a fusion encoder"),
    ("no_itm", {}, "retrieval", "objectives.itm.weight = 0.0: must be positive: it starts from the head"),
    ("no_imlm", {}, "vqa", "objectives.imlm.weight = 0.0: must be positive: it starts from the head"),
    ("", {"model.text.encoder": "open_clip"}, "vqa", "model.text.encoder = 'open_clip': must be one of 'roberta', "),
])  # fmt: skip
def test_a_run_that_lacks_what_a_task_starts_from_is_refused(name: str, changes: Any, task: str, said: str) -> None:
    config = recipes.get(f"smoke+{name}".strip("+")).replace(changes)
    with pytest.raises(ConfigError, match=f"^task = '{task}': {re.escape(said)}"):
        headed(build(config), config, dataset(config).tokenizer(), FinetuneConfig(task, name))
    assert not startable(config, task)


@pytest.mark.parametrize("task", ["vqa", "captioning"])
def test_a_decoder_looks_at_what_its_task_gives_it_whatever_the_width_of_pictures(task: str) -> None:
    config = recipes.get("smoke").replace({"model.vision.width": 48})
    model = build(config)
    assert startable(config, task) and config.model.text.width != 48
    tuned = headed(model, config, dataset(config).tokenizer(), FinetuneConfig(task, "smoke"))
    tuned(tuned.task.batch(tuned.task.drawn(0, 0, 2), torch.device("cpu"))).backward()
    cross = tuned.head.layers[0].cross  # type: ignore[union-attr, index]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in cross.parameters())  # type: ignore[union-attr]


def test_a_simple_model_beside_two_fine_tunings_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def tuned(config: FinetuneConfig, *_: Any) -> Any:
        conditions = "scratch" * config.scratch, "bag of words"
        rows = [Result("lexname", c, "accuracy", 0.5, 0, 1, 10, 0.25, "x", 1.0, 0, "test") for c in conditions]
        return SimpleNamespace(results=lambda: rows)

    monkeypatch.setattr(module_of_table, "train_to_end", tuned)
    rows = module_of_table.compared(RUN, "lexname")
    assert [row.condition for row in rows] == ["", "bag of words", "scratch"]


def test_the_table_has_a_line_a_model_one_of_simple_models_and_what_they_must_beat() -> None:
    def result(family: Any, task: str, value: float) -> Result:
        return Result(task, "", "accuracy", value, 0, 1, 10, 0.25, "most frequent", 1.0, 0, "test", family=family)

    simple = replace(result("language", "a", 0.5), condition="bag of words", better="", baseline=0.125)
    own = replace(result("language", "a", 0.75), baseline=0.5, baseline_name="bag of words")
    lines = table({"x": [result("vision", "b", 0.5), own, simple], "y": [result("vision", "b", 0.625)]}).splitlines()
    assert lines[0] == "|  | language | vision |" and lines[2] == "|  | a, accuracy | b, accuracy |"
    models = ["| x | 75.0 | 50.0 |", "| y | – | 62.5 |"]
    assert lines[3:] == [*models, "| bag of words, raw pixels | 50.0 | – |", "| baseline | 12.5 | 25.0 |"]


@pytest.mark.full
def test_an_exploration_reads_no_test_item(smallest: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, items = set[str](), Trainable.items
    monkeypatch.setattr(Trainable, "items", lambda self, split, most=0: read.add(split) or items(self, split, most))
    made = {"seeds": range(3), "tasks": "finetune:lexname", "root": tmp_path, "runs": tmp_path / "r", "changes": SHORT}
    study = Study("look", "smoke+bert_like", ["xfm", "train.lr=0.01"], split="validation", **made)
    study.run()
    assert "validation" in read and "test" not in read
    levels = study.levels().query("level == 'step 0' and variant == 'xfm'")
    assert levels["metric"].str.startswith("validation/").all() and len(levels), "a fine-tuned task has its own control"


@pytest.mark.full
def test_evaluate_prints_the_table_of_a_run(smallest: None, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    [*pretrain(config := recipes.get("smoke+bert_like").replace(SHORT), tmp_path)]
    folder = Run.of(config, tmp_path).folder
    cli.main(["evaluate", str(folder), "--tasks", "downstream"])
    said = capsys.readouterr().out
    assert "| pretrained | " in said and "| no pre-training | " in said and "lexicographer" in said
    results = finetuned(Run.open(folder), ["lexname", "vqa"], tmp_path)
    assert [r.condition for r in results] == ["", "bag of words"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_picture_that_changes_makes_other_data(whole: bool, tmp_path: Path) -> None:
    changes = [
        lambda file, picture: photograph(3).resize((30, 20)).save(picture),
        lambda file, picture: picture.rename(picture.with_name("other.png")),
        lambda file, picture: file.write_text(file.read_text("utf-8").replace("one of 0", "another"), "utf-8"),
        lambda file, picture: photograph(20).save(picture.with_name("stranger.png")),  # which the data do not name
    ]
    file = karpathy(tmp_path / "a")
    before = contents(file.parent if whole else file)
    for i, change in enumerate(changes):
        file = karpathy(tmp_path / f"{i}")
        data = file.parent if whole else file
        assert contents(data) == before
        change(file, file.with_name("images") / "3.png")
        assert (contents(data) != before) == (whole or i < 3), i
    if not whole:
        return  # of a folder what is hidden or a run is no part of the data
    before = contents(data := karpathy(tmp_path / "whole").parent)
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


def config(data: Path | str) -> FinetuneConfig:
    return short("rte", data=data, frozen="model", train__steps=3)


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
    results, answers = run.results(), run.answers()
    for change in (lambda: (moved / "train.tsv").write_text("another", "utf-8"), lambda: shutil.rmtree(moved)):
        change()  # a finished one is opened without its data
        opened = TaskRun.open(run.folder)
        assert opened.results() == results and opened.answers() == answers and not opened.tuned().training
    (run.folder / "data.json").unlink()
    with pytest.raises(RunError, match=r"data\.json: not there, so nothing says which data"):
        TaskRun.of(config(moved), tmp_path / "runs")


@pytest.mark.usefixtures("small")
def test_a_refused_start_keeps_the_folder_for_nobody(tmp_path: Path) -> None:
    data = Path(glue("rte", tmp_path / "data"))
    (data / "train.tsv").write_bytes(b"index\tsentence1\tsentence2\tlabel\ntorn\n")
    refused = {r"train\.tsv:2: has 1 cells": data, "has no embedded data; --data takes": "",
               "has no column 'sentence1'": glue("sst2", tmp_path / "of another task")}  # fmt: skip
    for said, given in refused.items():
        with pytest.raises(ConfigError, match=said):
            [*finetune(config(given), tmp_path / "runs")]
    glue("rte", data)
    for root in ("runs", "fresh"):
        assert [record["step"] for record in finetune(config(data), tmp_path / root)] == [0, 1, 2]
    run, fresh = (TaskRun.of(config(data), tmp_path / root) for root in ("runs", "fresh"))
    assert run.results() == fresh.results() and run.read("data.json") == fresh.read("data.json")
    assert {path.name for path in run.folder.iterdir()} == {path.name for path in fresh.folder.iterdir()}
