"""Effects of made-up studies, in tables, figures, sentences and pages; before a first pair; what specs say."""

import dataclasses
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from study.conftest import KNOWN, METRICS, PRIMARY, TINY, edited, made_up, tiny, without

from xfm.base.numbers import number
from xfm.config import ConfigError
from xfm.report import sentences
from xfm.study import Spec, Study, StudyError, grid, run_records, runner, store, worker
from xfm.study.statistics import gatekeeping
from xfm.study.study_metrics import FLOOR, SHUT, Measured
from xfm.study.worker import Outcome

SHIFT = {"no_stop_gradient": 0.7, "no_guidance": 0.0}
LOSS, NAMING = PRIMARY[0], PRIMARY[2]


def row(table, variant, metric):
    return table[(table["variant"] == variant) & (table["metric"] == metric)].iloc[0]


def test_a_planted_effect_is_found_and_stands_in_tables_and_figures_beside_its_baseline(invented):
    study = invented(SHIFT)
    table = study.effects()
    for metric in PRIMARY:
        found = row(table, "no_stop_gradient", metric)
        assert 0 < found["low"] <= 0.7 * METRICS[metric][2] <= found["high"] and found["p_holm"] <= 0.05
        assert row(table, "no_guidance", metric)["p_holm"] > 0.05
    values = study.results().query("metric == @NAMING").pivot(index="seed", columns="variant", values="value")
    unpaired = stats.ttest_ind(values["no_stop_gradient"], values["xfm"]).pvalue
    paired = stats.ttest_rel(values["no_stop_gradient"], values["xfm"])
    found = row(table, "no_stop_gradient", NAMING)
    assert paired.pvalue < 0.001 < 0.05 < unpaired, "pairing is what finds it"
    assert (found["low"], found["high"]) == pytest.approx(tuple(paired.confidence_interval(0.95)))
    assert table["metric"].drop_duplicates().tolist() == list(METRICS), "primary ones come first"
    first, other = table[table["role"] == "primary"], table[table["role"] == "secondary"]
    assert len(first) == 6 and first["p_holm"].min() == pytest.approx(min(6 * first["p"].min(), 1))
    assert len(other) == 2 and other["p_holm"].isna().all() and table["p_min"].unique() == [2 / 2**10]
    with pytest.raises(ConfigError, match="against = 'xmf'"):
        study.pairs("xmf")
    _, _, *lines = study.to_markdown("all").splitlines()
    assert [line.startswith("| **") for line in lines] == [True] * 6 + [False] * 2
    line = next(line for line in lines if "naming" in line and "no_stop" in line)
    assert f"| {100 * found['effect']:+.2f} " in line and "%, higher is better" in line and "1.00 chance" in line
    assert study.to_latex("all").isascii(), "pdflatex knows no Unicode minus"
    axes = study.figure().axes[2]
    lines = [line.get_xdata() for line in axes.lines]
    for variant in SHIFT:
        found = row(table, variant, NAMING)
        differences = study.pairs().query("metric == @NAMING and variant == @variant")["difference"]
        for drawn in (differences, found[["low", "high"]].to_numpy(float)):
            assert any(len(x) == len(drawn) and np.allclose(x, 100 * drawn) for x in lines)
    full = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    assert [line.get_markerfacecolor() != "white" for line in full] == [True, False]
    level = 4.05 - row(table, "no_stop_gradient", LOSS)["mean_against"]
    lines = [line.get_xdata() for line in study.figure("effects", LOSS).axes[0].lines]
    assert sum(len(x) == 2 and np.allclose(x, level) for x in lines) == len(SHIFT)
    assert any(np.allclose(line.get_xdata(), 4.05) for line in study.figure("seeds", LOSS).axes[0].lines)
    store.write_ngram(study.folder, {LOSS: 0.1})
    for worse, beaten_by in ((0, "n-gram"), (1, "baseline")):
        edited(study, lambda row, worse=worse: row | {LOSS: float(row[LOSS]) + worse})
        axes = next(axes for axes in study.figure().axes if axes.get_title(loc="left") == LOSS)
        assert [f"xfm: at or above {beaten_by}"] == [text.get_text() for text in axes.texts]


