"""What a run keeps beside its weights: those of earlier steps, probes, levels of constant predictions."""

import json

import pytest
import torch
from train.conftest import left, plain

from xfm.config import ConfigError
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.lab import Lab
from xfm.objectives import OBJECTIVES
from xfm.plots.curve_records import constant_levels as told
from xfm.train import Run, RunError, pretrain, step
from xfm.train.step import constant_levels

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
