"""A plan: its arithmetic and detectable effects. What is measured is known before a training; teachers, specialists."""

import itertools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study.conftest import KNOWN, PRIMARY, TINY, measurements, tiny

from xfm import recipes
from xfm.config import ConfigError
from xfm.objectives import build
from xfm.recipes import prior_runs
from xfm.study import Study, plan, runner, worker
from xfm.study.measurements import Measurements
from xfm.study.power import detectable_effects
from xfm.study.statistics import detectable
from xfm.study.study_metrics import Measured, Metric, evaluated
from xfm.tasks import STANDARD, TRAINABLE, answerable
from xfm.tasks.finetuning.config import recipe
from xfm.tasks.finetuning.finetune import train_to_end
from xfm.train import Run

LOSS = PRIMARY[0]
SIZE = 16  # bytes of a weight: itself, and again with two moments


def frame(differences, variant: str = "no_stop_gradient") -> pd.DataFrame:
    """The loss of xfm's run and of the variant's, of each seed; nan: of one that failed."""
    rows = [(v, i, 4.0 + 0.01 * i + d) for i, x in enumerate(differences) for v, d in (("xfm", 0.0), (variant, x))]
    return pd.DataFrame(rows, columns=["variant", "seed", "value"]).assign(metric=LOSS, family="language")


def pilot(pairs: pd.DataFrame, of=None) -> Measurements:
    labels = {v: {"train.lr": 1e-3 + i * 1e-4} for i, v in enumerate(pairs["variant"].unique()) if len(v) == 1}
    of = of or (spec(variants={"xfm": "xfm", "no_stop_gradient": "no_stop_gradient"} | labels))
    return measurements(of, pairs.drop_duplicates(["variant", "seed"]), KNOWN)


def spec(**other):
    settings = {"primary": PRIMARY[:2], "seeds": range(100, 112), "variants": ["xfm", "no_stop_gradient"]}
    return Study("planned", "smoke", **settings | other).spec  # type: ignore[arg-type]


def test_the_detectable_effect_is_that_of_the_test_at_its_level_and_the_spread_of_own_pairs_or_lent():
    def found(asked, metric=LOSS, **pilots):
        return detectable_effects(asked, pilots).query("metric == @metric").iloc[0]

    differences, one = [0.1, 0.3, 0.2, 0.6], {"before": pilot(frame([0.1]))}
    plain = found(spec(), before=pilot(frame(differences)))
    sd, size = np.std(differences, ddof=1), detectable(12, 0.05 / 2, "sign flips")
    assert (plain["alpha"], plain["pairs"], plain["from"]) == (0.025, 4, "before")
    assert (plain["sd"], plain["detectable"]) == pytest.approx((sd, size * sd))
    assert "takes two pairs" in found(spec(), **one)["note"] and math.isnan(found(spec(), **one)["detectable"])
    assert "no exploration has a pair" in found(spec(), PRIMARY[1], **one)["note"]
    a, b = frame([1.0, 2.0, 4.0], variant="a"), frame([0.0, 5.0], variant="b")
    pooled = math.sqrt((2 * np.var([1, 2, 4], ddof=1) + np.var([0, 5], ddof=1)) / 3)
    assert found(spec(), before=pilot(pd.concat([a, b])))[["sd", "pairs"]].tolist() == [pytest.approx(pooled), 5]
    many = frame([0.0, 2.0, 4.0, math.nan])  # the last does not count; the exploration with the most pairs does
    most = found(spec(), few=pilot(frame([0.0, 1.0])), many=pilot(many))
    assert (most["from"], most["pairs"], most["sd"]) == ("many", 3, pytest.approx(2.0))
    long = spec(primary=[LOSS])
    short = pilot(frame([1.0, 3.0, 2.0, 6.0, 4.0]), of=spec(changes={"train.lr": 1e-5}))
    same = found(long, short=short, same=pilot(frame(differences), of=long))
    assert (same["from"], same["pairs"], same["note"]) == ("same", 4, "")
    lent = found(long, short=short)
    assert (lent["from"], lent["pairs"]) == ("short", 5) and "of other configs" in lent["note"]


