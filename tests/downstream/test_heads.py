"""The heads that come with the checkpoint: small, of the shipped encoders, as good as said, above their controls."""

import json
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import xfm
from xfm import cli
from xfm.base.fields import ConfigError
from xfm.lab import Lab
from xfm.tasks.context import EvalContext
from xfm.tasks.finetuning import finetune
from xfm.tasks.finetuning.config import controls
from xfm.tasks.finetuning.image_recognition import Recognition, recognition, zero_shot
from xfm.tasks.own.text_tasks import Lexname
from xfm.tasks.world import object_naming

TASKS = ("captioning", "nlvr2", "vqa")


@pytest.fixture(scope="module")
def lab() -> Lab:
    return xfm.load("demo")


@pytest.mark.parametrize("task", TASKS)
def test_it_is_small_and_of_these_encoders_and_above_its_controls(task: str, lab: Lab) -> None:
    """Pre-training, the picture and the text are all needed; the page has the numbers (scripts/doc_tables.py)."""
    run, pretrained = lab.task(task), lab.model.state_dict()
    assert (run.folder / "model.safetensors").stat().st_size <= 2_000_000
    for name, tensor in run.tuned().model.state_dict().items():
        assert torch.equal(tensor, pretrained[name]) or name.startswith("fusion."), name
    rows = json.loads((Path(__file__).parents[2] / "studies" / "heads.json").read_text("utf-8"))
    high = {row["variant"]: row["high"] for row in rows if row["task"] == task}
    assert high.keys() == {config.variant for config in controls(run.config)}
    assert all(top < run.results()[0].low for top in high.values())


@pytest.mark.full
@pytest.mark.parametrize("task, most", [("vqa", 100), ("nlvr2", 100), ("captioning", 60)])
def test_it_answers_as_its_results_say(task: str, most: int, lab: Lab) -> None:
    run = lab.task(task)
    told, tuned = run.answers()[:most], run.tuned()
    with torch.inference_mode():
        said = tuned.task.answers(tuned.model, tuned.head, tuned.task.items("test", most))
    agree = sum(a.value == row["answer"] for a, row in zip(said, told, strict=True))
    assert agree >= 0.99 * most, "another CPU may round otherwise"
    assert run.results()[0].low > (run.results()[0].baseline or 0)


def test_a_lab_answers_questions_writes_captions_and_judges_statements(lab: Lab) -> None:
    vqa, nlvr2 = lab.task("vqa").tuned().task, lab.task("nlvr2").tuned().task
    asked: list[Any] = vqa.items("test", 60)
    right = sum(lab.ask(item.images[0], item.texts[0])[0].value == item.target for item in asked)
    assert right == sum(row["score"] for row in lab.task("vqa").answers()[:60])
    best, *others = lab.ask(asked[0].images[0], asked[0].texts[0])
    assert len(others) == 4 and all(0 <= a.confidence <= best.confidence <= 1 for a in others)
    scene = lab.scene(0, objects=1)
    assert scene.objects[0].name in lab.caption(scene.image)
    doubts = {lab.caption(lab.scene(i).image).doubt for i in range(20)}
    assert "" in doubts and "by ITM it does not belong to the picture" in max(doubts)
    photo = Image.fromarray(np.random.default_rng(0).integers(60, 200, (30, 40, 3), np.uint8)).resize((400, 300))
    assert " (doubtful: by ITM" in f"{lab.caption(photo)}" and lab.ask(photo, "what is this?")[0].doubt
    with pytest.raises(ConfigError, match="question = ' ': must be some words"):
        lab.ask(photo, " ")
    assert not any(answer.doubt for answer in others)
    item: Any = nlvr2.items("test", 1)[0]
    judged = lab.judge(item.texts[0], *item.images)
    assert judged.value == lab.task("nlvr2").answers()[0]["answer"] and 0.5 <= judged.confidence <= 1


def test_a_task_or_head_that_there_is_not_is_named(lab: Lab) -> None:
    with pytest.raises(ConfigError, match=r"task = 'vqq'.*'captioning', 'vqa', 'nlvr2'.*did you mean 'vqa'"):
        lab.task("vqq")
    with pytest.raises(ConfigError, match=r"has no head of this task \(it has captioning, nlvr2, vqa\)\. Train it: "):
        lab.task("lexname")


def test_the_command_of_a_missing_head_makes_it(tmp_path: Path, monkeypatch, lab: Lab) -> None:
    """Whichever root the run is in, and not for another run of that name."""
    monkeypatch.chdir(tmp_path)
    folder, other = (Path(root, lab.config.name, "seed0") for root in ("of mine", "other"))
    for copied in (folder, other):
        shutil.copytree(lab.run.folder, copied, ignore=shutil.ignore_patterns("tasks"))
    own, said = xfm.load(folder), r"has no head of this task \(it has none\)\. Train it: "
    for ask in (lambda: own.caption(np.zeros((9, 9, 3), np.uint8)), lambda: own.task("lexname")):
        with pytest.raises(ConfigError, match=said) as error:
            ask()
    command = str(error.value).partition("Train it: ")[2]
    monkeypatch.setattr(finetune, "VALIDATED", 20)
    monkeypatch.setattr(Lexname, "tested", 20)
    cli.main([*shlex.split(command)[1:], *"--train.steps 2 --train.warmup 0".split()])
    assert own.task("lexname").folder == Path("of mine", f"{lab.config.name}@lexname", "seed0")
    shutil.copytree(own.task("lexname").folder, Path("other", f"{lab.config.name}@lexname", "seed0"))
    with pytest.raises(ConfigError, match=said):
        xfm.load(other).task("lexname")


AXES = SimpleNamespace(  # a dual encoder that sees what is there: a picture of value v and the text "v" share an axis
    features_of_images=lambda images: torch.eye(8)[[int(image[0, 0, 0]) for image in images]],
    features_of_texts=lambda texts: torch.eye(8)[[int(text.split()[-1]) for text in texts]],
)


def flat(values: list[int]) -> tuple[list[np.ndarray], list[int]]:
    return [np.full((4, 4, 3), value, np.uint8) for value in values], values


def test_who_sees_everything_is_always_right_and_a_label_that_is_no_class_is_refused() -> None:
    """Also of so few that none can be held out."""
    few = recognition(AXES, "01", flat([0, 1] * 4), flat([0, 1]), shots=(1, 2, 4))
    assert [r.value for r in few if r.task == "few-shot"] == [1.0] * 3
    rows = recognition(AXES, "01234567", flat([*range(8)] * 20), flat([*range(8)]), lambda n: (n, f"a {n}"), (1, 2))
    assert [r.value for r in rows] == [1.0] * 5 and {r.baseline for r in rows} == {1 / 8}
    with pytest.raises(ConfigError, match=r"test labels = \[3\].*from 0 to 1"):
        recognition(AXES, "01", flat([0, 1]), flat([3]))


def test_zero_shot_is_the_evaluations_naming(lab: Lab) -> None:
    context, world = EvalContext(lab.model, lab.config, lab.tokenizer, "test", 0), lab.data.world
    right = object_naming.classify(context, "naming", world.names, 1)
    images = [context.scene("naming", 0, concepts=(c,)).image for c in world.pool("test")]
    encoder = Recognition(context)
    said = zero_shot(encoder, encoder.features_of_images(images), world.names)
    assert ((said == np.arange(len(images))) == right).all() and right.mean() > 0.9
