"""The task explorer: what it shows of runs and of one's own answers, what it keeps, what the models say when asked."""

import json
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import own_data
import pytest
import torch
from PIL import Image

import xfm_widgets as xw
from xfm import explain
from xfm.base.fields import ConfigError
from xfm.explain.inputs import AttributionInputs
from xfm.lab import CHECKPOINTS
from xfm.tasks import TRAINABLE
from xfm.tasks.finetuning import finetune as module
from xfm.tasks.finetuning import finetuned_model
from xfm.tasks.finetuning.config import recipe
from xfm.tasks.finetuning.finetune import train_to_end
from xfm.tasks.finetuning.finetuned_model import Tuned, headed
from xfm.tasks.finetuning.task import Item
from xfm.tasks.finetuning.task_run import ANSWERS, RESULTS, TaskRun
from xfm.train import Run, RunError
from xfm_widgets.json_values import compact
from xfm_widgets.task_answers import LEAST, MOST, Answered, answer_targets, bins, chosen

TESTED, SIDES = 6, ["box x", "box y", "box width", "box height"]
PICTURE = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
KINDS = ["lexname", "synset", "concept", "vqa", "nlvr2", "grounding"]  # texts, two texts, a picture, both, two, a box


@pytest.fixture(scope="module")
def made(once: Callable[..., Path]) -> Iterator[Callable[..., TaskRun]]:
    train = {"train.steps": 1, "train.save_every": 1, "train.validate_every": 1, "train.warmup": 0}

    def make(task: str, **changes: Any) -> TaskRun:
        config = recipe(task, CHECKPOINTS / "demo", batch=4).replace(train | changes)
        root = once(f"tuned-{task}-{config.variant}", lambda folder: train_to_end(config, folder))
        return TaskRun.of(config, root)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "VALIDATED", 2)
        patch.setattr(finetuned_model, "PRIOR", 200)
        for task in TRAINABLE.values():
            patch.setattr(task, "tested", TESTED)
        yield make


def own(n: int = 4) -> xw.TaskExplorer:
    models = [Answered("mine", ["yes"] * n, [1.0] * n)]
    return xw.TaskExplorer("questions", lambda i: Item((f"a lion {i}",), (PICTURE,), "yes"), models)


@pytest.mark.full
@pytest.mark.parametrize("task", KINDS)
def test_a_run_of_every_kind_of_task_is_shown_asked_traced_and_attributed(task, made, tmp_path) -> None:
    run = made(task, **({"published": True} if task == "synset" else {}))
    view = xw.TaskExplorer.of(run.folder, item=2)
    rows, family, (model,) = run.answers(), TRAINABLE[task].family, view.payload["models"]
    items = view.payload["items"]
    shown = [(item["index"], item["said"][0]["confidence"], item["said"][0]["right"]) for item in items]
    assert shown == [(i, row["confidence"], row["score"] >= 0.5) for i, row in enumerate(rows)] and len(rows) == TESTED
    asked = run.tuned().task.item("test", 2)
    assert items[2]["texts"] == list(asked.texts)
    for at, image in zip(items[2]["pictures"], asked.images, strict=True):
        assert (np.asarray(Image.open(BytesIO(view.payload["pictures"][at]))) == image).all()
    assert sum(b["n"] for b in model["bins"]) == (0 if task == "grounding" else TESTED)
    assert task != "grounding" or items[2]["box"] == pytest.approx(rows[2]["truth"])
    assert model["metrics"][0]["value"] == run.results()[0].value and model["metrics"][0]["baseline_name"]
    assert len(view.data()) == TESTED and view.figure().bytes() and view.to_html(tmp_path / "task.html").exists()
    assert view.credit == (run.tuned().task.data.credit if asked.images else "")

    traced = view.trace()
    assert traced.map == {"language": "language", "vision": "vision"}.get(family, "cross")
    assert len(traced._traces) == 2 and next(iter(traced._traces)) == ("picture 1" if task == "nlvr2" else "given")
    lab = view.attribute(methods=["occlusion"])
    scores = [*lab._removals.before.values()]
    expected = rows[2]["answer"] if task == "grounding" else [np.log(rows[2]["confidence"])]
    if task == "vqa":  # whose confidence is among the answers of a list: the likelihood of all tokens
        tuned, answer = view._tuned(), view._models[0].answers[2]
        batch = tuned.task.batch([Item(asked.texts, asked.images, answer)], torch.device("cpu"))
        expected = [-tuned.task.loss(tuned.model, tuned.head, batch).item()]
    assert scores == pytest.approx(expected, abs=1e-4), lab.targets
    if task == "nlvr2":
        other = view.attribute(1, methods=["occlusion"])
        assert (other._image == asked.images[1]).all() and not (lab._image == other._image).all()
        assert [*other._removals.before.values()] == pytest.approx(scores, abs=1e-5), "one answer"
    changes = lab.data().groupby("part")["value"].agg(lambda v: float(np.abs(v).max()))
    assert (changes["word"] > 1e-6) == (family != "vision") and (changes["patch"] > 1e-6) == (family != "language")

    if len(asked.texts) == 1:
        answers = view.ask(asked.texts[0])
        assert answers[0].value == pytest.approx(rows[2]["answer"]) and len(answers) == (5 if task == "vqa" else 1)
    else:
        with pytest.raises(ConfigError, match="text = 'a': must be asked of a task of one text"):
            view.ask("a")