@pytest.fixture
def timed(monkeypatch):
    """A step takes .5 s, of a warm start .25 s; measuring 30 s. What was timed."""
    asked = []

    def steps(config, root, steps):
        asked.append(config)
        return [{"seconds": 0.25 if config.data.pairs == 0 else 0.5}] * (steps - 1), None

    rows = [Measured(KNOWN[metric].family, metric, 1.0, 9, KNOWN[metric]) for metric in PRIMARY]
    monkeypatch.setattr(plan, "timed_steps", steps)
    monkeypatch.setattr(worker, "measure_untrained", lambda *_: worker.Untrained(rows, 30.0))
    return asked


def test_hours_and_disk_are_the_sums_of_what_is_to_do(tmp_path, timed):
    study = tiny("sums", tmp_path, seeds=range(5), variants=["xfm", "no_stop_gradient", "no_guidance"])
    made = study.plan(workers=2)
    wanted = [["xfm", 0, 5, 5, 5, 4], ["no_stop_gradient", 3, 5, 5, 5, 4], ["no_guidance", 1, 5, 5, 5, 4]]
    columns = ["variant", "fields", "runs", "to_do", "to_train", "steps"]
    assert made.arms[columns].to_numpy().tolist() == wanted
    assert made.first == {"warm start": 5}, "one a seed, of two steps"
    seconds = {"training": 15 * 4 * 0.5, "warm starts": 5 * 2 * 0.25, "measuring": (15 + 5) * 30, "fine-tuning": 0}
    assert made.seconds == seconds and made.hours == pytest.approx((30 + 2.5 + 600) / 2 / 3600)
    joint = study.spec.configs["xfm"]
    sizes = [sum(p.numel() for p in build(config).parameters()) for config in (joint, prior_runs.stage1(joint))]
    assert made.disk == 15 * (SIZE + 4) * sizes[0] + 5 * SIZE * sizes[1]
    assert len(timed) == 4, "of the arms three, as another network costs a pass, and the warm start"
    assert not study.table.exists() and not study.runs.exists(), "nothing is trained"
    taught = tiny("taught", tmp_path, variants=["xfm", "guide_clip"], seeds=[3, 4]).plan()
    assert taught.first == {"warm start": 2, "teacher": 2}
    given = {"variants": ["xfm", "no_stop_gradient", "no_guidance", "neither", "pixels"], "primary": PRIMARY[:2]}
    text = str(tiny("few", tmp_path, **given, seeds=range(6), confirmatory=True).plan())
    assert "smallest p is 0.03125, 0.25 after Holm's correction: nothing can be confirmed" in text


@pytest.mark.full
def test_what_is_trained_costs_its_measuring_and_finished_runs_tell_the_time(measured, tmp_path, timed):
    again = tiny("again", tmp_path, variants=["xfm", "no_guidance"], seeds=[3, 4], runs=measured.runs)
    made = again.plan()
    assert made.arms["to_do"].tolist() == [2, 2] and made.arms["to_train"].tolist() == [1, 1]
    assert made.first == {"warm start": 1} and made.seconds["measuring"] == (4 + 2) * 30
    shutil.copytree(measured.folder.parents[1], tmp_path / "copy", ignore=shutil.ignore_patterns("untrained.json"))
    grown = tiny("measured", tmp_path / "copy", variants=[*measured.spec.variants], seeds=[3, 4])
    seconds = measured.results().drop_duplicates(["variant", "seed"]).set_index("variant")["seconds"]
    timed.clear()
    made = grown.plan()
    assert made.arms.set_index("variant")["step_seconds"].to_dict() == pytest.approx((seconds / 4).to_dict())
    assert len(timed) == 1, "the warm start of the new seed"


