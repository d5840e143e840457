"""A teacher of one's own: `flow.teacher` = "+clip_like" is trained first, on the run's batches, and shared."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from xfm import Run, pretrain, recipes
from xfm.config import ConfigError, RunConfig
from xfm.data.streams import Streams
from xfm.recipes import prior_runs
from xfm.train.prepare import mim_teacher
from xfm.train.requirements import teaching_run

SHORT: dict[str, Any] = {
    **{"train.steps": 3, "train.warmup": 1, "train.save_every": 1, "train.validate_every": 0, "stage1_steps": 2},
    **{f"objectives.{o}.start": 0.0 for o in ("mim", "itm", "imlm", "bbp")},
}


def taught(teacher: str = "+clip_like", recipe: str = "smoke+guide_clip", **changes: Any) -> RunConfig:
    more = {name.replace("__", "."): value for name, value in changes.items()}
    return recipes.get(recipe).replace(SHORT | {"flow.teacher": teacher} | more)


def test_it_is_trained_first_on_the_same_batches_and_its_outputs_are_the_target(tmp_path: Path) -> None:
    config = taught()
    names = [record["run"] for record in pretrain(config, tmp_path)]
    teacher = Run.of(prior_runs.teacher(config), tmp_path)
    assert names == [teacher.config.name] * 3 + [config.name] * 3 and teacher.done
    assert teacher.config.model.vision.encoder == "open_clip" and {*teacher.config.objectives} == {"itc"}
    tokens = mim_teacher(Run.of(config, tmp_path), torch.device("cpu"))
    pictures = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        assert tokens is not None and torch.equal(tokens(pictures), teacher.model().vision(pictures))
    theirs, ours = (Streams(each, Run.of(each, tmp_path).tokenizer())[1] for each in (teacher.config, config))
    assert torch.equal(theirs["pairs"].image, ours["pairs"].image)
    assert torch.equal(theirs["pairs"].tokens.ids, ours["pairs"].tokens.ids)


@pytest.mark.parametrize(
    "changes",
    [
        {"objectives__mim__weight": 3.0},
        {"objectives__mim__start": 0.5},
        {"flow__standardise_target": False},
        {"flow__text_gradient__itm": 1.0},
        {"init_from": "stage1"},
        {"train__probe_every": 1},
    ],
)
def test_what_tells_targets_and_warm_starts_apart_does_not_change_it(changes: dict[str, Any]) -> None:
    for teacher in ("+clip_like", "+image_only+images_64"):
        plain, changed = (prior_runs.teacher(taught(teacher, **each)) for each in ({}, changes))
        assert (plain.name, plain.fingerprint) == (changed.name, changed.fingerprint)
    assert prior_runs.teacher(taught(seed=1)).fingerprint != prior_runs.teacher(taught()).fingerprint
    assert prior_runs.teacher(taught("+image_only")).name != prior_runs.teacher(taught("+image_only+images_64")).name


def test_it_is_trained_once_after_a_warm_start_and_again_where_it_is_gone(tmp_path: Path) -> None:
    config = taught(recipe="smoke+stage1+guide_clip")
    first = [record["run"] for record in pretrain(config, tmp_path)]
    start, teacher = prior_runs.stage1(config).name, prior_runs.teacher(config).name
    assert list(dict.fromkeys(first)) == [start, teacher, config.name]
    weights = (Run.of(prior_runs.teacher(config), tmp_path).folder / "model.safetensors").stat().st_mtime_ns
    other = taught(objectives__mim__weight=2.0, name="smoke+heavier")
    list(pretrain(other, tmp_path))
    assert (Run.of(prior_runs.teacher(other), tmp_path).folder / "model.safetensors").stat().st_mtime_ns == weights

    resumed = config.replace({"name": "smoke+resumed"})
    for record in pretrain(resumed, tmp_path):
        if record["run"] == "smoke+resumed":
            break
    shutil.rmtree(tmp_path / teacher)
    assert [record["run"] for record in pretrain(resumed, tmp_path)] == [teacher] * 3 + ["smoke+resumed"] * 2
    whole, in_two = (Run.of(each, tmp_path).model().state_dict() for each in (config, resumed))
    assert all(torch.equal(tensor, in_two[name]) for name, tensor in whole.items())


@pytest.mark.parametrize(
    ("teacher", "why"),
    [
        ("+clip_lik", "change 'clip_lik' is unknown; did you mean 'clip_like'"),
        ("+", "change '' is unknown"),
        ("+beit_like", r"flow\.teacher = '\+beit_like': its model\.vision\.width is \d+; must be 32"),
        ("+bert_like", r"flow\.teacher = '\+bert_like': its vision encoder was never trained; its losses are mlm"),
        ("+guide_frozen", "flow.mim_target = 'frozen': must be used with a warm start"),
    ],
)
def test_what_cannot_teach_is_refused_before_there_is_a_folder(teacher: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=why):
        list(pretrain(taught(teacher), tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_without_mim_there_is_no_teacher(tmp_path: Path) -> None:
    config = taught("+clip_lik", objectives__mim__weight=0.0)
    assert {record["run"] for record in pretrain(config, tmp_path)} == {config.name}


def test_an_unfinished_one_is_no_teacher(tmp_path: Path) -> None:
    config = taught()
    next(iter(pretrain(prior_runs.teacher(config), tmp_path)))
    with pytest.raises(ConfigError, match=re.escape("flow.teacher = '+clip_like': not finished")):
        teaching_run(config, tmp_path)