@pytest.mark.full
def test_controls_are_named_compared_and_asked_for_what_they_see(made: Callable[..., TaskRun]) -> None:
    plain, scratch = made("nlvr2"), made("nlvr2", scratch=True)
    view = xw.TaskExplorer.of(plain, scratch, *(made("nlvr2", hidden=what) for what in ("pictures", "texts")))
    assert [m["name"] for m in view.payload["models"]] == ["fine-tuned", "scratch", "no pictures", "no texts"]
    apart = [row["answer"] != other["answer"] for row, other in zip(plain.answers(), scratch.answers(), strict=True)]
    two = xw.TaskExplorer.of(plain, scratch)
    assert [item["disagree"] for item in two.payload["items"]] == apart
    assert two.payload["counts"]["disagree"] == sum(apart) and view.trace().data().shape[0]
    view.which = 2
    image, text = view._pair(0)
    assert (image == 128).all() and text == view._items[0].texts[0]
    view.which = 3
    synsets = xw.TaskExplorer.of(made("synset", published=False))
    for ask, said in (
        (view.trace, "which = 'no texts': must be a model that reads the texts"),
        (lambda: two.attribute(2), "picture = 2: must be 0 to 1"),
        (synsets.attribute, "task = 'synset': must be one whose texts are read as one"),
    ):
        with pytest.raises(ConfigError, match=said):
            ask()


def test_what_cannot_be_compared_is_refused_by_name(made: Callable[..., TaskRun], tmp_path: Path) -> None:
    plain = made("nlvr2")
    rows = plain.answers()

    def copied(name: str, answers: list[dict], without: str = "") -> TaskRun:
        run = TaskRun(Path(shutil.copytree(plain.folder, tmp_path / name)), plain.config)
        run.write({ANSWERS: "".join(json.dumps(row) + "\n" for row in answers)})
        if without:
            (run.folder / without).unlink()
        return run

    unscored = [{name: value for name, value in row.items() if name != "score"} for row in rows]
    others = copied("others", [row | {"truth": "maybe"} for row in rows])
    for said, runs in {
        "no fine-tuning here": [tmp_path],
        "unfinished.* has no results yet; fine-tune it to the end": [copied("unfinished", rows, RESULTS)],
        f"old.* has no {ANSWERS}": [copied("old", rows, ANSWERS)],
        r"wrong.*no readable answers \('score'\); delete the folder": [copied("wrong", unscored)],
        "short.*indices must be 0, 1, 2": [copied("short", rows[1:])],
        r"task: .*nlvr2.* is of 'nlvr2', .*concept.* of 'concept'": [plain, made("concept")],
        "were tested on different items": [plain, others],
    }.items():
        with pytest.raises((RunError, ConfigError), match=said):
            xw.TaskExplorer.of(*runs)


@pytest.mark.parametrize("n", [0, MOST, MOST + 1, 5000])
def test_of_a_large_test_set_every_kind_is_there(n: int) -> None:
    rng = np.random.default_rng(n)
    right, disagree = rng.random(n) < 0.97, rng.random(n) < 0.05
    places = chosen(right, disagree)
    assert places == chosen(right, disagree) == sorted(set(places)) and len(places) == min(n, MOST)
    for kind in range(4):
        of_kind = np.flatnonzero(2 * disagree + right == kind)
        assert np.isin(of_kind, places).sum() >= min(len(of_kind), LEAST)


def test_the_share_that_is_right_is_told_by_confidence() -> None:
    model = Answered("a", list("abcd"), [1, 0, 1, 1], [0.1, 0.19, 1.0, np.nan]).checked(0, 4)
    found = [(b["low"], b["high"], b["n"], b["right"]) for b in bins(model)]
    assert (found[0], found[-1]) == ((0, 0.2, 2, 0.5), (0.8, 1, 1, 1)) and {row[3] for row in found[1:-1]} == {None}


