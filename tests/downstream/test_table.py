"""The main table in miniature, and studies whose metric is a fine-tuned task."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from xfm import Run, cli, pretrain, recipes
from xfm.config import ConfigError
from xfm.data import dataset
from xfm.objectives import build
from xfm.study import Study
from xfm.study.spec import Spec
from xfm.tasks import TRAINABLE, Result
from xfm.tasks.finetuning import table as module_of_table
from xfm.tasks.finetuning.config import FinetuneConfig, recipe
from xfm.tasks.finetuning.finetuned_model import headed
from xfm.tasks.finetuning.table import finetuned, startable, table
from xfm.tasks.finetuning.task import Trainable

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
    assert startable(recipes.get("smoke+no_imlm"), "nlvr2")
    assert all(startable(recipes.get("smoke+clip_like"), task) for task in ("concept", "lexname"))


LACKING = [
    ("clip_like", {}, "nlvr2", "model.fusion_depth = 0: must be positive: without a fusion encoder"),
    ("no_itm", {}, "retrieval", "objectives.itm.weight = 0.0: must be positive: it starts from the head"),
    ("no_imlm", {}, "vqa", "objectives.imlm.weight = 0.0: must be positive: it starts from the head"),
    ("", {"model.text.encoder": "open_clip"}, "vqa", "model.text.encoder = 'open_clip': must be one of 'roberta', "),
]


@pytest.mark.parametrize(("name", "changes", "task", "said"), LACKING)
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
    cross, fused = tuned.head.layers[0].cross, model.fusion.layers[0].cross  # type: ignore[union-attr, index]
    assert torch.equal(cross.query.weight, fused.query.weight), "all that fits is a copy"  # type: ignore[union-attr]
    assert (cross.key.weight.shape == fused.key.weight.shape) == (task == "captioning")  # type: ignore[union-attr]
    tuned(tuned.task.batch(tuned.task.drawn(0, 0, 2), torch.device("cpu"))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in cross.parameters())  # type: ignore[union-attr]


def result(family: Any, task: str, value: float) -> Result:
    return Result(task, "", "accuracy", value, 0, 1, 10, 0.25, "most frequent", 1.0, 0, "test", family=family)


def test_the_table_has_a_line_a_model_one_of_simple_models_and_what_they_must_beat() -> None:
    simple = replace(result("language", "a", 0.5), condition="bag of words", better="", baseline=0.125)
    own = replace(result("language", "a", 0.75), baseline=0.5, baseline_name="bag of words")
    lines = table({"x": [result("vision", "b", 0.5), own, simple], "y": [result("vision", "b", 0.625)]}).splitlines()
    assert lines[0] == "|  | language | vision |" and lines[2] == "|  | a, accuracy | b, accuracy |"
    models = ["| x | 75.0 | 50.0 |", "| y | – | 62.5 |"]
    assert lines[3:] == [*models, "| bag of words, raw pixels | 50.0 | – |", "| baseline | 12.5 | 25.0 |"]


@pytest.mark.full
def test_an_exploration_reads_no_test_item(smallest: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = set[str]()
    items = Trainable.items
    monkeypatch.setattr(Trainable, "items", lambda self, split, most=0: read.add(split) or items(self, split, most))
    made = {"seeds": range(3), "tasks": "finetune:lexname", "root": tmp_path, "runs": tmp_path / "r", "changes": SHORT}
    study = Study("look", "smoke+bert_like", ["xfm", "train.lr=0.01"], split="validation", **made)
    study.run()
    assert "validation" in read and "test" not in read
    levels = study.levels().query("level == 'step 0' and variant == 'xfm'")
    assert levels["metric"].str.startswith("validation/").all() and len(levels), "a fine-tuned task has its own control"


def test_what_a_study_cannot_fine_tune_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"finetune.*'vqo'.*vqa"):
        Spec("s", "smoke", {"xfm": {}}, (0,), tasks=("finetune:vqo",))
    with pytest.raises(ConfigError, match=r"specialist.*'bert'"):
        Spec("s", "smoke", {"xfm": {"specialist": "bert"}}, (0,))


@pytest.mark.full
def test_evaluate_prints_the_table_of_a_run(smallest: None, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = recipes.get("smoke+bert_like").replace({"train.steps": 2, "train.validate_every": 0})
    [*pretrain(config, tmp_path)]
    folder = Run.of(config, tmp_path).folder
    cli.main(["evaluate", str(folder), "--tasks", "downstream"])
    said = capsys.readouterr().out
    assert "| pretrained | " in said and "| no pre-training | " in said and "lexicographer" in said
    assert (tmp_path / f"{config.name}@lexname" / "seed0" / "results.json").exists()
    results = finetuned(Run.open(folder), ["lexname", "vqa"], tmp_path)
    assert [r.condition for r in results] == ["", "bag of words"]
