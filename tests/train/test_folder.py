"""Run folders: opened at once when finished, refused with the file's name and the way out when they cannot be used."""

import json
import re
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from train.conftest import equal, left, plain, vouch

from xfm import recipes
from xfm.config import ConfigError
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.lab import Lab
from xfm.model import batch
from xfm.objectives import OBJECTIVES
from xfm.plots.curve_records import constant_levels as told
from xfm.runs.manifest import MANIFEST
from xfm.train import NonFiniteLoss, Run, RunError, gradient_interventions, loop, pretrain, requirements, step
from xfm.train.step import constant_levels

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


KEEP = {"train.steps": 5, "train.save_every": 5, "train.validate_every": 0, "train.keep": 2}


@pytest.fixture(scope="module")
def kept(config, tmp_path_factory):
    return left(config.replace(KEEP), tmp_path_factory.mktemp("kept"), 5)


def weights(run: Run, step: int | None = None) -> torch.Tensor:
    return torch.cat([p.flatten() for p in run.model(step).state_dict().values()])


def test_weights_are_kept_from_the_start_to_the_end(kept, config, tmp_path):
    assert kept.kept() == [0, 2, 4, 5] and kept.damaged() == []
    assert {p.name for p in kept.folder.glob("step*")} == {f"step00000{n}.safetensors" for n in (0, 2, 4)}
    assert torch.equal(weights(kept, 5), weights(kept)) and not torch.equal(weights(kept, 0), weights(kept, 2))
    stopped = left(config.replace(KEEP | {"train.keep": 0}), tmp_path, 1)
    assert torch.equal(weights(stopped), weights(kept, 2)) and stopped.kept() == []


def test_a_resumed_run_keeps_the_same_and_a_damaged_copy_is_refused(kept, tmp_path):
    again = left(kept.config, tmp_path, 2)
    assert again.kept() == [0, 2]
    again.keep_weights({"later": torch.zeros(1)}, 4)  # as a kill between two saves leaves it, of steps to be done again
    assert len([*pretrain(kept.config, tmp_path)]) == 2
    assert again.kept() == [0, 2, 4, 5] and again.damaged() == []
    assert all(torch.equal(weights(again, step), weights(kept, step)) for step in kept.kept())
    with pytest.raises(ConfigError, match=r"step = 3: must be one of 0, 2, 4, 5"):
        again.model(3)
    path = again.folder / "step000002.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RunError, match="step000002"):
        again.model(2)


def test_each_kept_step_has_its_trace(kept):
    scene = (lab := Lab(kept)).scene(0)
    traces, last = lab.traces(scene.image, scene.text), lab.trace(scene.image, scene.text)
    assert [*traces] == [0, 2, 4, 5] and traces[0].scores != traces[5].scores
    torch.testing.assert_close(traces[5].maps["cross"].weights, last.maps["cross"].weights)


@pytest.fixture(scope="module")
def probed(config, tmp_path_factory):
    return left(config.replace({"train.probe_every": 5}), tmp_path_factory.mktemp("probed"), 12)


def test_probing_changes_nothing_and_is_at_the_start_every_so_often_and_at_the_end(probed, trained):
    for name in ("model.safetensors", "tokenizer.json"):
        assert (probed.folder / name).read_bytes() == (trained.folder / name).read_bytes(), name
    assert [*map(plain, probed.metrics())] == [*map(plain, trained.metrics())]
    assert probed.config.replace({"train.probe_every": 5}).fingerprint == trained.config.fingerprint
    records = probed.probes()
    assert [r["step"] for r in records] == [0, 5, 10, 12]
    first, *rest = records
    assert first["drift"] == {"language": 0, "vision": 0}
    drifts = [r["drift"]["language"] for r in rest]
    assert drifts == sorted(drifts) and drifts[0] > 0, "twelve steps of warm-up and decay lead away from the start"
    assert not trained.probes() and not trained.has("probes.jsonl")


@pytest.mark.full
def test_interrupted_it_leaves_the_same_file(probed, config, tmp_path):
    run = config.replace({"train.probe_every": 5})
    path = left(run, tmp_path, 6).folder / "probes.jsonl"
    with path.open("a") as file:  # as a kill between the two files of a save leaves it
        file.write(json.dumps({"step": 10, "drift": "of steps that are not saved"}) + '\n{"step": 11, "dri')
    assert left(run, tmp_path, 12).probes() == probed.probes()


def test_the_first_record_tells_the_level_of_each_loss_of_its_own_stream(config, trained):
    first, *rest = trained.metrics()
    assert first["levels"].keys() == {"texts/mlm", "pairs/imlm", "regions/imlm", "regions/bbp"} and not any(
        "levels" in record for record in rest
    )
    assert told(trained.metrics()) == {key: (level["value"], level["name"]) for key, level in first["levels"].items()}
    before = torch.get_rng_state()
    assert constant_levels(config, trained.tokenizer()) == first["levels"]
    assert torch.equal(before, torch.get_rng_state())
    streams = Streams(config, trained.tokenizer(), source=dataset(config))
    texts = [streams.texts(i) for i in range(config.train.steps)]  # so few that all of them are counted
    assert OBJECTIVES["mlm"].constant(texts)[0] == pytest.approx(first["levels"]["texts/mlm"]["value"], abs=1e-9)


def test_what_is_no_level_is_none_nor_are_losses_that_are_off_and_remote_shards_asked(config, trained, monkeypatch):
    wrong = [None, {"texts/mlm": {"value": "1", "name": "x"}}, {"texts/mlm": [1, "x"]}, {"texts/mlm": {"value": 1.0}}]
    assert told([{"levels": one} for one in wrong] + [{}]) == {}
    off = config.replace({"objectives.mlm.weight": 0.0, "objectives.bbp.weight": 0.0})
    assert constant_levels(off, trained.tokenizer()).keys() == {"pairs/imlm", "regions/imlm"}
    monkeypatch.setattr(step, "dataset", lambda _: 1 / 0)
    remote = config.replace({"data.sources": ("https://example.org/{0..3}.tar",)})
    assert constant_levels(remote, trained.tokenizer()) == {}
