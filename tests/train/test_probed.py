"""A run that is probed while it trains: the same run, and a file that survives interruptions."""

import json

import pytest
from train.conftest import left, plain

from xfm import recipes

EVERY = {"train.probe_every": 5}


@pytest.fixture(scope="module")
def probed(config, tmp_path_factory):
    return left(config.replace(EVERY), tmp_path_factory.mktemp("probed"), 12)


def test_probing_changes_nothing(probed, trained):
    """Not the weights, not the draws, not what is recorded, and the two are one run."""
    for name in ("model.safetensors", "tokenizer.json"):
        assert (probed.folder / name).read_bytes() == (trained.folder / name).read_bytes(), name
    assert [*map(plain, probed.metrics())] == [*map(plain, trained.metrics())]
    assert probed.config.replace(EVERY).fingerprint == trained.config.fingerprint


def test_it_is_probed_at_the_start_every_so_often_and_at_the_end(probed, trained):
    records = probed.probes()
    assert [r["step"] for r in records] == [0, 5, 10, 12]
    first, *rest = records
    assert first["drift"] == {"language": 0, "vision": 0} and all(
        c == pytest.approx(1) for c in first["cka"]["language"]
    )
    drifts = [r["drift"]["language"] for r in rest]
    assert drifts == sorted(drifts) and drifts[0] > 0, "twelve steps of warm-up and decay lead away from the start"
    assert not trained.probes() and not trained.has("probes.jsonl")


@pytest.mark.parametrize("step", [6, 10])
def test_interrupted_it_leaves_the_same_file(probed, config, tmp_path, step):
    run = config.replace(EVERY)
    path = left(run, tmp_path, step).folder / "probes.jsonl"
    if step == 6:
        with path.open("a") as file:  # as a kill between the two files of a save leaves it
            file.write(json.dumps({"step": 10, "drift": "of steps that are not saved"}) + '\n{"step": 11, "dri')
    assert left(run, tmp_path, 12).probes() == probed.probes()


def test_drift_is_counted_from_the_warm_start_also_after_a_resume(tmp_path):
    changes = {"train.steps": 4, "train.warmup": 1, "train.save_every": 2, "train.probe_every": 2}
    config = recipes.get("smoke+stage1").replace(changes)
    left(config, tmp_path, 1)
    drifts = [r["drift"]["vision"] for r in left(config, tmp_path, 4).probes()]
    assert len(drifts) == 3 and drifts[0] == 0 and 0 < drifts[1] < 0.5 and 0 < drifts[2] < 0.5
