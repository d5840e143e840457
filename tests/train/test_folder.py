"""Run folders: opened at once when finished, refused with the file's name and the way out when they cannot be used."""

import json
import re
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from train.conftest import equal, vouch

from xfm import recipes
from xfm.config import ConfigError
from xfm.data.streams import Streams
from xfm.model import batch
from xfm.runs.manifest import MANIFEST
from xfm.train import NonFiniteLoss, Run, RunError, gradient_interventions, loop, pretrain, requirements

FILES = ("config.json", "environment.json", "tokenizer.json", "metrics.jsonl", "model.safetensors", "state.pt", "DONE")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def refused(run: Run, *said: str) -> None:
    before = contents(run.folder)
    with pytest.raises(RunError) as error:
        next(pretrain(run.config, run.root))
    assert [s for s in said if s not in str(error.value)] == [], str(error.value)
    assert contents(run.folder) == before


@pytest.mark.parametrize("field", ["probe_every", "keep"])
def test_what_a_finished_run_did_not_keep_is_said(field, trained):
    asked, records = trained.config.replace({f"train.{field}": 2}), trained.metrics()
    with pytest.warns(UserWarning, match=rf"finished with train\.{field} = 0; what 2 asks for was not kept.* Delete"):
        assert [*pretrain(asked, trained.root)] == records
    with warnings.catch_warnings():  # what changes no weight
        warnings.simplefilter("error")
        assert [*pretrain(trained.config.replace({"train.save_every": 1}), trained.root)] == records


def test_what_a_finished_run_offers_it_opens_without_model_or_data(trained, config, monkeypatch):
    assert Run.open(str(trained.folder)) == Run(trained.folder, config) and trained.damaged() == []
    assert {p.name for p in trained.folder.iterdir()} == {*FILES, MANIFEST, ".lock"}
    model, state = trained.model(), torch.load(trained.folder / "state.pt", weights_only=True)
    assert not model.training and equal({**model.state_dict()}, state["model"])
    kept = json.loads((trained.folder / "environment.json").read_text())
    assert (kept["torch"], kept["precision"]) == (torch.__version__, "fp32")
    for room, name in [(requirements, "dataset"), (loop, "make_accelerator"), (loop, "prepare"), (torch, "load")]:
        monkeypatch.setattr(room, name, None)
    before = contents(trained.folder)
    assert [*pretrain(trained.config, trained.root)] == trained.metrics()
    assert contents(trained.folder) == before


def test_a_start_that_failed_keeps_the_folder_for_nobody(tmp_path, assert_same):
    """Neither its config nor its tokenizer: what comes then is as if nothing had been there."""
    config = recipes.get("smoke").replace({"train.steps": 2, "train.validate_every": 0, "train.warmup": 1})
    (tmp_path / "s.txt").write_text("\n".join(f"sentence number {i} of some" for i in range(40)), "utf-8")
    own = {"data.sources": (str(tmp_path / "s.txt"),), "model.text.vocabulary": 280}
    for changes, kind, said in (
        ({"init_from": "runs/nothing/seed0"}, RunError, "no run here"),
        ({"data.tokenizer": "nothing.json"}, ConfigError, "data.tokenizer = 'nothing.json'"),
        (own | {"model.text.vocabulary": 100_000}, ConfigError, "model.text.vocabulary"),
        (own | {"data.relation_negatives": 0.5}, ConfigError, "data.relation_negatives"),
    ):
        with warnings.catch_warnings(), pytest.raises(kind, match=said):
            warnings.simplefilter("ignore")  # of the streams that texts alone do not feed
            list(pretrain(config.replace(changes), tmp_path))
    assert (tmp_path / "smoke/seed0/tokenizer.json").exists(), "of the last one"
    for root in (tmp_path, tmp_path / "fresh"):
        assert len([*pretrain(config, root)]) == 2
    run = Run.of(config, tmp_path)
    assert_same(run.folder, Run.of(config, tmp_path / "fresh").folder)
    refused(Run(run.folder, config.replace({"train.lr": 0.5})), "train.lr: 0.0009 there, 0.5 asked", "--name")


