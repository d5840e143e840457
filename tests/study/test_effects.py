"""Effects of made-up studies, whose truth is known; their tables, figures, sentences and page."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from study.conftest import KNOWN, METRICS, PRIMARY, TINY, edited, tiny, without

from xfm.base.numbers import number
from xfm.config import ConfigError
from xfm.report import sentences
from xfm.study import run_records, store

SHIFT = {"no_stop_gradient": 0.7, "no_guidance": 0.0}
LOSS, NAMING, GROUNDING = PRIMARY[0], PRIMARY[2], "grounding, acc@0.5"


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
    assert found["mean"] - found["mean_against"] == pytest.approx(found["effect"])
    assert table["metric"].drop_duplicates().tolist() == list(METRICS), "primary ones come first"
    assert table["role"].tolist() == ["primary"] * 6 + ["secondary"] * 2
    first = table[table["role"] == "primary"]
    assert first["p_holm"].min() == pytest.approx(min(6 * first["p"].min(), 1)), "Holm's is over them alone"
    assert table[table["role"] == "secondary"]["p_holm"].isna().all() and table["p_min"].unique() == [2 / 2**10]
    with pytest.raises(ConfigError, match="against = 'xmf'"):
        study.pairs("xmf")
    with pytest.raises(ConfigError, match=r"primary = 'naming, acuracy'.*did you mean 'naming, accuracy'"):
        invented(SHIFT, primary=["naming, acuracy"], root=study.folder).effects()
    _, _, *lines = study.to_markdown("all").splitlines()
    assert [line.startswith("| **") for line in lines] == [True] * 6 + [False] * 2
    assert len(study.to_markdown().splitlines()) == 2 + 6, "primary ones, where there are any"
    line = next(line for line in lines if "naming" in line and "no_stop" in line)
    assert f"| {100 * found['effect']:+.2f} " in line and "%, higher is better" in line and "1.00 chance" in line
    assert study.to_latex("all").isascii(), "pdflatex knows no Unicode minus"
    axes = study.figure().axes[2]
    lines = [line.get_xdata() for line in axes.lines]
    for variant in SHIFT:
        found = row(table, variant, NAMING)
        differences = study.pairs().query("metric == @NAMING and variant == @variant")["difference"]
        assert any(len(x) == 10 and np.allclose(x, 100 * differences) for x in lines)
        assert any(len(x) == 2 and np.allclose(x, [100 * found["low"], 100 * found["high"]]) for x in lines)
    full = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    assert [line.get_markerfacecolor() != "white" for line in full] == [True, False]
    found = row(table, "no_stop_gradient", LOSS)
    level = 4.05 - found["mean_against"]
    lines = [line.get_xdata() for line in study.figure("effects", LOSS).axes[0].lines]
    assert sum(len(x) == 2 and np.allclose(x, level) for x in lines) == len(SHIFT)
    assert any(np.allclose(line.get_xdata(), 4.05) for line in study.figure("seeds", LOSS).axes[0].lines)
    edited(study, lambda row: row | {LOSS: float(row[LOSS]) + 1.0})
    axes = next(axes for axes in study.figure().axes if axes.get_title(loc="left") == LOSS)
    assert "xfm: at or above baseline" in [text.get_text() for text in axes.texts]


def test_a_table_is_the_callers_own_and_of_what_the_files_hold_now(invented):
    study = invented({"no_stop_gradient": 0.5})
    first, mine = study.effects(), study.effects()
    mine["effect"] = 0.0
    pd.testing.assert_frame_equal(study.effects(), first)
    assert {*study.effects("no_stop_gradient")["variant"]} == {"xfm"} and {*study.effects()["variant"]} != {"xfm"}
    assert type(mine.query("n > 0")) is type(mine[["n"]]) is pd.DataFrame
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
    assert study.missing()["why"].tolist() == [why] * 3 + ["not run yet"]
    own = study.pairs().query("variant == 'no_guidance' and metric == @LOSS").set_index("seed")
    worst = max(study.results().query("metric == @LOSS")["value"].max(), KNOWN[LOSS].baseline)
    assert own.loc[4, "value"] == worst and own.loc[4, "failed"]
    assert own.loc[2, "difference"] == 0, "both runs of the seed failed: a tie"
    assert 5 not in own.index, "not run yet: no pair"
    found = row(study.effects(), "no_guidance", LOSS)
    difference = number(own.loc[~own["failed"], "difference"].mean(), "nats", sign=True)
    assert found["note"].startswith("1 of 10 pairs missing; 2 with a failed run") and difference in found["note"]
    assert found["effect"] > own.drop(index=[2, 4])["difference"].mean(), "failing is no advantage"
    crosses = [line for line in study.figure("effects", LOSS).axes[0].lines if line.get_marker() == "x"]
    assert sum(len(line.get_xdata()) for line in crosses) == 3, "also xfm's, beside no_stop_gradient"


def test_a_specialist_that_failed_has_no_more_metrics_than_its_other_runs(invented):
    """One that reads no picture cannot be the worst at naming; elsewhere it is no better than the worst baseline."""
    study = invented(SHIFT, lost=[("no_guidance", 4)])
    without(study, "no_guidance", NAMING)
    store.write_failed(study.folder, study.spec, {("no_guidance", 4): "killed"})
    edited(study, lambda row: row | ({GROUNDING: 0.0625} if row.get("level") and row["seed"] == 0 else {}))
    pairs = study.pairs().query("variant == 'no_guidance'")
    assert {*pairs["metric"]} == {*METRICS} - {NAMING} and (pairs.groupby("metric").size() == 10).all()
    assert KNOWN[GROUNDING].baseline is None
    worst = pairs.set_index(["metric", "seed"]).loc[(GROUNDING, 4), "value"]
    assert worst == 0.0625 < study.results().query("metric == @GROUNDING")["value"].min()


def test_a_value_that_is_not_finite_counts_as_the_worst(invented):
    study, at = invented(SHIFT), {"variant": "no_guidance", "seed": 3}
    edited(study, lambda r: r | {NAMING: math.nan} if "level" not in r and r.items() >= at.items() else r)
    table = study.effects()
    assert row(table, "no_guidance", NAMING)["note"].startswith("1 with a failed run, counted as the worst value")
    assert row(table, "no_guidance", NAMING)["n"] == 10 and row(table, "no_guidance", GROUNDING)["note"] == ""
    pair = study.pairs().query("variant == 'no_guidance' and metric == @NAMING and seed == 3").iloc[0]
    assert pair["failed"] and pair["value"] == KNOWN[NAMING].baseline


def test_the_verdict_on_a_primary_metric_is_that_of_holm(invented):
    table = invented({"no_stop_gradient": 0.25, "no_guidance": 0.3}, noise=0.2).effects()
    first, other = table[table["role"] == "primary"], table[table["role"] == "secondary"]
    shown = first["verdict"] != "no difference shown"
    assert (shown == (first["p_holm"] <= 0.05)).all() and set(first["judged_by"]) == {"Holm"}
    assert (((first["low"] > 0) | (first["high"] < 0)) & ~shown).any(), "an uncorrected interval alone is no verdict"
    assert set(other["judged_by"]) == {"interval"}


def test_effects_against_the_step_are_paired_means_of_windows(invented):
    study = invented(SHIFT, seeds=range(3))
    for variant, seed in study.measurements.runs:
        rows = [{"step": 20 * (i + 1), "texts/mlm": 4.0 + seed + 0.1 * i * (variant != "xfm")} for i in range(7)]
        run_records.add_records(study.folder / run_records.CURVES, (variant, seed), rows)
    figure = study.figure("steps")
    assert figure.axes[0].lines[0].get_xydata().ravel().tolist() == pytest.approx([100, 0.2, 140, 0.55])
    assert "Effects against the step" in study.report().read_text("utf-8")


def test_a_sentence_says_the_way_the_size_and_the_interval(invented, tmp_path):
    """Conclusions are of the primary metrics, after the baselines, and count the rest."""
    study = invented(SHIFT)
    store.write_ngram(study.folder, {LOSS: 3.0})
    table = study.effects()
    found = row(table, "no_stop_gradient", NAMING)
    size, low, high = (f"{100 * found[name]:+.2f}" for name in ("effect", "low", "high"))
    start = f"no_stop_gradient is better than xfm on {NAMING}: {size} points (95 % CI {low} to {high}, 10 seeds); p = "
    assert sentences.effect(found).startswith(start)
    assert " is worse than xfm on " in sentences.effect(row(table, "no_stop_gradient", LOSS)), "a loss that grows"
    found = row(table, "no_guidance", NAMING)
    assert found["low"] < 0 < found["high"] and ": no difference shown, " in sentences.effect(found)
    assert f" {100 * found['detectable']:.2f} points would be detected" in sentences.effect(found)
    said = sentences.conclusions(table)
    assert "(unigram) is 4.0500" in said[0] and "reaches 3.0000 nats: no variant beats it" in said[0]
    assert len(said) == 2 + 6 + 1 and " of 2 secondary effects " in said[-1]
    explored = sentences.conclusions(invented(SHIFT, root=tmp_path / "explored", primary=()).effects())
    assert all("no difference" not in one for one in explored), "of an exploration what stands out"


def test_the_page_has_everything_and_needs_no_other(invented):
    variants = {"xfm": "xfm", "<b>evil</b>": "no_stop_gradient"}
    study = invented({"<b>evil</b>": 0.7}, variants=variants, lost=(("xfm", 2),))
    page = study.report().read_text("utf-8")
    assert "<b>evil" not in page and "&lt;b&gt;evil" in page
    for text in (*sentences.design(study.spec), *sentences.conclusions(study.effects())):
        assert text.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "xfm, seed 2: not run yet" in page and page.count("<svg") == 4
    assert not re.search(r"(src|href)=[\"'](?!#|https://(openmoji|creativecommons|wordnet|doi))", page)
    assert "What happened inside" not in page, "nothing was probed"


def test_probes_are_kept_short_and_a_torn_line_costs_nothing(invented):
    study = invented(SHIFT)
    record = {"step": 5, "drift": {"language": 0.123456789, "vision": None}}
    run_records.add_records(study.folder / "probes.csv", ("xfm", 3), [{**record, "step": 0}, record])
    with (study.folder / "probes.csv").open("a") as file:
        file.write("xfm,4,")
    run_records.add_records(study.folder / "probes.csv", ("xfm", 4), [record])
    assert [[r["step"] for r in seed] for seed in study.probes()["xfm"]] == [[0, 5], [5]]
    assert study.probes()["xfm"][1][0]["drift"] == {"language": 0.1235, "vision": None}


@pytest.mark.full
def test_a_probed_study_shows_what_happened_inside(tmp_path):
    study = tiny("probed", tmp_path, changes=TINY | {"train.probe_every": 2})
    study.run()
    records = study.probes()
    assert {v: [[r["step"] for r in seed] for seed in seeds] for v, seeds in records.items()} == {
        "xfm": [[0, 2, 4]], "no_stop_gradient": [[0, 2, 4]]}  # fmt: skip
    held = [records[v][0][-1]["held_back"]["itm"] for v in records]
    assert held[0] > 0 == held[1]
    page = study.report().read_text("utf-8")
    assert "What happened inside" in page and 'id="figure-probes"' in page
