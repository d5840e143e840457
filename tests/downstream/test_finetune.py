"""Fine-tuning: every encoder that a task reads learns, resumes are exact, validation chooses, controls see nothing."""

import os
import shutil
import signal
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from downstream.conftest import CPU, RUN, SPLITS, TESTED, cut, short
from safetensors.torch import load_file

from xfm import cli
from xfm.base.fields import ConfigError
from xfm.config import TrainConfig
from xfm.runs.errors import NonFiniteLoss
from xfm.tasks import TRAINABLE
from xfm.tasks.finetuning import finetune as module
from xfm.tasks.finetuning.config import controls, recipe
from xfm.tasks.finetuning.finetune import finetune
from xfm.tasks.finetuning.finetuned_model import Tuned, start
from xfm.tasks.finetuning.task import Frozen, Trainable
from xfm.tasks.finetuning.task_run import TaskRun
from xfm.train import RunBusy, RunError, Terminated

EMBEDDED = [name for name, task in TRAINABLE.items() if task.embedded]

pytestmark = pytest.mark.usefixtures("small")


def same(records: list[dict]) -> list[dict]:
    return [{k: v for k, v in r.items() if k != "seconds"} for r in records]


@pytest.mark.parametrize("task", EMBEDDED)
def test_every_task_teaches_the_encoders_that_it_reads_on_items_of_their_split(task: str) -> None:
    tuned, family = start(short(task)).train(), TRAINABLE[task].family
    tuned(tuned.task.batch(tuned.task.drawn(0, 0, 4), CPU)).backward()
    learning = {n.split(".")[0] for n, p in tuned.model.named_parameters() if p.grad is not None and p.grad.any()}
    learns = learning & {"text", "vision", "fusion"}
    reads = {"language": {"text"}, "vision": {"vision"}, "vision-language": {"text", "vision", "fusion"}}[family]
    exceptions = {"captioning": {"vision"}, "fine_prompts": {"text", "vision"}}  # a decoder; prompts that learn, too
    assert learns == exceptions.get(task, reads)
    assert task == "captioning" or all(p.grad is not None for p in tuned.head.parameters())
    seen = dict[str, set]()
    for split in SPLITS:
        items = tuned.task.items(split, TESTED)
        seen[split] = {(i.texts, tuple(x.tobytes() for x in i.images)) for i in items}
        targets = [i.target for i in items]
        assert len(items) == TESTED and (tuned.task.scores([*map(tuned.task.truth, targets)], targets) == 1).all()
        again = tuned.task.item(split, 3)
        assert again.texts == items[3].texts and again.target == items[3].target
    assert not seen["train"] & seen["test"] and not seen["validation"] & seen["test"]
    usual, name = tuned.task.prior([i.target for i in tuned.task.items("train", 200)])
    assert name and 0 <= tuned.task.scores([usual] * TESTED, targets).mean() < 1


def test_a_resume_is_exact(tmp_path: Path) -> None:
    straight = [*finetune(short(), tmp_path / "a")]
    cut(short(), tmp_path / "b")
    resumed = [*finetune(short(), tmp_path / "b")]
    assert [r["step"] for r in resumed] == [3] and same(resumed) == same(straight[3:])
    a, b = (TaskRun.of(short(), tmp_path / x) for x in "ab")
    assert (a.folder / "model.safetensors").read_bytes() == (b.folder / "model.safetensors").read_bytes()
    assert a.results() == b.results() and same(b.metrics()) == same(straight)
    assert not (a.folder / "state.pt").exists()
    answers = a.answers()
    assert [x["index"] for x in answers] == [*range(TESTED)] and answers == b.answers()
    assert [x["truth"] for x in answers] == [item.target.is_true for item in a.tuned().task.items("test")]
    assert np.mean([x["score"] for x in answers]) == a.results()[0].value
    assert all(0.5 <= x["confidence"] <= 1 and type(x["answer"]) is bool for x in answers)
    assert same([*finetune(short(), tmp_path / "a")]) == same(straight), "a finished one is opened"
    with pytest.raises(RunError, match=r"another config \(batch: 4 there, 5 asked\)\. Choose another --root"):
        next(finetune(short(batch=5), tmp_path / "a"))
    (a.folder / "finetune.json").write_text('{"task": 3}')
    with pytest.raises(RunError, match=r"finetune\.json: no readable config"):
        TaskRun.open(a.folder)