def test_truncated_weights_of_a_finished_run_are_made_anew_from_its_state(copy, trained, assert_same):
    path = copy.folder / "model.safetensors"
    weights = load_file(path)
    path.write_bytes(path.read_bytes()[:-100])
    vouch(copy)
    with pytest.raises(RunError, match=r"model.safetensors: no readable safetensors file.* delete it and run the same"):
        copy.model()
    weights["text.word.weight"][5, 5] = torch.nan
    save_file(weights, path)
    vouch(copy)
    with pytest.raises(RunError, match=r"model.safetensors: text.word.weight is not finite: this model has diverged"):
        copy.model()
    path.unlink()
    assert [*pretrain(copy.config, copy.root)] == trained.metrics()
    assert_same(copy.folder, trained.folder)


def test_a_tokenizer_that_is_none(unfinished):
    path = unfinished.folder / "tokenizer.json"
    tree = json.loads(path.read_text())  # one merge less, <mask> one place earlier
    del tree["model"]["vocab"]["".join(tree["model"]["merges"].pop())]
    tree["added_tokens"][-1]["id"] = 1022
    for text, said in ((json.dumps(tree), "has 1023 tokens, model.text.vocabulary is 1024"), ("{", "not a tokenizer")):
        path.write_text(text)
        vouch(unfinished)
        refused(unfinished, str(path), said, "Put")
    path.unlink()
    refused(unfinished, str(path), "no such tokenizer file", "Put")


def test_a_sample_that_is_not_finite_is_named(unfinished, trained, monkeypatch, assert_same):
    made = Streams.images

    def images(self, step):
        clean = made(self, step)
        pixels = batch.normalise(clean.image)
        pixels[2, 0, 5, 7] = float("inf")
        return batch.Images(pixels, clean.image_mask) if step == 11 else clean

    monkeypatch.setattr(Streams, "images", images)
    said = "step 11: the loss of images/mim is not finite (images pictures [2]). The steps before it are saved in "
    with pytest.raises(NonFiniteLoss, match=re.escape(f"{said}{unfinished.folder}. Lower train.lr")):
        list(pretrain(unfinished.config, unfinished.root))
    assert [r["step"] for r in unfinished.metrics()] == [*range(11)], "with the step that led there"
    monkeypatch.undo()
    assert [r["step"] for r in pretrain(unfinished.config, unfinished.root)] == [11]
    assert_same(unfinished.folder, trained.folder)


def test_training_that_diverges_says_so(config, tmp_path, monkeypatch):
    away = config.replace({"name": "away", "train.lr": 1e30, "train.warmup": 0, "data.regions": 0, "data.images": 0})
    with pytest.raises(NonFiniteLoss) as error:
        list(pretrain(away, tmp_path))
    assert str(error.value).startswith("step 1: the loss of pairs/itc")
    assert "pairs pictures 0-7 (all); pairs texts 0-7 (all); texts texts 0-3 (all)" in str(error.value)
    assert [r["step"] for r in Run.of(away, tmp_path).metrics()] == [0]
    steep = lambda losses, _: torch.stack([*losses.values()]).sum().sqrt() * 1e38  # noqa: E731
    monkeypatch.setattr(gradient_interventions, "weighted_sum", steep)
    with pytest.raises(NonFiniteLoss, match=r"step 0: every loss is finite, the gradient is not \(no single sample"):
        next(pretrain(config, tmp_path))


def test_a_save_that_reads_back_otherwise_keeps_the_last_one(config, tmp_path, monkeypatch):
    """A disk that says yes and stores something else."""
    records = pretrain(config.replace({"train.save_every": 1}), tmp_path)
    next(records)
    folder = Run.of(config, tmp_path).folder
    kept = (folder / "state.pt").read_bytes()

    def rot(_: int) -> None:
        for temporary in folder.glob(".model.safetensors.*"):
            temporary.write_bytes(temporary.read_bytes()[:-1] + b"?")

    monkeypatch.setattr("xfm.base.files.os.fsync", rot)
    with pytest.raises(RuntimeError, match="what was written reads back differently"):
        next(records)
    monkeypatch.undo()
    assert (folder / "state.pt").read_bytes() == kept
    assert next(pretrain(config, tmp_path))["step"] == 1
