"""The heads that come with the checkpoint: small, of the shipped encoders, as good as said, above their controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import xfm
from xfm.base.fields import ConfigError
from xfm.lab import Lab
from xfm.tasks.finetuning.config import controls
from xfm.tasks.finetuning.task_run import TaskRun

TASKS = ("captioning", "nlvr2", "vqa")


@pytest.fixture(scope="module")
def lab() -> Lab:
    return xfm.load("demo")


@pytest.mark.parametrize("task", TASKS)
def test_it_is_small_and_of_these_encoders(task: str, lab: Lab) -> None:
    run = lab.task(task)
    assert isinstance(run, TaskRun) and run.done and run.config.run == str(lab.run.folder)
    assert (run.folder / "model.safetensors").stat().st_size <= 2_000_000
    tuned, pretrained = run.tuned(), lab.model.state_dict()
    for name, tensor in tuned.model.state_dict().items():
        assert torch.equal(tensor, pretrained[name]) or name.startswith("fusion."), name


@pytest.mark.parametrize("task, most", [("vqa", 100), ("nlvr2", 100), ("captioning", 60)])
def test_it_answers_as_its_results_say(task: str, most: int, lab: Lab) -> None:
    """Of the first items, the same answers; and the whole is above what is said without looking."""
    run = lab.task(task)
    told, tuned = run.answers()[:most], run.tuned()
    items = tuned.task.items("test", most)
    with torch.inference_mode():
        said = [
            a.value for i in range(0, most, 50) for a in tuned.task.answers(tuned.model, tuned.head, items[i : i + 50])
        ]
    agree = sum(a == row["answer"] for a, row in zip(said, told, strict=True))
    assert agree >= 0.99 * most, "another CPU may round otherwise"
    first = run.results()[0]
    assert first.low > (first.baseline or 0)


def test_a_lab_answers_questions_writes_captions_and_judges_statements(lab: Lab) -> None:
    vqa, nlvr2 = lab.task("vqa").tuned().task, lab.task("nlvr2").tuned().task
    asked: list[Any] = vqa.items("test", 60)
    right = sum(lab.ask(item.images[0], item.texts[0])[0].value == item.target for item in asked)
    assert right == sum(row["score"] for row in lab.task("vqa").answers()[:60])
    best, *others = lab.ask(asked[0].images[0], asked[0].texts[0])
    assert len(others) == 4 and all(0 <= a.confidence <= best.confidence <= 1 for a in others)
    scene = lab.scene(0, objects=1)
    assert scene.objects[0].name in lab.caption(scene.image)
    item: Any = nlvr2.items("test", 1)[0]
    judged = lab.judge(item.texts[0], *item.images)
    assert judged.value == lab.task("nlvr2").answers()[0]["answer"] and 0.5 <= judged.confidence <= 1


def test_a_head_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(ConfigError, match=r"task = 'vqq'.*'captioning', 'nlvr2', 'vqa'.*did you mean 'vqa'"):
        lab.task("vqq")


def test_each_is_above_its_controls(lab: Lab) -> None:
    """Pre-training, the picture and the text are all needed; the page has the numbers (scripts/doc_tables.py)."""
    rows = json.loads((Path(__file__).parents[2] / "studies" / "heads.json").read_text("utf-8"))
    for task in TASKS:
        run = lab.task(task)
        wanted = {config.variant for config in controls(run.config)}
        high = {row["variant"]: row["high"] for row in rows if row["task"] == task}
        assert high.keys() == wanted and all(top < run.results()[0].low for top in high.values()), task