def test_a_table_is_the_callers_own_and_of_what_the_files_hold_now(invented):
    study = invented({"no_stop_gradient": 0.5})
    first, mine = study.effects(), study.effects()
    mine["effect"] = 0.0
    pd.testing.assert_frame_equal(study.effects(), first)
    assert "3 of 4 rows, six of" in study.effects()._repr_html_(), "of the primary metrics"
    odd = invented({"<b>": 0.7}, variants={"xfm": {}, "<b>": {"train.lr": 1e-3}}, root=study.folder).effects()
    assert "<b>" not in odd._repr_html_() and "&lt;b&gt;" in odd._repr_html_()
    without(study, "no_stop_gradient", seed=9)
    assert {*study.effects()["n"]} == {9}
    store.write_failed(study.folder, study.spec, {("no_stop_gradient", 9): "MemoryError"})
    assert {*study.effects()["n"]} == {10} and study.effects()["note"].str.contains("failed").all()
    store.write_metrics(study.folder, KNOWN | {LOSS: KNOWN[LOSS]._replace(better="higher")})
    assert study.effects().set_index("metric").loc[LOSS, "better"] == "higher" != first["better"].iloc[0]


def test_a_run_that_failed_counts_as_the_worst_of_every_metric(invented):
    study = invented(SHIFT, lost=(("xfm", 2), ("no_guidance", 2), ("no_guidance", 4), ("no_guidance", 5)))
    failed, why = [("xfm", 2), ("no_guidance", 2), ("no_guidance", 4)], "TrainingError: the loss is nan"
    store.write_failed(study.folder, study.spec, dict.fromkeys(failed, why))
    at = {"variant": "no_guidance", "seed": 3}
    edited(study, lambda r: r | {NAMING: math.nan} if "level" not in r and r.items() >= at.items() else r)
    assert study.missing()["why"].tolist() == [why] * 3 + ["not run yet"]
    pairs = study.pairs().query("variant == 'no_guidance'").set_index(["metric", "seed"])
    own = pairs.loc[LOSS]
    worst = max(study.results().query("metric == @LOSS")["value"].max(), KNOWN[LOSS].baseline)
    assert own.loc[4, "value"] == worst and own.loc[4, "failed"]
    assert own.loc[2, "difference"] == 0, "both runs of the seed failed: a tie"
    assert 5 not in own.index, "not run yet: no pair"
    assert pairs.loc[(NAMING, 3), ["value", "failed"]].tolist() == [KNOWN[NAMING].baseline, True], "is not finite"
    found = row(study.effects(), "no_guidance", LOSS)
    difference = number(own.loc[~own["failed"], "difference"].mean(), "nats", sign=True)
    assert found["note"].startswith("1 of 10 pairs missing; 2 with a failed run") and difference in found["note"]
    crosses = [line for line in study.figure("effects", LOSS).axes[0].lines if line.get_marker() == "x"]
    assert sum(len(line.get_xdata()) for line in crosses) == 3, "also xfm's, beside no_stop_gradient"


def test_effects_against_the_step_are_means_of_windows_probes_are_kept_short_and_a_torn_line_costs_nothing(invented):
    study = invented(SHIFT, seeds=range(3))
    for variant, seed in study.measurements.runs:
        rows = [{"step": 20 * (i + 1), "texts/mlm": 4.0 + seed + 0.1 * i * (variant != "xfm")} for i in range(7)]
        run_records.add_records(study.folder / run_records.CURVES, (variant, seed), rows)
    figure, path = study.figure("steps"), study.folder / "probes.csv"
    assert figure.axes[0].lines[0].get_xydata().ravel().tolist() == pytest.approx([100, 0.2, 140, 0.55])
    record = {"step": 5, "drift": {"language": 0.123456789, "vision": None}}
    run_records.add_records(path, ("xfm", 1), [{**record, "step": 0}, record])
    path.write_text(path.read_text() + "xfm,2,")
    run_records.add_records(path, ("xfm", 2), [record])
    first, second = study.probes()["xfm"]
    assert [r["step"] for r in first] == [0, 5] and second[0]["drift"] == {"language": 0.1235, "vision": None}