def test_what_is_no_answer_and_other_wrong_things_are_refused_by_name() -> None:
    for said, models in (
        (r"models\[0\].scores = \[1.5\]: must be from 0 to 1", [Answered("a", ["x"], [1.5])]),
        (r"models\[0\].scores = .*must be finite", [Answered("a", ["x"], [np.nan])]),
        (r"models\[0\].confidences = \[2.0\]", [Answered("a", ["x"], [1.0], [2.0])]),
        ("models = 5: must be 1 to 4", [Answered("a", ["x"], [1.0])] * 5),
    ):
        with pytest.raises(ConfigError, match=said):
            xw.TaskExplorer("t", lambda _: Item(("a",)), models)
    with pytest.raises(ConfigError, match="No model was given"):
        own().trace()
    assert "No test items" in own(n=0).message and own(n=0).data().empty and own(n=0).figure().bytes()


def test_a_picture_is_sent_small_and_once() -> None:
    sent = compact(np.random.default_rng(0).integers(0, 256, (1000, 2000, 3), np.uint8), "a")
    assert Image.open(BytesIO(sent)).size == (224, 112) and len(sent) < 40_000
    view = own(n=200)
    assert len(view.payload["items"]) == MOST and len(view.payload["pictures"]) == 1


def tuned_for(task: str, folder: Path) -> tuple[Tuned, Item]:
    """With a head that is new, and a test item."""
    own = {"data": str(own_data.glue(task, folder))} if task == "stsb" else {}
    run = Run.open(CHECKPOINTS / "demo")
    tuned = headed(run.model(), run.config, run.tokenizer(), recipe(task, CHECKPOINTS / "demo", batch=4, **own)).eval()
    return tuned, tuned.task.item("test", 0)


def asked(tuned: Tuned, item: Item, answer: Any) -> list[AttributionInputs]:
    grey = np.full((tuned.model.config.vision.image_size,) * 2 + (3,), 128, np.uint8)
    pair = item.images[0] if item.images else grey, "</s></s>".join(item.texts) or str(answer)
    targets = answer_targets(tuned, item, answer)
    return [explain.make_inputs(tuned.model, tuned.task.tokenizer, *pair, target) for target in targets]


@pytest.mark.full
@pytest.mark.parametrize(("task", "names"), [("grounding", SIDES), ("stsb", ["similarity"])])
def test_numbers_are_explained_themselves(task: str, names: list[str], tmp_path: Path) -> None:
    """Not their loss, whose gradient is 0 where the answer is right: the maps would be of rounding errors."""
    tuned, item = tuned_for(task, tmp_path)
    answer = tuned.answers(item.texts, item.images)[0].value
    numbers = [answer] if task == "stsb" else answer
    inputs = asked(tuned, item, answer)
    moved = asked(tuned, item, [n + 1e-6 for n in numbers] if task == "grounding" else answer + 1e-6)
    assert [i.target.name for i in inputs] == names and [i.score() for i in inputs] == pytest.approx(numbers, abs=1e-5)
    for one, other in zip(inputs, moved, strict=True):
        found, again = (explain.attribute(i, "saliency") for i in (one, other))
        assert found.text.max() > 1e-4
        torch.testing.assert_close(found.text, again.text)
        torch.testing.assert_close(found.patches, again.patches)
        whole = torch.zeros(len(one.pieces), dtype=torch.bool)[None]
        hidden = one.masked_scores(torch.ones(1, len(one.patches), dtype=torch.bool), whole).item()
        assert abs(hidden - one.score()) > 1e-4, "it is read from the text"
    units = xw.AttributionLab.of(inputs, ["centre"]).payload["units"]
    assert {*units.values()} == {"share of the picture's side" if task == "grounding" else "points, 0 to 5"}


@pytest.mark.full
@pytest.mark.parametrize("task", ["lexname", "concept", "stsb"])
def test_every_method_that_is_offered_explains_an_answer(task: str, tmp_path: Path) -> None:
    tuned, item = tuned_for(task, tmp_path)
    inputs = asked(tuned, item, tuned.answers(item.texts, item.images)[0].value)[0]
    view = xw.AttributionLab.of(inputs, ["occlusion"])
    offered, slow = view.payload["more"], [name for name in explain.SLOW if name != "shapley"]
    assert {"generic attention", "grad-cam", "saliency", "input x gradient"} <= {*offered, *slow}
    for method in [*offered, *slow]:
        view.add(method)
    gradients = ("saliency", "smoothgrad", "input x gradient", "integrated gradients", "gradient shap", "grad-cam")
    for a in [a for a, _ in view._pairs if a.method in gradients]:
        seen, unseen = (a.text, a.patches) if item.texts else (a.patches, a.text)
        assert not unseen.any() and (a.method == "grad-cam" or seen.any()), a.method
