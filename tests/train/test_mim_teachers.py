"""A run's vision encoder as MIM's frozen teacher: a finished run's, or one of the config's own, trained first."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from train.conftest import copied, equal, left

from xfm import Run, pretrain, recipes
from xfm.config import ConfigError, RunConfig
from xfm.data.streams import Streams
from xfm.diagnostics.gradient_table import gradient_table
from xfm.model.batch import normalise
from xfm.objectives import Pretraining, build
from xfm.recipes import prior_runs
from xfm.train.prepare import mim_teacher
from xfm.train.requirements import teaching_run

SHORT = {"train.steps": 3, "train.warmup": 1, "train.save_every": 1, "train.validate_every": 0, "stage1_steps": 2}
CPU = torch.device("cpu")


def short(recipe: str, **changes: Any) -> RunConfig:
    config = recipes.get(recipe)
    start = {f"objectives.{o}.start": 0.0 for o in config.objectives}
    return config.replace(SHORT | start | {n.replace("__", "."): v for n, v in changes.items()})


def taught(teacher: Path | str, **changes: Any) -> RunConfig:
    return short("smoke", **{"name": "taught", "flow__mim_target": "teacher", "flow__teacher": str(teacher)} | changes)


def by_own(teacher: str = "+clip_like", recipe: str = "smoke+guide_clip", **changes: Any) -> RunConfig:
    return short(recipe, flow__teacher=teacher, **changes)


@pytest.fixture(scope="module", params=["smoke+clip_like", "smoke+beit_like"])
def teacher(request, tmp_path_factory):
    same = {"model__vision": recipes.smoke().model.vision} if "beit" in request.param else {}  # else it is wider
    config = short(request.param, **same)
    return left(config, tmp_path_factory.mktemp("teachers"), config.train.steps)


def test_masked_patches_predict_the_runs_own_tokens(teacher, tmp_path):
    config = taught(teacher.folder)
    batch = Streams(config, teacher.tokenizer(), "validation")[2]
    tokens = mim_teacher(Run(tmp_path, config), CPU)
    pictures = normalise(batch["images"].image)  # type: ignore[union-attr]
    with torch.no_grad():
        expected = teacher.model().vision(pictures)
    assert tokens is not None and torch.equal(tokens(pictures), expected) and not tokens(pictures).requires_grad
    training = Pretraining(build(config), config, tokens)
    assert torch.equal(training.flow(batch, "images", ("mim",), (0, 0)).mim_target.patches, expected)
    norms = gradient_table(training, batch).norms["mim"]
    assert norms["MIM head"] and norms["vision"]


@pytest.mark.full
def test_a_taught_run_trains_resumes_and_opens_without_its_teacher(teacher, tmp_path):
    own = copied(teacher, tmp_path / "own")
    config = taught(own.folder, train__steps=4)
    runs = [left(config, tmp_path / "stopped", 0), left(config, tmp_path / "whole", 4)]
    assert runs[0].metrics()[0]["pairs/mim"] == runs[1].metrics()[0]["pairs/mim"]
    left(config, tmp_path / "stopped", 4)
    assert (own.folder / "model.safetensors").read_bytes() == (teacher.folder / "model.safetensors").read_bytes()
    shutil.rmtree(own.folder)
    assert equal(*(run.model().state_dict() for run in runs))


@pytest.mark.full
def test_it_is_trained_once_after_a_warm_start_and_again_where_it_is_gone(tmp_path):
    """On the same batches; its outputs are the target."""
    config = by_own(recipe="smoke+stage1+guide_clip")
    names = [record["run"] for record in pretrain(config, tmp_path)]
    start, teacher = prior_runs.stage1(config).name, Run.of(prior_runs.teacher(config), tmp_path)
    name, weights = teacher.config.name, teacher.folder / "model.safetensors"
    assert names == [start] * 2 + [name] * 3 + [config.name] * 3 and teacher.done
    tokens, pictures = mim_teacher(Run.of(config, tmp_path), CPU), torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        assert torch.equal(tokens(pictures), teacher.model().vision(pictures))
    theirs, ours = (Streams(each, Run.of(each, tmp_path).tokenizer())[1]["pairs"] for each in (teacher.config, config))
    assert torch.equal(theirs.image, ours.image) and torch.equal(theirs.tokens.ids, ours.tokens.ids)
    stamp = weights.stat().st_mtime_ns
    left(by_own(recipe="smoke+stage1+guide_clip", objectives__mim__weight=2.0, name="heavier"), tmp_path, 0)
    assert weights.stat().st_mtime_ns == stamp
    resumed = config.replace({"name": "smoke+resumed"})
    left(resumed, tmp_path, 0)
    shutil.rmtree(tmp_path / name)
    assert [record["run"] for record in pretrain(resumed, tmp_path)] == [name] * 3 + ["smoke+resumed"] * 2
    assert equal(*(Run.of(each, tmp_path).model().state_dict() for each in (config, resumed)))


def test_what_tells_targets_and_warm_starts_apart_does_not_change_it():
    same = ({"objectives__mim__weight": 3.0}, {"flow__standardise_target": False}, {"flow__text_gradient__itm": 1.0},
            {"init_from": "stage1"}, {"train__probe_every": 1})  # fmt: skip
    made = [prior_runs.teacher(by_own(**changes)) for changes in ({}, *same)]
    assert len({(config.name, config.fingerprint) for config in made}) == 1
    assert prior_runs.teacher(by_own(seed=1)).fingerprint != made[0].fingerprint


def test_what_cannot_teach_is_refused_before_there_is_a_folder(teacher, tmp_path):
    unfinished, words = copied(teacher, tmp_path / "unfinished"), left(short("smoke+bert_like"), tmp_path, 3)
    (unfinished.folder / "DONE").unlink()
    for config, why in (
        (taught(tmp_path / "nothing"), "no run here"),
        (taught(unfinished.folder), "not finished"),
        (taught(words.folder), "its vision encoder was never trained; .* are mlm"),
        (taught(teacher.folder, model__vision__image_size=64), r"model\.vision\.image_size is 48; must be 64"),
        (by_own("+clip_lik"), "change 'clip_lik' is unknown; did you mean 'clip_like'"),
        (by_own("+beit_like"), r"flow\.teacher = '\+beit_like': its model\.vision\.width is \d+; must be 32"),
        (by_own("+guide_frozen"), r"flow\.mim_target = 'frozen': must be used with a warm start"),
    ):
        with pytest.raises(ConfigError, match=why):
            list(pretrain(config, tmp_path / "students"))
        assert not (tmp_path / "students").exists()


def test_without_mim_there_is_no_teacher_and_an_unfinished_one_is_none(tmp_path):
    config = by_own("+clip_lik", objectives__mim__weight=0.0)
    assert {record["run"] for record in pretrain(config, tmp_path)} == {config.name}
    left(prior_runs.teacher(by_own()), tmp_path, 0)
    with pytest.raises(ConfigError, match=re.escape("flow.teacher = '+clip_like': not finished")):
        teaching_run(by_own(), tmp_path)
