"""What is measured is known before a training; runs that variants share or lack: specialists, teachers."""

import itertools
import json

import pytest
from study.conftest import TINY, tiny

from xfm import recipes
from xfm.config import ConfigError
from xfm.study import Study, runner, worker
from xfm.study.study_metrics import Measured, Metric, evaluated
from xfm.tasks import STANDARD, TRAINABLE, answerable
from xfm.tasks.finetuning.config import recipe
from xfm.tasks.finetuning.finetune import train_to_end

ROWS = [
    Measured("vision", "acc", 0.01, 400, Metric("higher", "%", 0.01, "chance")),
    Measured("vision", "other", 0.5, 400, Metric("higher", "%")),
    Measured("language", "loss", 7.0, 10, Metric("lower", "nats", 6.9, "unigram")),
]


def refuse(*_):
    raise AssertionError("nothing is to be trained")


@pytest.fixture
def counted(monkeypatch):
    """How often is measured, and of what; nothing is trained."""
    calls = []

    def measure(config, tasks, split):
        calls.append((json.loads(config)["seed"], tasks, split))
        return worker.Untrained(ROWS, 12.0)

    monkeypatch.setattr(worker, "measure_untrained", measure)
    monkeypatch.setattr(runner, "_outcomes", refuse)
    return calls


def test_the_metrics_are_those_of_trained_runs(measured, monkeypatch):
    monkeypatch.setattr(worker, "train_to_end", refuse)
    config, results = worker.reference_config(measured.spec), measured.results()
    assert config == measured.spec.config("xfm", 3)
    found = worker.measure_untrained(config.to_json(), measured.spec.asks, "test")
    for variant in measured.spec.variants:  # no_guidance's target is a frozen network's
        own = results[results["variant"] == variant].set_index("metric")
        assert found.families == own["family"].to_dict()
        assert {row.metric: row.n for row in found.rows} == own["n"].to_dict()
    after, before = measured.metrics(), {row.metric: row.known for row in found.rows}
    of_each_run = {key for key, known in after.items() if known.baseline_name == "differs between runs"}
    assert of_each_run == {"validation/pairs/mim", "validation/images/mim"}, "a constant, for each run's own targets"
    for key, known in after.items():
        name = "" if key in of_each_run else known.baseline_name
        assert before[key][:4] == (known.better, known.unit, pytest.approx(known.baseline), name)
    (by_chance,) = (row.value for row in found.rows if row.metric == "naming, accuracy")
    assert by_chance < 0.05 and found.seconds > 0


@pytest.mark.full
@pytest.mark.parametrize("split", ["test", "validation"])
def test_those_of_a_fine_tuning_are_known_without_one(measured, tmp_path, monkeypatch, split):
    names, run = ["grounding", "concept"], measured.run_of("xfm", 3)
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


def test_a_wrong_primary_is_refused_before_a_training_starts(tmp_path, counted):
    for primary, said in ((["ac"], r"primary = 'ac'.*did you mean 'acc'\? there are acc; other; loss"),
                          (["acc", "other"], "primary = 'other'.*'acc' is of vision too")):  # fmt: skip
        for act in (Study.run, Study.plan):
            with pytest.raises(ConfigError, match=said):
                act(tiny("typo", tmp_path, primary=primary))
    assert len(counted) == 1, "measured once"


def test_it_is_measured_again_for_other_tasks_another_config_or_other_code(tmp_path, counted, monkeypatch):
    study = tiny("s", tmp_path)
    study.measurable()
    assert counted == [(3, study.spec.asks, "test")]
    tiny("s", tmp_path, seeds=[3, 4]).measurable()
    assert len(counted) == 1, "an exploration may grow"
    tiny("s", tmp_path, tasks=["naming", "mlm"]).measurable()
    tiny("s", tmp_path, split="validation").measurable()
    tiny("s", tmp_path, changes=TINY | {"data.texts": 2}).measurable()
    assert len(counted) == 4
    monkeypatch.setattr(worker.code_pin, "package_files", lambda: {"flow.py": "another"})
    tiny("s", tmp_path, changes=TINY | {"data.texts": 2}).measurable()
    assert len(counted) == 5
    (study.folder / "untrained.json").write_text('{"of": []')
    assert tiny("s", tmp_path).measurable()["metric"].tolist() == ["acc", "other", "loss"] and len(counted) == 6


LEFT_OUT = {
    "bert_like": {"recognition", "retrieval", "matching", "naming", "grounding", "alignment", "imlm", "styles"},
    "beit_like": {*STANDARD} - {"recognition"},
    "clip_like": {"mlm", "grounding", "alignment", "imlm"},
    "fused": set(),
}


def test_a_specialist_is_asked_of_its_field():
    for name, left_out in LEFT_OUT.items():
        assert {*STANDARD} - {*answerable(recipes.get(f"smoke+{name}"))} == left_out


@pytest.mark.full
def test_a_study_asks_every_variant_what_it_can(tmp_path):
    """Of two specialists beside X-FM; what no variant can be asked is refused before a training."""
    alone = {name: {"specialist": name, "init_from": ""} for name in ("bert_like", "clip_like")}
    sizes = {name: TINY[name] for name in TINY if not name.startswith("objectives")}
    tasks = ["mlm", "naming"]
    study = tiny("general", tmp_path, variants={"xfm": {}, **alone}, changes=sizes, tasks=tasks)
    words = tiny("words", tmp_path, variants={"words": alone["bert_like"]}, changes={}, tasks=["mlm", "grounding"])
    with pytest.raises(ConfigError, match=r"tasks = 'grounding': no variant can answer it \(words\)"):
        words.run()
    assert not study.runs.exists()
    study.run()
    asked = {variant: {*rows["metric"]} for variant, rows in study.results().groupby("variant")}
    both = {"language, accuracy", "naming, accuracy"}
    assert {variant: both & metrics for variant, metrics in asked.items()} == {
        "xfm": both, "bert_like": {"language, accuracy"}, "clip_like": {"naming, accuracy"}}  # fmt: skip
    assert not study.failed()


HEAVY = {"objectives.mim.weight": 2.0}
ARMS = {"xfm": "xfm", "clip": "guide_clip", "clip, heavier": {**recipes.ablations()["guide_clip"], **HEAVY}}


@pytest.mark.full
def test_pupils_wait_for_their_teacher_and_one_that_failed_is_named(tmp_path, monkeypatch):
    study = tiny("waiting", tmp_path, variants=ARMS)
    todo = [(variant, 3) for variant in ARMS]
    (start,), run_of = runner._planned(study.spec, study.runs, todo, tmp_path, {})
    plain, teacher = start.then
    assert (start.name, teacher.name) == ("warm start of seed 3", "teacher of seed 3") and run_of[plain] == ("xfm", 3)
    assert [run_of[job] for job in teacher.then] == [("clip", 3), ("clip, heavier", 3)]
    measure = runner.measure

    def broken(config: str, *more: object):
        if ".teacher-" in config:
            raise ValueError("no luck")
        return measure(config, *more)

    monkeypatch.setattr(runner, "measure", broken)
    study = tiny("untaught", tmp_path, variants=ARMS)
    with pytest.warns(UserWarning, match="2 of 3 runs failed twice"):
        study.run()
    assert study.missing()["variant"].tolist() == ["clip", "clip, heavier"]
    assert all("teacher of seed 3 failed: ValueError: no luck" in why for why in study.missing()["why"])
