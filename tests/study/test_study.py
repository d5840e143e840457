"""Studies that train: their rows, resuming, sharing, failing, elsewhere; what may be written down as one."""

import json
import math
import multiprocessing
import shutil
import threading
import time
from typing import Any

import pandas as pd
import pytest
from study.conftest import numbers, tiny
from train.conftest import plain

from xfm import recipes
from xfm.config import ConfigError, ObjectiveConfig
from xfm.recipes import get
from xfm.study import Spec, Study, StudyError, code_pin, grid, runner, worker
from xfm.study.study_metrics import Ask, Measured, Metric
from xfm.study.variants import changes, labelled, readable
from xfm.study.worker import Outcome
from xfm.tasks import evaluate_run
from xfm.train import Run, loop

LOSSES = ["texts/mlm", "pairs/itc", "pairs/itm", "pairs/imlm", "pairs/mim", "regions/itc", "regions/itm",
          "regions/imlm", "regions/bbp", "images/mim"]  # fmt: skip


def fake(rows_of):
    return lambda config, *_: Outcome(rows_of(json.loads(config)), 1.0, [], [])


@pytest.mark.full
def test_rows_are_the_evaluation_and_the_held_out_losses_of_runs_that_share_a_stage_1(measured):
    runs = [Run.of(measured.spec.config(v, 3), measured.runs) for v in ("xfm", "no_stop_gradient", "no_guidance")]
    frame, run = measured.results(), runs[1]
    own, last = frame[frame["variant"] == "no_stop_gradient"].set_index("metric"), run.metrics()[-1]
    assert set(own["fingerprint"]) == {run.config.fingerprint}
    assert all(own.loc[f"validation/{loss}", "value"] == last[f"validation/{loss}"] for loss in LOSSES)
    seen, known = evaluate_run(run.folder, "naming")[0], measured.measurements.metrics
    assert own.loc["naming, accuracy", ["value", "n", "family"]].tolist() == [seen.value, seen.n, "vision-language"]
    steps, values = measured.curves()["no_stop_gradient"][0]["loss"]
    assert values == pytest.approx([r["loss"] for r in run.metrics()], rel=1e-3) and steps[0] == 1
    assert len(own) == len(LOSSES) + 2 and set(known) == set(own.index)
    assert known["validation/pairs/itc"][:4] == ("lower", "nats", pytest.approx(math.log(4)), "chance, ln 4")
    levels = measured.levels().query("level == 'baseline' and variant == 'no_stop_gradient'").set_index("metric")
    for loss in ("pairs/mim", "images/mim"):  # what a constant reaches is the run's own: its targets are
        assert levels.loc[f"validation/{loss}", "value"] == last[f"validation/{loss}/constant"]
    assert own["seconds"].iloc[0] == pytest.approx(sum(r["seconds"] for r in run.metrics()), abs=0.01)
    assert len({(run.folder / "init.safetensors").read_bytes() for run in runs}) == 1
    records = [[*map(plain, run.metrics())] for run in runs]
    losses = [{k: v for k, v in record[0].items() if k.count("/") == 1} for record in records]
    assert losses[0] == losses[1] and len(losses[0]) == len(LOSSES), "same data, masks, weights; only gradients differ"
    moved = {k for k in losses[0] if losses[0][k] != losses[2][k]}
    assert moved <= {"pairs/mim", "images/mim"}, "the guidance is a target of MIM and of nothing else"
    assert records[0][1] != records[1][1] != records[2][1]


def test_a_study_resumes_from_its_table_without_run_folders_and_another_of_the_same_run_trains_nothing(
    measured, tmp_path, monkeypatch
):
    other = tiny("other", tmp_path, variants={"open": "no_stop_gradient"}, runs=measured.runs)
    monkeypatch.setattr(loop, "_train", None)
    other.run()
    ours = numbers(other).drop(columns="variant")
    theirs = numbers(measured).query("variant == 'no_stop_gradient'").drop(columns="variant")
    pd.testing.assert_frame_equal(ours, theirs.reset_index(drop=True))
    assert code_pin.read(measured.folder).found == [] and code_pin.read(other.folder).found == [["open", 3]]
    monkeypatch.setattr(worker, "train_to_end", None)
    shutil.copytree(measured.folder, tmp_path / "measured")
    study = Study.load(tmp_path / "measured" / "spec.json", runs=tmp_path / "nowhere")
    study.run()
    assert study.spec == measured.spec and not (tmp_path / "nowhere").exists()
    pd.testing.assert_frame_equal(study.results(), measured.results())


def test_what_fails_twice_is_reported_and_tried_again_by_the_next_call(tmp_path, monkeypatch):
    broken = [1]

    def rows_of(config):
        if config["seed"] in broken:
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
    assert Study.load(study.folder, runs=study.runs).measurements.failed.keys() == {("xfm", 1), ("no_stop_gradient", 1)}
    broken.clear()
    study.run()
    assert not len(study.missing()) and not study.measurements.failed and not (study.folder / "failed.json").exists()