def test_a_sentence_says_the_way_the_size_and_the_interval(invented):
    study = invented(SHIFT)
    store.write_ngram(study.folder, {LOSS: 3.0})
    table = study.effects()
    found, none = row(table, "no_stop_gradient", NAMING), row(table, "no_guidance", NAMING)
    size, low, high = (f"{100 * found[name]:+.2f}" for name in ("effect", "low", "high"))
    start = f"no_stop_gradient is better than xfm on {NAMING}: {size} points (95 % CI {low} to {high}, 10 seeds); p = "
    assert sentences.effect(found).startswith(start)
    assert " is worse than xfm on " in sentences.effect(row(table, "no_stop_gradient", LOSS)), "a loss that grows"
    assert none["low"] < 0 < none["high"] and ": no difference shown, " in sentences.effect(none)
    said = sentences.conclusions(table)
    assert "reaches 3.0000 nats: no variant beats it" in said[0] and len(said) == 2 + 6 + 1


def test_the_page_has_everything_and_needs_no_other(invented):
    variants = {"xfm": "xfm", "<b>evil</b>": "no_stop_gradient"}
    study = invented({"<b>evil</b>": 0.7}, variants=variants, lost=(("xfm", 2),))
    page = study.report().read_text("utf-8")
    assert "<b>evil" not in page and "&lt;b&gt;evil" in page
    said = (*sentences.design(study.spec), *sentences.conclusions(study.effects()))
    assert all(text.replace("<", "&lt;").replace(">", "&gt;") in page for text in said)
    assert "xfm, seed 2: not run yet" in page and page.count("<svg") == 4
    assert not re.search(r"(src|href)=[\"'](?!#|https://(openmoji|creativecommons|wordnet|doi))", page)


@pytest.mark.full
def test_a_probed_study_shows_what_happened_inside(tmp_path):
    study = tiny("probed", tmp_path, changes=TINY | {"train.probe_every": 2})
    study.run()
    records = {variant: record for variant, (record,) in study.probes().items()}
    assert [[r["step"] for r in record] for record in records.values()] == [[0, 2, 4]] * 2
    held = [record[-1]["held_back"]["itm"] for record in records.values()]
    assert held[0] > 0 == held[1]
    page = study.report().read_text("utf-8")
    assert "What happened inside" in page and 'id="figure-probes"' in page


def test_a_study_is_loaded_from_within_its_folder_and_a_text_alone_is_a_list_of_one(invented, monkeypatch):
    study = invented({"no_mim": 0.5})
    monkeypatch.chdir(study.folder)
    for path in (".", "spec.json", "../invented", study.folder / "spec.json"):
        assert Study.load(path).spec == study.spec
    spec = Study("s", "smoke", ["xfm"], range(4), primary=LOSS, explored="first", hypotheses="It does.").spec
    assert (spec.primary, spec.explored, spec.hypotheses) == ((LOSS,), ("first",), ("It does.",))


SAID, VARIANTS = "no pairs yet", ("xfm", "no_mim")
GRID = grid({"data.texts": [4, 8], "train.lr": [1e-3, 3e-3]}, VARIANTS)


@pytest.mark.parametrize(("variants", "primary", "lost"), [
    (VARIANTS, PRIMARY, [("no_mim", seed) for seed in range(3)]),  # only the reference has run
    (VARIANTS, (), [("xfm", 0), ("no_mim", 1), ("xfm", 2), ("no_mim", 2)]),  # never at one seed
    (GRID, PRIMARY, [(variant, seed) for variant in GRID for seed in range(3) if variant.startswith("no_mim")]),
])  # fmt: skip
def test_tables_figures_and_pages_say_so_and_have_the_means_that_there_are(variants, primary, lost, tmp_path):
    study = Study("early", "smoke+stage1", variants, range(3), primary=primary, root=tmp_path, runs=tmp_path / "runs")
    unpaired = made_up(study, {}, lost=tuple(lost))
    assert not len(unpaired.pairs())
    effects = unpaired.effects()
    assert (effects["n"] == 0).all() and effects["note"].str.startswith(SAID).all()
    for text in (unpaired.to_markdown("all"), unpaired.to_latex("all")):
        assert SAID in text.splitlines()[0].lower()
    mean = unpaired.results().query("metric == 'naming, accuracy' and variant == 'xfm'")["value"].mean()
    assert mean != mean or f"{100 * mean:.1f}" in unpaired.to_markdown()
    for kind in ("effects", "seeds", "steps", "probes"):
        words = " ".join(text.get_text().replace("\n", " ") for text in unpaired.figure(kind).texts).lower()
        assert ("no probes yet" if kind == "probes" else SAID) in words
    with pytest.raises(ConfigError, match=r"margin = .*positive number"):
        unpaired.equivalence(PRIMARY[0], float("nan"))
    with pytest.raises(StudyError, match="No pairs yet"):
        unpaired.equivalence(PRIMARY[0], 0.1)
    assert all(path.stat().st_size for path in unpaired.save())
    page = (unpaired.folder / "report.html").read_text("utf-8")
    assert page.lower().count(SAID) >= 2 and " nan" not in page.lower()
    for row in unpaired.missing().itertuples():
        assert f"{row.variant}, seed {row.seed}: not run yet" in page


