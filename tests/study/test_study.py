"""Studies that train: their rows, resuming, sharing, failing; in this process, in others, and on Dask."""

import json
import math
import multiprocessing
import shutil
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from study.conftest import numbers, tiny
from train.conftest import plain

from xfm.config import ConfigError
from xfm.study import Study, code_pin, runner, worker
from xfm.study.study_metrics import Measured, Metric
from xfm.study.worker import Outcome
from xfm.tasks import evaluate_run
from xfm.train import loop

LOSSES = ["texts/mlm", "pairs/itc", "pairs/itm", "pairs/imlm", "pairs/mim", "regions/itc", "regions/itm",
          "regions/imlm", "regions/bbp", "images/mim"]  # fmt: skip


def fake(rows_of):
    return lambda config, *_: Outcome(rows_of(json.loads(config)), 1.0, [], [])


@pytest.mark.full
def test_rows_are_the_evaluation_and_the_held_out_losses_of_runs_that_share_a_stage_1(measured):
    frame, run = measured.results(), measured.run_of("no_stop_gradient", 3)
    runs = [*frame[["variant", "seed"]].drop_duplicates().itertuples(index=False, name=None)]
    assert runs == [("xfm", 3), ("no_stop_gradient", 3), ("no_guidance", 3)]
    own, last = frame[frame["variant"] == "no_stop_gradient"].set_index("metric"), run.metrics()[-1]
    assert set(own["fingerprint"]) == {run.config.fingerprint}
    assert all(own.loc[f"validation/{loss}", "value"] == last[f"validation/{loss}"] for loss in LOSSES)
    seen, known = evaluate_run(run.folder, "naming")[0], measured.metrics()
    assert own.loc["naming, accuracy", ["value", "n", "family"]].tolist() == [seen.value, seen.n, "vision-language"]
    steps, values = measured.curves()["no_stop_gradient"][0]["loss"]
    assert values == pytest.approx([r["loss"] for r in run.metrics()], rel=1e-3) and steps[0] == 1
    assert len(own) == len(LOSSES) + 2 and set(known) == set(own.index)
    assert known["validation/pairs/itc"][:4] == ("lower", "nats", pytest.approx(math.log(4)), "chance, ln 4")
    levels = measured.levels().query("level == 'baseline' and variant == 'no_stop_gradient'").set_index("metric")
    for loss in ("pairs/mim", "images/mim"):  # what a constant reaches is the run's own: its targets are
        assert levels.loc[f"validation/{loss}", "value"] == last[f"validation/{loss}/constant"]
    assert own["seconds"].iloc[0] == pytest.approx(sum(r["seconds"] for r in run.metrics()), abs=0.01)
    runs = [measured.run_of(variant, 3) for variant in measured.spec.variants]
    assert len({(run.folder / "init.safetensors").read_bytes() for run in runs}) == 1
    records = [[*map(plain, run.metrics())] for run in runs]
    losses = [{k: v for k, v in record[0].items() if k.count("/") == 1} for record in records]
    assert losses[0] == losses[1] and len(losses[0]) == len(LOSSES), "same data, masks, weights; only gradients differ"
    moved = {k for k in losses[0] if losses[0][k] != losses[2][k]}
    assert moved <= {"pairs/mim", "images/mim"}, "the guidance is a target of MIM and of nothing else"
    assert records[0][1] != records[1][1] != records[2][1]


def test_a_study_resumes_from_its_table_without_run_folders(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "train_to_end", None)
    shutil.copytree(measured.folder, tmp_path / "measured")
    study = Study.load(tmp_path / "measured" / "spec.json", runs=tmp_path / "nowhere")
    assert study.spec == measured.spec
    study.run()
    assert not (tmp_path / "nowhere").exists()
    pd.testing.assert_frame_equal(study.results(), measured.results())


def test_another_study_of_the_same_run_trains_nothing(measured, tmp_path, monkeypatch):
    other = tiny("other", tmp_path, variants={"open": "no_stop_gradient"}, runs=measured.runs)
    monkeypatch.setattr(loop, "_train", None)
    other.run()
    ours = numbers(other).drop(columns="variant")
    theirs = numbers(measured).query("variant == 'no_stop_gradient'").drop(columns="variant")
    pd.testing.assert_frame_equal(ours, theirs.reset_index(drop=True))
    assert code_pin.read(measured.folder).found == [] and code_pin.read(other.folder).found == [["open", 3]]