@pytest.mark.full
def test_no_signal_cuts_an_update_from_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one ends a step at once, but not between its update and its validation; nor does it cut a save."""
    straight, validated = [*finetune(short(), tmp_path / "a")], module.validated

    def two_signals(*args: Any) -> float:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        return validated(*args)

    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, Terminated)):
        patch.setattr(module, "validated", two_signals)
        [*finetune(short(), tmp_path / "b")]
    assert len(TaskRun.of(short(), tmp_path / "b").metrics()) == 2
    assert same([*finetune(short(), tmp_path / "b")]) == same(straight[2:])


def test_a_signal_during_the_test_ends_what_would_come_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is made whole and kept; whoever asked may have another fine-tuning to begin."""
    finish = module._Loop._finish

    def asked(self: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        finish(self)

    with monkeypatch.context() as patch, pytest.raises(Terminated) as ended:
        patch.setattr(module._Loop, "_finish", asked)
        [*finetune(short(), tmp_path)]
    run = TaskRun.of(short(), tmp_path)
    assert run.done and ended.value.said == f"finished, in {run.folder}"


@pytest.mark.full
def test_one_that_another_process_trains_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, looked = TaskRun.of(short(), tmp_path), list[str]()
    lock = TaskRun.lock

    def held(run: TaskRun) -> Any:
        looked.append("")
        if len(looked) == 1:
            raise RunBusy("somebody trains it")
        monkeypatch.setattr(TaskRun, "lock", lock)
        [*finetune(short(), tmp_path)]
        return run.lock()

    monkeypatch.setattr(TaskRun, "lock", held)
    assert module.train_to_end(short(), tmp_path).results() == run.results() and len(looked) == 2
    assert [r["step"] for r in run.metrics()] == [0, 1, 2, 3]


def test_the_weights_are_those_that_validation_chose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, scores = list[dict](), iter([0.9, 0.1])

    def validated(tuned: Tuned, items: list, hidden: Any) -> float:
        kept.append({n: t.clone() for n, t in tuned.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(module, "validated", validated)
    records = [*finetune(short(), tmp_path)]
    assert [r.get("validation") for r in records] == [None, 0.9, None, 0.1]
    tuned = TaskRun.of(short(), tmp_path).tuned()
    assert all(torch.equal(t, kept[0][n]) for n, t in tuned.state_dict().items())
    assert any(not torch.equal(t, kept[1][n]) for n, t in tuned.state_dict().items())


@pytest.mark.full
@pytest.mark.parametrize("task, frozen", [("vqa", "model"), ("nlvr2", "encoders"), ("retrieval", "encoders")])
def test_what_is_frozen_stays_and_is_not_kept(task: str, frozen: Frozen, tmp_path: Path) -> None:
    asked = short(task, frozen=frozen)
    straight = [*finetune(asked, tmp_path / "a")]
    cut(asked, tmp_path / "b")
    rest = [*finetune(asked, tmp_path / "b")]
    assert same(rest) == same(straight)[3:]
    a, b = (TaskRun.of(asked, tmp_path / root).tuned() for root in "ab")
    begun, kept = start(asked).state_dict(), load_file(TaskRun.of(asked, tmp_path / "a").folder / "model.safetensors")
    moved = {n for n, t in a.state_dict().items() if not torch.equal(t, begun[n])}
    assert all(torch.equal(t, b.state_dict()[n]) for n, t in a.state_dict().items())
    assert moved and moved <= kept.keys() and all(n.startswith(("head.", "model.fusion.")) for n in kept)
    assert any(n.startswith("model.fusion.") for n in moved) == (frozen == "encoders")
    assert not {"head.word.weight", "head.position.weight"} & kept.keys()


OTHER = {"text_lr_scale": 0.1, "text_layer_decay": 0.9, "text_sgd_lr": 0.1, "text_momentum": 0.8, "muon_lr": 0.1,
         "compile": True, "shards": 2, "accumulate": 2, "checkpoint_activations": True, "strategy": "fsdp",
         "probe_every": 10, "keep": 10}  # fmt: skip
USED = {"steps", "lr", "head_lr_scale", "weight_decay", "beta1", "beta2", "eps", "warmup", "schedule", "clip",
        "precision", "threads", "save_every", "validate_every"}  # fmt: skip


@pytest.mark.parametrize("task, changes, said", [
    ("vqq", {}, r"task = 'vqq'.*did you mean 'vqa'"),
    ("lexname", {"hidden": "pictures"}, r"hidden = 'pictures': must be '' in lexname"),
    ("concept", {"frozen": "encoders"}, r"frozen = 'encoders'.*'' or 'model' in concept"),
    ("vqa", {"shots": 2}, r"shots = 2: must be 0 in vqa"), ("concept", {"shots": -1}, "shots = -1: must be"),
    *(("lexname", {f"train.{field}": value}, rf"train\.{field} = .*: pre-training alone uses it.*leave it out")
      for field, value in OTHER.items()),
])  # fmt: skip
def test_a_wrong_field_is_refused(task: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        short(task).replace(changes)


def test_a_control_does_not_see_what_is_hidden() -> None:
    task: Trainable = start(short("nlvr2")).task
    a, _, b = task.items("test", 3)  # the first two are one text
    x, y = (task.batch([item], CPU, "pictures") for item in (a, b))
    assert all(not t.any() for t in x.images) and x.ids.tolist() != y.ids.tolist()
    x, y = (task.batch([item], CPU, "texts") for item in (a, b))
    assert x.ids.tolist() == y.ids.tolist() == [[0, 2]] and not torch.equal(x.images[0], y.images[0])


@pytest.mark.full
def test_from_a_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--train.steps", "2", "--batch", "4", "--train.validate-every", "2", "--root", str(tmp_path)]
    cli.main(["finetune", "concept", "demo", *short, "--controls"])
    said = capsys.readouterr().out
    assert "\nscratch, accuracy" in said and "(most frequent)" in said
    assert said.count("\nraw pixels, accuracy ") == 1, "one line, though each of the two runs has it"
    assert (tmp_path / "pretrained@concept+scratch" / "seed0" / "results.json").is_file()
    with pytest.raises(SystemExit, match="usage: xfm finetune TASK RUN_FOLDER"):
        cli.main(["finetune", "concept"])


@pytest.mark.full
def test_a_loss_that_is_not_finite_ends_it_and_without_a_state_it_starts_anew(tmp_path, monkeypatch) -> None:
    loss, factors = TRAINABLE["nlvr2"].loss, iter([1.0, 1.0, 1.0, float("nan")])
    monkeypatch.setattr(TRAINABLE["nlvr2"], "loss", lambda *args: loss(*args) * next(factors))
    with pytest.raises(NonFiniteLoss, match=r"step 3: loss nan.*lower train\.lr"):
        [*finetune(short(), tmp_path)]
    monkeypatch.undo()
    saved, run = tmp_path / "saved", TaskRun.of(short(), tmp_path)
    shutil.copytree(tmp_path, saved)
    assert [r["step"] for r in finetune(short(), tmp_path)] == [3]
    (TaskRun.of(short(), saved).folder / "state.pt").unlink()
    assert [r["step"] for r in finetune(short(), saved)] == [0, 1, 2, 3] == [r["step"] for r in run.metrics()]


def test_a_config_is_known_by_what_decides_its_weights(tmp_path: Path) -> None:
    assert {field.name for field in fields(TrainConfig)} == {*OTHER, *USED}, "every field is used or refused"
    shutil.copytree(RUN.folder, copied := tmp_path / "elsewhere")
    assert recipe("vqa", copied).fingerprint == recipe("vqa", RUN.folder).fingerprint
    assert recipe("vqa", copied).fingerprint != recipe("vqa", RUN.folder, seed=1).fingerprint
    assert short("rte", data="here").fingerprint == short("rte", data="there").fingerprint, "`TaskRun` knows the data"
    assert short("synset", data="here").fingerprint != short("synset").fingerprint
    assert short("concept", shots=2).fingerprint != short("concept").fingerprint
    for task, hidden in (("vqa", ["no_pictures", "no_texts"]), ("captioning", ["no_pictures"])):
        assert [control.variant for control in controls(short(task))] == ["scratch", *hidden]
    pretrained, scratch = (start(short("concept", scratch=s)).model.vision.state_dict() for s in (False, True))
    assert not torch.equal(scratch["blocks.0.mlp.fc1.weight"], pretrained["blocks.0.mlp.fc1.weight"])