def test_a_failure_is_kept_at_once_and_is_that_of_its_config(tmp_path, monkeypatch):
    def rows_of(config):
        if config["flow"]["text_gradient"]["itm"]:
            raise KeyboardInterrupt if config["seed"] else ValueError("no luck")
        return [Measured("language", "m", 1.0, 5, Metric("lower", "nats", 9.0, "untrained"))]

    monkeypatch.setattr(runner, "measure", fake(rows_of))
    study = Study("failing", "smoke", ["xfm", "no_stop_gradient"], [0, 1], tasks="naming", root=tmp_path, runs=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        study.run()
    assert study.measurements.failed == {("no_stop_gradient", 0): "ValueError: no luck"}
    path = study.folder / "spec.json"
    path.write_text(path.read_text().replace('"no_stop_gradient": {', '"no_stop_gradient": {"train.lr": 1e-5, '))
    assert not Study.load(study.folder, study.runs).measurements.failed, "this config has never run"


def test_a_confirmation_stays_as_it_was_written_down(tmp_path, monkeypatch):
    rows, asked = [Measured("vision", "acc", 1.0, 1)], {"confirmatory": True, "primary": ["acc"]}
    monkeypatch.setattr(runner, "measure", fake(lambda c: rows))
    monkeypatch.setattr(worker, "measure_untrained", lambda *_: worker.Untrained(rows, 1.0))
    monkeypatch.setattr(runner, "require_admitted", lambda *_: None)
    tiny("first", tmp_path).run()
    with pytest.raises(ConfigError, match=r"seeds = \[2, 3\]: \[3\] were used by 'first'.*as from 4"):
        tiny("confirm", tmp_path, seeds=[2, 3], explored=["first"], **asked)
    tiny("confirm", tmp_path, **asked).run()
    assert len(tiny("confirm", tmp_path, **asked).missing()) == 0
    for field, value in {"seeds": [3, 4], "primary": ["other"], "confirmatory": False}.items():
        with pytest.raises(ConfigError, match=f"has another {field}, and results. A confirmatory study stays"):
            tiny("confirm", tmp_path, **asked | {field: value})


@pytest.mark.full
@pytest.mark.parametrize("where", ["processes of which one is killed", "a Dask cluster"])
def test_elsewhere_it_finds_the_same(where, measured, tmp_path):
    study, killed = tiny("measured", tmp_path, variants=[*measured.spec.variants][:2]), []

    def kill_one() -> None:
        while not killed:
            children = [c for c in multiprocessing.active_children() if "Spawn" in type(c).__name__]
            if children and [*tmp_path.glob("runs/.study-*/[0-9]")]:  # a run's note, not a warm start's
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


FUSION, NAMING = "flow.text_gradient.{itm,imlm,bbp}", "naming, accuracy"


def spec(**other: Any) -> Spec:
    variants = labelled(["xfm", "no_stop_gradient"])
    return Spec(**{"name": "s", "recipe": "smoke", "variants": variants, "seeds": (0, 1)} | other)


FUSED = [f"flow.text_gradient.{o}" for o in ("itm", "imlm", "bbp")]
ABLATIONS, NO_MIM = recipes.ablations(), {"objectives.mim.weight": 0.0}


@pytest.mark.parametrize(("written", "expected"), [
    ("xfm", {}), ("no_mim", NO_MIM), ("neither+no_mim", ABLATIONS["neither"] | NO_MIM),
    ("train.lr=1e+3", {"train.lr": 1000.0}), (f"{FUSION}=0.3", dict.fromkeys(FUSED, 0.3)),
    ("no_mim+train.lr=0.001+flow.mim_target=pixels", NO_MIM | {"train.lr": 0.001, "flow.mim_target": "pixels"}),
    ({"data.texts": 8}, {"data.texts": 8}), ({"objectives.itm": {"weight": 0.5}}, {"objectives.itm.weight": 0.5}),
    ({"objectives.itm": ObjectiveConfig(0.5)}, {"objectives.itm.weight": 0.5, "objectives.itm.start": 0.0}),
])  # fmt: skip
def test_a_variant_is_dotted_fields(written, expected):
    assert changes(written) == expected


def test_a_config_of_a_study_has_one_thread_unless_said_and_asks_what_its_tasks_ask():
    """Fine-tuning draws by the run's seed, and would vary in every arm where sources of randomness are fixed."""
    for changed, expected in (({}, (1, 0)), ({"train.threads": 4, "data.workers": 2}, (4, 2))):
        config = spec(recipe="demo", changes=changed).configs["xfm"]
        assert (config.train.threads, config.data.workers) == expected
    tasks, varied = ("mlm", "finetune:lexname"), labelled(["xfm", "vary_data"])
    assert spec(tasks=tasks).asks == (Ask("mlm", "evaluate"), Ask("lexname", "finetune"))
    with pytest.raises(ConfigError, match=r"tasks = .*: must be without finetune: where variants set seed_of"):
        spec(variants=varied, tasks=tasks)
    one = spec(variants={"a": {"train.lr": 1e-3}})
    other = spec(name="t", variants={"c": {}}, changes={"train.lr": 1e-3})
    assert one.config("a", 5) == other.config("c", 5), "so that studies share runs"


def test_a_grid_is_every_combination_and_is_compared_within_its_cells():
    made, label = grid({FUSION: [0, 0.1], "train.lr": [1e-3, 3e-3, 1e-2]}), f"{FUSION}=0.1, train.lr=0.003"
    assert len(made) == 6 and made[label] == dict.fromkeys(FUSED, 0.1) | {"train.lr": 3e-3}
    ours = spec(variants=grid({"data.texts": [4, 8]}, ["xfm", "no_mim"]))
    assert ours.references("xfm") == {f"no_mim, data.texts={n}": f"xfm, data.texts={n}" for n in (4, 8)}
    with pytest.raises(ConfigError, match=r"train.lr = \[\]: must be a list"):
        grid({"train.lr": []})


@pytest.mark.parametrize(("broken", "message"), [
    ({"variants": ["no_stop_gradeint"]}, r"'no_stop_gradeint' is unknown; did you mean 'no_stop_gradient'\?"),
    ({"variants": ["xfm", "xfm"]}, "'xfm': is there twice"),
    ({"variants": ["no_mim+objectives.mim.weight=0.5"]}, "sets objectives.mim.weight = 0.0 and 0.5: must set it once"),
    ({"variants": [{"flow.text_gradient.{itm,bbp}": 0.1, "flow.text_gradient.bbp": 1}]}, "text_gradient.bbp = 0.1"),
    ({"variants": ["xfm", {"train.lr": 9e-4}]}, "'xfm' and 'train.lr=0.0009': are the same config"),
    ({"variants": [{"train.lrr": 1}]}, r"variant 'train.lrr=1': train.lrr: no such field; did you mean 'lr'\?"),
    ({"variants": ["no_guidance"]}, "variant 'no_guidance': flow.mim_target = 'frozen': must be used with a warm"),
    ({"seeds": []}, "seeds = .*: must be at least one"),
    ({"seeds": [1, 1]}, r"seeds = \[1, 1\]: must be different"),
    ({"primary": list("abcd")}, "primary = .*: must be at most three, one of language, one of vision"),
    ({"tasks": ["namin"]}, "tasks = .*did you mean 'naming'"),
    ({"split": "validation", "confirmatory": True}, "split = 'validation': must be 'test' where confirmatory"),
    ({"margins": {NAMING: 0}}, "margins.naming, accuracy = 0: must be a positive number"),
    ({"admission": {"naming": "xfm"}}, "admission = 'naming': must be one of .*'naming, accuracy'"),
    ({"admission": {NAMING: "xmf"}}, r"admission.*= 'xmf'.*did you mean 'xfm'"),
    ({"changes": {"seed": 5}}, "seed = 5: must be left out"),
    ({"hypotheses": ["a\nb"]}, r"hypotheses\[0\] = .*one printable line"),
])  # fmt: skip
def test_a_broken_spec_says_what_is_wrong(broken, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        Study(**{"name": "s", "recipe": "smoke", "variants": ["xfm"], "primary": [NAMING], "root": tmp_path} | broken)


def test_a_broken_file_says_what_is_wrong(tmp_path):
    (path := tmp_path / "stop" / "spec.json").parent.mkdir()
    for change, message in (
        ({"seeds": 3}, "seeds = 3: must be a list"), ({"variants": {"a": 3}}, "variant = 3: must be a name, or a mapp"),
        ({"name": "other"}, "name = 'other': must be the folder's, 'stop'"),
    ):  # fmt: skip
        path.write_text(json.dumps(json.loads(spec(name="stop").to_json()) | change))
        with pytest.raises(ConfigError, match=f"spec.json: {message}"):
            Study.load(path)
    with pytest.raises(StudyError, match=r"no study here; did you mean 'stop'\?"):
        Study.load(tmp_path / "sotp")


def test_every_run_is_told_by_its_name_and_no_two_have_one(tmp_path):
    changed = {"changes": {"data.pairs": 6}, "root": tmp_path}
    variants = ["xfm", "no_stop_gradient", "neither", "no_guidance+train.lr=0.001", "pixels", "no_mlm"]
    study = Study("dose", "smoke+stage1", variants, seeds=[0, 1], **changed)
    configs = {f"{v}/{seed}": study.spec.config(v, seed) for v in variants for seed in (0, 1)}
    told = {f"{v}/{seed}": f"smoke {v}, seed {seed}" for v in variants for seed in (0, 1)}
    own = {"smoke/seed0": get("smoke"), "mine+now/seed0": get("smoke").replace({"name": "mine+now"})}
    assert readable(configs) == told and readable(own) == {folder: folder for folder in own}
    twice = {"x": configs["xfm/0"], "again": configs["xfm/0"]}
    assert all(name.endswith(f" ({key})") for key, name in readable(twice).items())
    alone = readable({"a": configs["neither/1"]})["a"]  # is told by all that it changes
    assert alone.startswith("smoke neither+stage1+") and "data.pairs=6" in alone
