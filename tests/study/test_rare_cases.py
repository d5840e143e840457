"""What a study says, and does, where things are not as usual: of metrics, seeds, labels, and of what users pass."""

from __future__ import annotations

import dataclasses

import pytest
from study.conftest import KNOWN, METRICS, PRIMARY, made_up, tiny, without

from xfm.config import ConfigError
from xfm.report import sentences
from xfm.study import Study, runner
from xfm.study.preregistration import admissions
from xfm.study.spec import Spec
from xfm.study.study_metrics import SHUT, Metric
from xfm.study.variants import changes

LOSS, NAMING = PRIMARY[0], PRIMARY[2]


def test_a_primary_metric_of_which_no_direction_is_better_has_no_front_and_the_page_is_made(tmp_path, monkeypatch):
    """MIM's loss is against each run's own targets."""
    mim = "validation/images/mim"
    monkeypatch.setitem(METRICS, mim, ("vision", 0.5, 0.02))
    monkeypatch.setitem(KNOWN, mim, Metric("lower", "MSE", 1.0, "constant", "vision", 400))
    asked = {"primary": [LOSS, mim], "split": "validation", "seeds": range(4), "root": tmp_path, "runs": tmp_path}
    study = made_up(Study("own", variants=["xfm", "no_mim"], **asked), {"no_mim": 1.0})
    text = study.report().read_text("utf-8")
    assert mim in text and "Pareto front" not in text and not sentences.front(study.measurements)
    of_loss, of_mim = admissions(dataclasses.replace(study.spec, explored=("own",)), tmp_path)
    assert of_loss.admitted and of_mim.why == "has no baseline, or no better direction"


def test_what_a_specialist_is_not_asked_opens_no_gate(invented):
    study = invented({"clip_like": 3.0, "no_mim": 3.0}, gatekeeping=True)
    without(study, "clip_like", LOSS)
    verdicts = study.effects().set_index(["variant", "metric"])["verdict"]
    assert ("clip_like", LOSS) not in verdicts and verdicts["clip_like", NAMING] == SHUT
    assert verdicts["no_mim", NAMING] in ("better", "worse")


def test_what_the_study_trained_before_a_try_that_failed_was_not_found(tmp_path, monkeypatch):
    study, measure, found = tiny("again", tmp_path, variants=["xfm"]), runner.measure, []

    def out_of_memory_once(config, root, tasks, *more):
        outcome = measure(config, root, tasks, *more)
        if tasks:
            found.append(outcome.found)
        if found == [False]:
            raise MemoryError("of measuring")
        return outcome

    monkeypatch.setattr(runner, "measure", out_of_memory_once)
    study.run()
    assert found == [False, True] and "Trained already" not in study.report().read_text("utf-8")


def test_a_study_is_loaded_from_within_its_folder(invented, monkeypatch):
    study = invented({"no_mim": 0.5})
    monkeypatch.chdir(study.folder)
    for path in (".", "spec.json", "../invented", study.folder / "spec.json"):
        assert Study.load(path).spec == study.spec


def test_a_text_alone_is_a_list_of_one(tmp_path):
    given = {"primary": LOSS, "explored": "first", "hypotheses": "It does.", "tasks": "naming"}
    spec = Study("s", "smoke", ["xfm", "no_mim"], seeds=range(4), root=tmp_path, **given).spec
    assert (spec.primary, spec.explored, spec.hypotheses) == ((LOSS,), ("first",), ("It does.",))
    assert spec == Spec.from_json(spec.to_json())
    with pytest.raises(ConfigError, match="hypotheses = 5: must be a list"):
        Study("s", "smoke", ["xfm"], root=tmp_path, hypotheses=5)


def test_a_value_may_begin_with_a_plus():
    assert changes("name=+clip_like") == {"name": "+clip_like"}
    assert changes("name=a+no_mim") == {"name": "a"} | changes("no_mim")