def test_a_plan_goes_to_json_and_back_and_its_hash_is_of_what_is_said():
    plan = {"gatekeeping": True, "margins": {NAMING: 0.02}, "detectable": {LOSS: 0.01}, "question": "Does it?",
            "admission": {LOSS: "no_mim"}, "hypotheses": ["Yes.", "No."], "would_change": "That."}  # fmt: skip
    spec, *others = (
        Study("s", "smoke", ["xfm", "no_mim"], range(4), primary=PRIMARY, **plan | other).spec
        for other in ({}, {"margins": {}}, {"question": "Did it?"}, {"gatekeeping": False}, {"hypotheses": []},
                      {"admission": {}}, {"detectable": {LOSS: 0.02}}, {"would_change": ""}, {"split": "validation"})
    )  # fmt: skip
    assert Spec.from_json(spec.to_json()) == spec and spec.hypotheses == ("Yes.", "No.")
    other = {"changes": {"train.lr": 1e-3}, "tasks": ("mlm",), "confirmatory": True, "explored": ("insulation",)}
    made = Study("s", "smoke", grid({"flow.text_gradient.{itm,imlm,bbp}": [0, 1]}), primary=PRIMARY[:1], **other).spec
    assert Spec.from_json(made.to_json()) == made
    assert Spec.from_json(json.dumps(dict(reversed(json.loads(spec.to_json()).items())))).hash == spec.hash
    assert len({spec.hash, dataclasses.replace(spec, seeds=(7, 8)).hash, *(each.hash for each in others)}) == 10


def test_what_the_results_are_of_is_no_longer_what_an_edited_spec_says(tmp_path, monkeypatch):
    """spec.json cannot be held against itself; results of another split are not mixed."""

    def measure(config: str, root, tasks, progress, split="test", step_0=False) -> Outcome:
        return Outcome([Measured("vision", "acc", json.loads(config)["seed"], 1)], 1.0, [], [], 0.0, rows * step_0)

    rows = [Measured("vision", "acc", 0.5, 1)]
    monkeypatch.setattr(runner, "measure", measure)
    monkeypatch.setattr(runner, "require_admitted", lambda *_: None)
    monkeypatch.setattr(worker, "measure_untrained", lambda *_: worker.Untrained(rows, 1.0))
    study = tiny("s", tmp_path, seeds=[3, 4], confirmatory=True, primary=["acc"])
    study.run()
    path = study.folder / "spec.json"
    before = path.read_text()
    for field, value in {"split": "validation", "tasks": ["naming", "mlm"], "margins": {"acc": 0.5}}.items():
        path.write_text(json.dumps(json.loads(before) | {field: value, "confirmatory": field != "split"}))
        with pytest.raises(ConfigError, match=r"spec.json: (split|tasks|hash) = .*: the results are of .* \(code.json"):
            Study.load(study.folder, study.runs)
        with pytest.raises(ConfigError):
            study.run()
    path.write_text(before)
    assert not len(Study.load(study.folder, study.runs).missing())
    explores = tiny("explores", tmp_path)
    explores.run()
    assert explores.levels().query("level == 'step 0'")[["variant", "value"]].to_numpy().tolist() == [["xfm", 0.5]]
    assert explores.effects()["step_0"].tolist() == [0.5] and len(explores.results()) == 2, "no rows of theirs"
    with pytest.raises(ConfigError, match=r"split = 'validation': the results are of 'test' .*make another study"):
        tiny("explores", tmp_path, split="validation")


