"""A finished run's vision encoder as MIM's frozen teacher."""

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
from xfm.diagnostics.gradient_table import gradient_table
from xfm.model.batch import normalise
from xfm.objectives import Pretraining, build
from xfm.runs.weights import read_weights
from xfm.train.prepare import mim_teacher

SHORT = {"train.steps": 2, "train.warmup": 1, "train.save_every": 2, "train.validate_every": 0}
CPU = torch.device("cpu")


def short(recipe: str, **changes: Any) -> RunConfig:
    config = recipes.get(recipe)
    start = {f"objectives.{o}.start": 0.0 for o in config.objectives}
    return config.replace(SHORT | start | {n.replace("__", "."): v for n, v in changes.items()})


def taught(teacher: Path | str, **changes: Any) -> RunConfig:
    return short("smoke", name="taught", flow__mim_target="teacher", flow__teacher=str(teacher), **changes)


@pytest.fixture(scope="module", params=["smoke+clip_like", "smoke+beit_like"])
def teacher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    same = {"model__vision": recipes.smoke().model.vision} if "beit" in request.param else {}  # else it is wider
    config, root = short(request.param, **same), tmp_path_factory.mktemp("teachers")
    list(pretrain(config, root))
    return Run.of(config, root)


def test_masked_patches_predict_the_runs_own_tokens(teacher: Run, tmp_path: Path) -> None:
    config = taught(teacher.folder)
    batch = Streams(config, teacher.tokenizer(), "validation")[2]
    tokens = mim_teacher(Run(tmp_path, config), CPU)
    assert tokens is not None
    pictures = normalise(batch["images"].image)  # type: ignore[union-attr]
    with torch.no_grad():
        expected = teacher.model().vision(pictures)
    assert torch.equal(tokens(pictures), expected) and not tokens(pictures).requires_grad
    training = Pretraining(build(config), config, tokens)
    assert torch.equal(training.flow(batch, "images", ("mim",), (0, 0)).mim_target.patches, expected)
    head: Any = training.model.objectives["mim"].head
    assert head.weight.shape == (32, 32)
    norms = gradient_table(training, batch).norms["mim"]
    assert norms["MIM head"] and norms["vision"]


def test_a_taught_run_trains_resumes_and_opens_without_its_teacher(teacher: Run, tmp_path: Path) -> None:
    own = tmp_path / "teacher"
    shutil.copytree(teacher.folder, own)
    config = taught(own, train__steps=4)
    whole, stopped = ([*pretrain(config, tmp_path / "whole")], next(iter(pretrain(config, tmp_path / "stopped"))))
    assert whole[0]["pairs/mim"] == stopped["pairs/mim"]
    list(pretrain(config, tmp_path / "stopped"))
    before = read_weights(own / "model.safetensors")
    assert all(torch.equal(before[n], t) for n, t in read_weights(teacher.folder / "model.safetensors").items())
    shutil.rmtree(own)
    one, other = (Run.of(config, tmp_path / name).model().state_dict() for name in ("whole", "stopped"))
    assert all(torch.equal(t, other[n]) for n, t in one.items())


def test_a_run_that_cannot_teach_says_why(teacher: Run, tmp_path: Path) -> None:
    def refused(folder: Path | str, why: str, **changes: Any) -> None:
        config = taught(folder, **changes)
        with pytest.raises(ConfigError, match=rf"^flow\.teacher = {re.escape(repr(str(folder)))}: .*{why}"):
            list(pretrain(config, tmp_path / "students"))
        assert not (tmp_path / "students").exists()

    refused(tmp_path / "nothing", "no run here")
    sizes = {"model__vision__image_size": 64}
    refused(teacher.folder, r"model\.vision\.image_size is 48; must be 64", **sizes)
    refused(teacher.folder, r"model\.vision\.patch_size is 8; must be 16", model__vision__patch_size=16,
            data__mask__image_patches=3)  # fmt: skip
    refused(teacher.folder, r"model\.vision\.width is 32; must be 40", model__vision__width=40)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(teacher.folder, unfinished)
    (unfinished / "DONE").unlink()
    refused(unfinished, "not finished")


def test_a_run_of_words_cannot_teach(tmp_path: Path) -> None:
    config = short("smoke+bert_like")
    list(pretrain(config, tmp_path))
    with pytest.raises(ConfigError, match=r"^flow.teacher = .*its vision encoder was never trained; .* are mlm"):
        list(pretrain(taught(Run.of(config, tmp_path).folder), tmp_path))