def test_steps_are_timed_in_a_folder_that_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "_STEPS", 3)
    monkeypatch.setattr(plan.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    study, pace = tiny("real", tmp_path), plan._Pace()
    first = pace(study.spec.configs["xfm"])
    assert first > 0 and pace(study.spec.config("xfm", 9)) == first and len(pace) == 1
    assert not [*(tmp_path / "temporary").iterdir()] and not Path(study.runs).exists()


ROWS = [
    Measured("vision", "acc", 0.01, 400, Metric("higher", "%", 0.01, "chance")),
    Measured("vision", "other", 0.5, 400, Metric("higher", "%")),
    Measured("language", "loss", 7.0, 10, Metric("lower", "nats", 6.9, "unigram")),
]


def test_the_metrics_are_those_of_trained_runs(measured, monkeypatch):
    monkeypatch.setattr(worker, "train_to_end", None)  # nothing is to be trained
    config, results = worker.reference_config(measured.spec), measured.results()
    assert config == measured.spec.config("xfm", 3)
    found = worker.measure_untrained(config.to_json(), measured.spec.asks, "test")
    for variant in measured.spec.variants:  # no_guidance's target is a frozen network's
        own = results[results["variant"] == variant].set_index("metric")
        assert found.families == own["family"].to_dict()
        assert {row.metric: row.n for row in found.rows} == own["n"].to_dict()
    after, before = measured.measurements.metrics, {row.metric: row.known for row in found.rows}
    of_each_run = {key for key, known in after.items() if known.baseline_name == "differs between runs"}
    assert of_each_run == {"validation/pairs/mim", "validation/images/mim"}, "a constant, for each run's own targets"
    for key, known in after.items():
        name = "" if key in of_each_run else known.baseline_name
        assert before[key][:4] == (known.better, known.unit, pytest.approx(known.baseline), name)
    assert next(row.value for row in found.rows if row.metric == "naming, accuracy") < 0.05


@pytest.mark.full
@pytest.mark.parametrize("split", ["test", "validation"])
def test_those_of_a_fine_tuning_are_known_without_one(measured, tmp_path, monkeypatch, split):
    names, run = ["grounding", "concept"], Run.of(measured.spec.config("xfm", 3), measured.runs)
    for name, size in itertools.product(names, ("tested", "baseline_items")):
        monkeypatch.setattr(TRAINABLE[name], size, 40)
    spec = tiny("tuned", tmp_path, tasks=[f"finetune:{name}" for name in names], split=split).spec
    assert worker.startable_of(spec.configs["xfm"], spec.asks) == names
    tuned = [train_to_end(recipe(task, run.folder, steps=2, split=split), tmp_path).results() for task in names]
    found = worker.measure_untrained(spec.config("xfm", 3).to_json(), spec.asks, split)
    rows = [row for row in found.rows if not row.metric.startswith("validation/")]
    both = (rows, evaluated([*itertools.chain(*tuned)]))
    told = [[(r.family, r.metric, r.n, *r.known[:2], r.known.baseline_name) for r in of] for of in both]
    assert told[0] == told[1]
    assert any("held-out style" in row.metric for row in rows) == (split == "test"), "which an exploration leaves alone"


def test_a_wrong_primary_is_refused_untrained_and_what_is_asked_otherwise_is_measured_again(tmp_path, monkeypatch):
    counted = []

    def measure(config, tasks, split):
        counted.append((json.loads(config)["seed"], tasks, split))
        return worker.Untrained(ROWS, 12.0)

    monkeypatch.setattr(worker, "measure_untrained", measure)
    monkeypatch.setattr(runner, "_outcomes", None)  # nothing is to be trained
    both = "primary = 'other'.*'acc' is of vision too"
    for primary, said in ((["ac"], r"primary = 'ac'.*did you mean 'acc'\?"), (["acc", "other"], both)):
        for act in (Study.run, Study.plan):
            with pytest.raises(ConfigError, match=said):
                act(tiny("typo", tmp_path, primary=primary))
    study = tiny("s", tmp_path)
    study.measurable()
    tiny("s", tmp_path, seeds=[3, 4]).measurable()
    assert counted == [(3, study.spec.asks, "test")] * 2, "each study once; an exploration may grow"
    other = {"changes": TINY | {"data.texts": 2}}
    for change in ({"tasks": ["naming", "mlm"]}, {"split": "validation"}, other):
        tiny("s", tmp_path, **change).measurable()
    monkeypatch.setattr(worker.code_pin, "package_files", lambda: {"flow.py": "another"})
    tiny("s", tmp_path, **other).measurable()
    assert len(counted) == 6
    (study.folder / "untrained.json").write_text('{"of": []')
    assert tiny("s", tmp_path).measurable()["metric"].tolist() == ["acc", "other", "loss"] and len(counted) == 7


@pytest.mark.parametrize(("name", "left_out"), [
    ("bert_like", {*STANDARD} - {"mlm", "lexnames", "pairs"}), ("beit_like", {*STANDARD} - {"recognition"}),
    ("clip_like", {"mlm", "grounding", "alignment", "imlm"}), ("fused", set()),
])  # fmt: skip
def test_a_specialist_is_asked_of_its_field(name, left_out):
    assert {*STANDARD} - {*answerable(recipes.get(f"smoke+{name}"))} == left_out


@pytest.mark.full
def test_a_study_asks_every_variant_what_it_can(tmp_path):
    """Of two specialists beside X-FM; what no variant can be asked is refused before a training."""
    alone = {name: {"specialist": name, "init_from": ""} for name in ("bert_like", "clip_like")}
    sizes = {name: TINY[name] for name in TINY if not name.startswith("objectives")}
    study = tiny("general", tmp_path, variants={"xfm": {}, **alone}, changes=sizes, tasks=["mlm", "naming"])
    words = {"variants": {"words": alone["bert_like"]}, "changes": {}, "tasks": ["mlm", "grounding"]}
    with pytest.raises(ConfigError, match=r"tasks = 'grounding': no variant can answer it \(words\)"):
        tiny("words", tmp_path, **words).run()
    assert not study.runs.exists()
    study.run()
    asked = {variant: {*rows["metric"]} for variant, rows in study.results().groupby("variant")}
    language, naming = "language, accuracy", "naming, accuracy"
    assert asked["xfm"] >= {language, naming} and not study.measurements.failed
    assert language in asked["bert_like"] - asked["clip_like"] and naming in asked["clip_like"] - asked["bert_like"]


ARMS = {"xfm": "xfm", "clip": "guide_clip", "clip, heavier": "guide_clip+objectives.mim.weight=2.0"}


@pytest.mark.full
def test_pupils_wait_for_their_teacher_and_one_that_failed_is_named(tmp_path, monkeypatch):
    study = tiny("waiting", tmp_path, variants=ARMS)
    todo = [(variant, 3) for variant in ARMS]
    (start,), run_of = runner._planned(study.spec, study.runs, todo, tmp_path, {})
    plain, teacher = start.then
    assert (start.name, teacher.name) == ("warm start of seed 3", "teacher of seed 3") and run_of[plain] == ("xfm", 3)
    assert [run_of[job] for job in teacher.then] == [("clip", 3), ("clip, heavier", 3)]
    measure = runner.measure
    fails = lambda config, *more: 1 / 0 if ".teacher-" in config else measure(config, *more)  # noqa: E731
    monkeypatch.setattr(runner, "measure", fails)
    study = tiny("untaught", tmp_path, variants=ARMS)
    with pytest.warns(UserWarning, match="2 of 3 runs failed twice"):
        study.run()
    assert study.missing()["variant"].tolist() == ["clip", "clip, heavier"]
    assert all("teacher of seed 3 failed: ZeroDivisionError" in why for why in study.missing()["why"])
