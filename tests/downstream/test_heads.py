"""The heads that come with the checkpoint: small, of the shipped encoders, as good as said, above their controls."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photographs import captions
from PIL import Image

import xfm
from xfm import cli
from xfm.base.fields import ConfigError
from xfm.lab import Lab
from xfm.tasks.finetuning import finetune
from xfm.tasks.finetuning.config import controls
from xfm.tasks.finetuning.task_run import TaskRun
from xfm.tasks.own.text_tasks import Lexname
from xfm.train import Run

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


@pytest.mark.full
@pytest.mark.parametrize("task, most", [("vqa", 100), ("nlvr2", 100), ("captioning", 60)])
def test_it_answers_as_its_results_say(task: str, most: int, lab: Lab) -> None:
    run = lab.task(task)
    told, tuned = run.answers()[:most], run.tuned()
    items = tuned.task.items("test", most)
    with torch.inference_mode():
        parts = (items[i : i + 50] for i in range(0, most, 50))
        said = [a.value for part in parts for a in tuned.task.answers(tuned.model, tuned.head, part)]
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
    written = [lab.caption(lab.scene(i).image) for i in range(20)]
    clear, wrong = (next(caption for caption in written if bool(caption.doubt) is doubted) for doubted in (False, True))
    assert repr(clear) == repr(str(clear)) and wrong.doubt in repr(wrong)
    assert "by ITM it does not belong to the picture" in wrong.doubt
    photo = Image.fromarray(np.random.default_rng(0).integers(60, 200, (30, 40, 3), np.uint8)).resize((400, 300))
    assert lab.caption(photo).doubt and lab.ask(photo, "what is this?")[0].doubt
    assert not any(answer.doubt for answer in others)
    item: Any = nlvr2.items("test", 1)[0]
    judged = lab.judge(item.texts[0], *item.images)
    assert judged.value == lab.task("nlvr2").answers()[0]["answer"] and 0.5 <= judged.confidence <= 1


def test_a_task_or_head_that_there_is_not_is_named(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"task = 'vqq'.*'captioning', 'vqa', 'nlvr2'.*did you mean 'vqa'"):
        lab.task("vqq")
    with pytest.raises(ConfigError, match=r"has no head of this task \(it has captioning, nlvr2, vqa\)\. Train it: "):
        lab.task("lexname")
    run = Run(tmp_path, lab.config.replace({"data.sources": [captions(tmp_path)]}))
    with pytest.raises(ConfigError, match=r"Train it: xfm finetune captioning .* --data PATH, where PATH is COCO's"):
        Lab(run).task("captioning")
    with pytest.raises(ConfigError, match=r"No data can train it: it needs objects, which .* does not provide"):
        Lab(run).task("concept")


def test_the_command_of_a_missing_head_makes_it(tmp_path: Path, monkeypatch, lab: Lab, root: str = "of mine") -> None:
    """Whichever root the run is in, and not for another run of that name."""
    monkeypatch.chdir(tmp_path)
    folder, other = Path(root, lab.config.name, "seed0"), Path("other", lab.config.name, "seed0")
    for copied in (folder, other):
        shutil.copytree(lab.run.folder, copied, ignore=shutil.ignore_patterns("tasks"))
    own = xfm.load(folder)
    image, said = np.zeros((9, 9, 3), np.uint8), r"has no head of this task \(it has none\)\. Train it: "
    for ask in (lambda: own.caption(image), lambda: own.ask(image, "how many?"), lambda: own.task("lexname")):
        with pytest.raises(ConfigError, match=said) as error:
            ask()
    command = str(error.value).partition("Train it: ")[2]
    assert command == f"xfm finetune lexname {shlex.quote(str(folder))} --root 'of mine'"
    monkeypatch.setattr(finetune, "VALIDATED", 20)
    monkeypatch.setattr(Lexname, "tested", 20)
    cli.main([*shlex.split(command)[1:], *"--train.steps 2 --train.warmup 0".split()])
    assert own.task("lexname").folder == Path(root, f"{lab.config.name}@lexname", "seed0")
    shutil.copytree(own.task("lexname").folder, Path("other", f"{lab.config.name}@lexname", "seed0"))
    with pytest.raises(ConfigError, match=said):
        xfm.load(other).task("lexname")


def test_each_is_above_its_controls(lab: Lab) -> None:
    """Pre-training, the picture and the text are all needed; the page has the numbers (scripts/doc_tables.py)."""
    rows = json.loads((Path(__file__).parents[2] / "studies" / "heads.json").read_text("utf-8"))
    for task in TASKS:
        run = lab.task(task)
        wanted = {config.variant for config in controls(run.config)}
        high = {row["variant"]: row["high"] for row in rows if row["task"] == task}
        assert high.keys() == wanted and all(top < run.results()[0].low for top in high.values()), task
