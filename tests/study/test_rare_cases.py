"""What a study says, and does, where things are not as usual: of metrics, seeds, labels, and of what users pass."""

from __future__ import annotations

import dataclasses
import html

import pytest
from study.conftest import KNOWN, METRICS, PRIMARY, made_up, tiny

from xfm.base.numbers import number
from xfm.config import ConfigError
from xfm.report import sentences
from xfm.study import Study, admission, results_csv, runner, store
from xfm.study.spec import Spec
from xfm.study.study_metrics import SHUT, Measured, Metric
from xfm.study.variants import changes

LOSS, NAMING = PRIMARY[0], PRIMARY[2]


def test_a_primary_metric_of_which_no_direction_is_better_has_no_front_and_the_page_is_made(tmp_path, monkeypatch):
    """MIM's loss is against each run's own targets."""
    mim = "validation/images/mim"
    monkeypatch.setitem(METRICS, mim, ("vision", 0.5, 0.02))
    monkeypatch.setitem(KNOWN, mim, Metric("lower", "MSE", 1.0, "constant"))
    asked = {"primary": [LOSS, mim], "split": "validation", "seeds": range(4), "root": tmp_path, "runs": tmp_path}
    study = made_up(Study("own", variants=["xfm", "no_mim"], **asked), {"no_mim": 1.0})
    text = study.report().read_text("utf-8")
    assert mim in text and "Pareto front" not in text and not sentences.front(study.measurements)
    of_loss, of_mim = admission.admissions(dataclasses.replace(study.spec, explored=("own",)), tmp_path)
    assert of_loss.admitted and of_mim.why == "has no baseline, or no better direction"


def test_of_metrics_at_the_baseline_no_effect_is_counted_and_it_is_said_how_many(tmp_path, monkeypatch):
    monkeypatch.setitem(KNOWN, NAMING, Metric("higher", "%", 0.9, "more than any has"))
    shift = {"no_stop_gradient": -3.0, "no_guidance": 0.0}
    effects = made_up(Study("floor", variants=["xfm", *shift], root=tmp_path, runs=tmp_path), shift, 0.1).effects()
    judged = effects[effects["better"] != ""]
    beyond = int(((judged["low"] > 0) | (judged["high"] < 0)).sum())
    first, *_, last = sentences.study_abstract(effects, 30)
    shown = int(judged["verdict"].isin(["better", "worse"]).sum())
    assert f"{shown} of {len(judged)} effects" in first and shown == beyond - 1
    assert last == "1 more are on metrics whose baseline no variant beats: none of them is claimed."


def test_what_is_better_on_all_metrics_is_named(invented):
    study = invented({"no_mim": 0.0, "no_itc": 0.0}, noise=0.01, primary=(NAMING, "grounding, acc@0.5"))
    rows = study.results()
    worse = rows["variant"] == "xfm"
    rows.loc[worse, "value"] -= 0.3
    blocks = [
        results_csv.block(
            study.spec,
            v,
            s,
            [Measured(r.family, r.metric, r.value, r.n, KNOWN[r.metric]) for r in own.itertuples()],
            1.0,
        )
        for (v, s), own in rows.groupby(["variant", "seed"])
    ]
    study.table.unlink()
    results_csv.append(study.table, "".join(blocks))
    _, better = sentences.front(study.measurements)
    assert better == "Better on all of them, by intervals: no_mim, no_itc (uncorrected)."


def test_a_failed_runs_note_is_in_the_unit_of_the_effect(invented):
    study = invented({"no_stop_gradient": 0.5}, lost=(("no_stop_gradient", 3),))
    store.write_failed(
        study.folder / "failed.json", study.spec, {("no_stop_gradient", 3): "RuntimeError: out of memory"}
    )
    row = study.effects().set_index("metric").loc[NAMING]
    pairs = study.pairs().query("metric == @NAMING and not failed")["difference"]
    assert row["note"].endswith(f"without it the difference is {number(pairs.mean(), '%', sign=True)}")


