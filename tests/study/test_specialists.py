"""Runs that variants share or lack: specialists, asked of their field alone; teachers, trained before their pupils."""

import pytest

from xfm import Run, recipes
from xfm.config import ConfigError
from xfm.recipes import prior_runs
from xfm.study import runner
from xfm.tasks import STANDARD, answerable

from .conftest import TINY, tiny

LEFT_OUT = {
    "bert_like": {"recognition", "retrieval", "matching", "naming", "grounding", "alignment", "imlm", "styles"},
    "beit_like": {*STANDARD} - {"recognition"},
    "clip_like": {"mlm", "grounding", "alignment", "imlm"},
    "fused": set(),
}


def test_a_specialist_is_asked_of_its_field_and_whom_no_picture_is_shown_of_texts_alone():
    for name, left_out in LEFT_OUT.items():
        assert {*STANDARD} - {*answerable(recipes.get(f"smoke+{name}"))} == left_out
    unseen = recipes.get("smoke").replace(dict.fromkeys(("data.pairs", "data.regions", "data.images"), 0))
    assert answerable(unseen) == answerable(recipes.get("smoke+bert_like"))


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
def test_a_seeds_teacher_is_trained_once_and_before_its_pupils(tmp_path):
    study = tiny("taught", tmp_path, variants=ARMS, seeds=[3, 4])
    plan = study.plan()
    assert plan.first == {"warm start": 2, "teacher": 2}
    assert "before them 2 warm starts and 2 teachers, each shared by the arms of its seed" in str(plan)
    study.run()
    assert not len(study.missing())
    for seed in study.spec.seeds:
        configs = [study.spec.config(variant, seed) for variant in ("clip", "clip, heavier")]
        teachers = {Run.of(prior_runs.teacher(config), study.runs).folder for config in configs}
        assert len(teachers) == 1 and (teachers.pop() / "DONE").exists()
    assert study.plan().first == {}


def test_pupils_wait_for_their_teacher_and_all_for_the_warm_start(tmp_path):
    study = tiny("waiting", tmp_path, variants=ARMS)
    todo = [(variant, 3) for variant in ARMS]
    (start,), run_of = runner._planned(study.spec, study.runs, todo, tmp_path, {})
    plain, teacher = start.then
    assert (start.name, teacher.name) == ("warm start of seed 3", "teacher of seed 3") and run_of[plain] == ("xfm", 3)
    assert [run_of[job] for job in teacher.then] == [("clip", 3), ("clip, heavier", 3)]
    assert len({job.progress_file for job in runner._with_later([start])}) == 5


def test_what_waits_for_a_teacher_that_failed_is_named(tmp_path, monkeypatch):
    measure = runner.measure

    def broken(config: str, *more: object):
        if ".teacher-" in config:
            raise ValueError("no luck")
        return measure(config, *more)

    monkeypatch.setattr(runner, "measure", broken)
    study = tiny("untaught", tmp_path, variants=ARMS)
    with pytest.warns(UserWarning, match="2 of 3 runs failed twice"):
        study.run()
    missing = study.missing()
    assert missing["variant"].tolist() == ["clip", "clip, heavier"]
    assert all("teacher of seed 3 failed: ValueError: no luck" in why for why in missing["why"])