def test_what_fails_twice_is_reported_and_tried_again_by_the_next_call(tmp_path, monkeypatch):
    broken = True

    def rows_of(config):
        if config["seed"] == 1 and broken:
            raise ValueError("no luck")
        value = config["seed"] + config["flow"]["text_gradient"]["itm"]
        return [Measured("language", "m", value, 5, Metric("lower", "nats", 9.0, "untrained"))]

    monkeypatch.setattr(runner, "measure", fake(rows_of))
    study = tiny("failing", tmp_path, seeds=[0, 1, 2])
    with pytest.warns(UserWarning, match=r"failing: 2 of 6 runs failed twice.*\n.*no luck"):
        study.run()
    missing = study.missing()
    assert missing[["variant", "seed"]].to_numpy().tolist() == [["xfm", 1], ["no_stop_gradient", 1]]
    assert "warm start of seed 1 failed: ValueError: no luck" in missing["why"][0]
    assert study.effects()[["n", "effect"]].to_numpy().tolist() == [[3, pytest.approx(2 / 3)]], "both failed: a tie"
    assert Study.load(study.folder, runs=study.runs).failed().keys() == {("xfm", 1), ("no_stop_gradient", 1)}
    broken = False
    study.run()
    assert len(study.missing()) == 0
    assert not study.failed() and not (study.folder / "failed.json").exists()


def test_a_failure_is_kept_at_once_and_is_that_of_its_config(tmp_path, monkeypatch):
    def rows_of(config):
        if config["flow"]["text_gradient"]["itm"]:
            raise KeyboardInterrupt if config["seed"] else ValueError("no luck")
        return [Measured("language", "m", 1.0, 5, Metric("lower", "nats", 9.0, "untrained"))]

    monkeypatch.setattr(runner, "measure", fake(rows_of))
    study = Study("failing", "smoke", ["xfm", "no_stop_gradient"], [0, 1], tasks="naming", root=tmp_path, runs=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        study.run()
    assert study.failed() == {("no_stop_gradient", 0): "ValueError: no luck"}
    path = study.folder / "spec.json"
    tree = json.loads(path.read_text())
    tree["variants"]["no_stop_gradient"]["train.lr"] = 1e-5
    path.write_text(json.dumps(tree))
    assert not Study.load(study.folder, study.runs).failed(), "this config has never run"


def test_a_confirmation_needs_seeds_that_no_exploration_has_seen(measured, tmp_path):
    shutil.copytree(measured.folder, tmp_path / "studies" / "measured")
    new = {"confirmatory": True, "explored": ["measured"], "primary": ["naming, accuracy"]}
    with pytest.raises(ConfigError, match=r"seeds = \[2, 3\]: \[3\] were used by 'measured'.*as from 4"):
        tiny("confirm", tmp_path, seeds=[2, 3], **new)
    tiny("confirm", tmp_path, seeds=[4, 5], **new)


def test_a_confirmation_stays_as_it_was_written_down(tmp_path, monkeypatch):
    rows = [Measured("vision", "acc", 1.0, 1)]
    monkeypatch.setattr(runner, "measure", fake(lambda c: rows))
    monkeypatch.setattr(worker, "measure_untrained", lambda *_: worker.Untrained(rows, 1.0))
    monkeypatch.setattr(runner, "require_admitted", lambda *_: None)
    tiny("confirm", tmp_path, confirmatory=True, primary=["acc"]).run()
    assert len(tiny("confirm", tmp_path, confirmatory=True, primary=["acc"]).missing()) == 0
    for change in ({"seeds": [3, 4]}, {"primary": ["other"]}, {"confirmatory": False}):
        stays = f"has another {next(iter(change))}, and results. A confirmatory study stays"
        with pytest.raises(ConfigError, match=stays):
            tiny("confirm", tmp_path, **{"confirmatory": True, "primary": ["acc"]} | change)


@pytest.mark.full
@pytest.mark.parametrize("where", ["processes of which one is killed", "a Dask cluster"])
def test_elsewhere_it_finds_the_same(where, measured, tmp_path):
    study, killed = tiny("measured", tmp_path, variants=[*measured.spec.variants][:2]), []

    def kill_one() -> None:
        while not killed:
            busy = [*Path(tmp_path).glob("runs/.study-*/[0-9]")]  # a run's note, not a warm start's
            children = [c for c in multiprocessing.active_children() if "Spawn" in type(c).__name__]
            if busy and children:
                children[0].kill()
                killed.append(children[0].pid)
            time.sleep(0.02)

    if "Dask" in where:
        from distributed import Client, LocalCluster

        alone = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(**alone) as cluster, Client(cluster) as client:
            study.run(client.get_executor())
    else:
        threading.Thread(target=kill_one, daemon=True).start()
        study.run(workers=2)
        assert killed and len(study.missing()) == 0 and not [*study.runs.glob(".study-*")]
    expected = numbers(measured).query("variant != 'no_guidance'").reset_index(drop=True)
    pd.testing.assert_frame_equal(numbers(study), expected)