def test_the_front_is_beside_the_reference_whatever_else_effects_are_beside(invented):
    study = invented({"no_stop_gradient": 0.1, "no_guidance": 0.3}, seeds=range(5))
    page = html.unescape(study.report(against="no_guidance").read_text("utf-8"))
    assert "Mean differences to xfm, 95" in page and "Mean difference to no_guidance with" in page


def test_a_study_that_was_never_run_has_a_page(tmp_path):
    study = Study("new", variants=["xfm"], seeds=[1], root=tmp_path / "deep" / "er", runs=tmp_path)
    assert "No pairs yet" in study.report().read_text("utf-8")


def test_what_a_specialist_is_not_asked_opens_no_gate(invented):
    study = invented({"clip_like": 3.0, "no_mim": 3.0}, gatekeeping=True)
    rows = study.table.read_text("utf-8").splitlines(keepends=True)
    study.table.write_text("".join(row for row in rows if not (row.startswith("clip_like,") and LOSS in row)))
    verdicts = study.effects().set_index(["variant", "metric"])["verdict"]
    assert ("clip_like", LOSS) not in verdicts and verdicts["clip_like", NAMING] == SHUT
    assert verdicts["no_mim", NAMING] in ("better", "worse")


def test_one_variant_alone_has_a_plan(tmp_path):
    study = tiny("one", tmp_path, variants=["xfm"], seeds=[1, 2, 3], primary=[NAMING])
    assert "comparison" not in str(study.plan()) and "1 arm x 3 seeds" in str(study.plan())


def test_more_workers_than_runs_take_as_long_as_the_runs(tmp_path):
    study = tiny("three", tmp_path, variants=["xfm"], seeds=[1, 2, 3])
    three, forty = (study.plan(workers=n) for n in (3, 40))
    for plan in (three, forty):
        assert sum(plan.seconds.values()) / plan.hours == pytest.approx(3 * 3600)


@pytest.mark.parametrize("confirmatory", [False, True])
def test_only_of_what_confirms_it_is_said_that_it_has_other_seeds(confirmatory):
    asked = Spec("second", "smoke", {"xfm": {}, "no_mim": changes("no_mim")}, tuple(range(10)), primary=(LOSS,),
                 explored=("first",), confirmatory=confirmatory)  # fmt: skip
    said = " ".join(sentences.design(asked))
    assert "chosen in first" in said and ("with other seeds" in said) is confirmatory


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


@pytest.mark.parametrize("given", ["holds", 5, [("holds",)], ["holds"], [("holds", "why", "more")], [5]])
def test_answers_that_are_no_pairs_are_refused(invented, given):
    study = invented({"no_mim": 0.5}, hypotheses=["It does."])
    with pytest.raises(ConfigError, match=r"hypotheses = .*: must be a list of pairs"):
        study.answer("Yes.", given)


def test_an_interaction_is_of_four_variants(invented):
    study = invented({"no_mim": 0.5, "no_itc": 0.2, "no_itm": 0.1})
    for given in (("xfm", "no_mim", "no_itm"), ("no_mim", "no_mim", "no_itm"), ("no_mim", "no_itc", "no_itc")):
        with pytest.raises(ConfigError, match="three variants other than xfm"):
            study.interaction(*given)


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


def test_labels_with_commas_are_no_grid_without_partners(tmp_path):
    two = {"xfm, short": {"train.steps": 8}, "xfm, long": {"train.steps": 9}}
    spec = Study("s", "smoke", two, seeds=range(4), primary=[LOSS], root=tmp_path).spec
    assert (spec.reference, spec.compared_with, spec.tests) == ("xfm, short", ("xfm, short",), 1)


def test_no_variant_is_called_as_a_column_of_the_table_by_field(tmp_path):
    with pytest.raises(ConfigError, match="variants: label = 'field': must be another label"):
        Study("s", "smoke", {"xfm": {}, "field": {"train.steps": 9}}, root=tmp_path)