@pytest.mark.full
def test_the_untrained_model_is_measured_as_the_trained_one(tmp_path):
    """What a training at no rate ends with is what it began with, warm start and all."""
    study = tiny("still", tmp_path, variants=["xfm"], changes=TINY | {"train.lr": 1e-12, "train.muon_lr": 0.0})
    study.run()
    began = study.levels().query("level == 'step 0'").set_index("metric")["value"]
    ended = study.results().set_index("metric")["value"]
    assert set(began.index) == set(ended.index) and len(ended) > 8
    assert began.to_dict() == pytest.approx(ended.to_dict(), rel=1e-4)


def test_gates_are_in_the_order_of_the_primary_metrics_and_behind_one_that_is_shut_nothing_is_tested(invented):
    """However large the difference there: 0.7 standard deviations here, where the first metric's is none."""
    study = invented({"no_stop_gradient": 0.7, "no_guidance": 0.7}, gatekeeping=True, margins={NAMING: 0.1})
    of_xfm = study.results().query("variant == 'xfm' and metric == @LOSS").set_index("seed")["value"]

    def alike(row):
        moved = {LOSS: of_xfm[row["seed"]] + 0.01 * (-1.0) ** row["seed"]}
        return row | moved if row["variant"] == "no_guidance" and "level" not in row else row

    edited(study, alike)
    first = study.effects().query("role == 'primary'")
    p, adjusted = (first[name].to_numpy().reshape(3, 2).T for name in ("p", "p_holm"))
    assert pytest.approx(gatekeeping(p)) == adjusted and study.spec.tests == 2
    assert ((first["p_holm"] <= 0.05) == first["verdict"].isin(["better", "worse"])).all()
    assert (((first["low"] > 0) | (first["high"] < 0)) & (first["p_holm"] > 0.05)).any(), "an interval is no verdict"
    verdicts = first.set_index(["variant", "metric"])["verdict"]
    assert [*verdicts["no_guidance"][[*PRIMARY]]] == ["no difference shown", SHUT, SHUT]
    assert verdicts["no_stop_gradient", NAMING] == "better"
    (said,) = [s for s in sentences.conclusions(study.effects()) if s.startswith(f"no_guidance − xfm on {NAMING}")]
    assert SHUT in said and "would be detected" not in said and SHUT in study.to_markdown()
    without(study, "no_stop_gradient", LOSS)  # as a specialist that is not asked it
    verdicts = study.effects().set_index(["variant", "metric"])["verdict"]
    assert ("no_stop_gradient", LOSS) not in verdicts and verdicts["no_stop_gradient", NAMING] == SHUT


def test_margins_are_tested_and_said(invented):
    study = invented(SHIFT, margins={NAMING: 0.01}, detectable={NAMING: 0.02})
    table = study.effects().set_index(["metric", "variant"])
    rows, alone = table.loc[NAMING], study.equivalence(NAMING).loc[table.loc[NAMING].index]
    assert rows["p_equivalent"].tolist() == pytest.approx(alone["p"].tolist())
    assert (rows["equivalent"] == "yes").tolist() == alone["equivalent"].tolist()
    assert (rows[["margin", "stated"]] == [0.01, 0.02]).all(axis=None) and {*table.loc[LOSS, "equivalent"]} == {""}
    said = [s for s in sentences.conclusions(study.effects()) if "TOST" in s]
    assert len(said) == 2 and sum(" Equivalent within ±1.00 points (TOST, p " in one for one in said) == 1


def test_at_the_floor_no_effect_is_claimed(invented, tmp_path):
    study = invented({"no_stop_gradient": 4.0, "xfm": 1.5}, variants=["xfm", "no_stop_gradient"])
    table = study.effects().set_index("metric")
    assert table.loc[LOSS, "p_holm"] <= 0.05 and table.loc[LOSS, "low"] > 0, "it would be an effect"
    assert table.loc[LOSS, "verdict"] == FLOOR and table.loc[NAMING, "verdict"] == "better"
    said = [s for s in sentences.conclusions(study.effects()) if FLOOR in s]
    assert said == [f"{LOSS}: {FLOOR} (unigram, 4.0500 nats), so no effect is claimed."]
    one = invented({"no_stop_gradient": -4.0, "xfm": 1.5}, variants=["xfm", "no_stop_gradient"], root=tmp_path / "one")
    assert one.effects().set_index("metric").loc[LOSS, "verdict"] == "better", "one variant has left it"
