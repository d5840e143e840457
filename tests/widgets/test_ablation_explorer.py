"""The ablation explorer's tables against the study's, and studies that lack something."""

from pathlib import Path

import numpy as np
import pytest
from made_study import PRIMARY, VARIANTS, made

import xfm_widgets as xw
from xfm.study import Study, run_records, worker


def put_together(view: xw.AblationExplorer, kind: str, rows: list[int]) -> str:
    text = view.payload["texts"][kind]
    return "\n".join([*text["head"], *(text["rows"][i] for i in rows), *text["foot"]]) + "\n"


def test_it_holds_the_studys_own_tables_and_bands_of_its_seeds(tmp_path: Path):
    study = made(tmp_path)
    view = xw.AblationExplorer(study)
    effects, pairs = study.effects(), study.pairs()
    assert view.message == "" and (view.metric, view.variant, view.rows) == (PRIMARY, "no_stop_gradient", "primary")
    for shown, row in zip(view.payload["effects"], effects.to_dict("records"), strict=True):
        for name in ("metric", "variant", "judged_by", "effect", "low", "high", "mean", "p"):
            assert shown[name] == (row[name] if isinstance(row[name], str) else pytest.approx(row[name], rel=1e-5))
        assert (shown["p_holm"] is None) == (row["role"] == "secondary")
        assert (shown["margin"], shown["equivalent"]) == ((0.05, "yes") if row["role"] == "primary" else (None, ""))
    sent = np.frombuffer(view.payload["pairs"], np.float32).reshape(-1, 5)
    own = sent[(sent[:, 0] == 0) & (sent[:, 1] == 1)]
    difference = pairs.query("metric == @PRIMARY and variant == 'neither'").sort_values("seed")["difference"]
    assert (own[:, 4] - own[:, 3])[own[:, 2].argsort()] == pytest.approx(difference.to_numpy(), abs=1e-5)
    for kind, whole in (("markdown", study.to_markdown("all")), ("latex", study.to_latex("all"))):
        assert put_together(view, kind, [*range(len(effects))]) == whole
    assert put_together(view, "markdown", [0, 1]) == study.to_markdown("primary") and len(view.data()) == 2
    view.rows, view.metric = "metric", "naming, accuracy"
    assert view.data()["metric"].unique().tolist() == ["naming, accuracy"]
    assert view.figure().bytes()
    floors = {m["metric"]: m["floor"] for m in view.payload["metrics"]}
    assert floors == {metric: metric == PRIMARY for metric in floors}, "no variant has learnt it"
    band = view.payload["curves"]["language: drift from the start"]["xfm"]  # of the seeds
    values = np.array([[step * 0.1 + seed / 100 for step in (0, 4, 8)] for seed in range(6)])
    assert band["steps"] == [0, 4, 8] and band["n"] == 6
    assert band["mean"] == pytest.approx(values.mean(0)) and band["most"] == pytest.approx(values.max(0))
    half = 2.5706 * values.std(0, ddof=1) / 6**0.5  # t, 5 degrees of freedom
    assert band["high"] == pytest.approx(values.mean(0) + half, rel=1e-4)


def test_losses_are_those_of_the_studys_own_file_whatever_run_folders_there_are(tmp_path: Path):
    study = made(tmp_path, seeds=2)
    assert "MLM, texts: training loss" not in xw.AblationExplorer(study).payload["curves"]
    for i, (variant, seed) in enumerate((variant, seed) for variant in VARIANTS for seed in range(2)):
        records = [{"step": s, "of": 12, "loss": 1.0 + i, "texts/mlm": 2.0 * i + s} for s in range(12 - seed)]
        records[5]["validation/texts/mlm"] = 3.0 + i
        run_records.add_records(study.folder / "curves.csv", (variant, seed), worker.thinned(records))
    found = xw.AblationExplorer(study).payload["curves"]
    band = found["MLM, texts: training loss"]["no_stop_gradient"]
    assert band["steps"] == [*range(1, 12)] and band["mean"][0] == 5.0 and (band["least"][0], band["most"][0]) == (4, 6)
    held_out = found["MLM, texts: held-out loss"]["xfm"]
    assert (held_out["steps"], held_out["n"], held_out["mean"], held_out["most"]) == ([6], 2, [3.5], [4.0])
    assert found["all, weighted: training loss"].keys() == {*VARIANTS}
    (study.folder / "curves.csv").write_text("variant,seed,step,loss\nxfm,0,1,[]\n")
    assert "curves.csv" in (said := xw.AblationExplorer(study).message) and "Put a good copy back" in said
    study.table.write_text("what,is,this\n1,2,3\n", "utf-8")
    view = xw.AblationExplorer(study)
    assert "must have variant, seed, fingerprint" in view.message and view.payload["metrics"] == [] and view.figure()


def test_a_study_without_results_and_one_with_too_few_say_so(tmp_path: Path):
    view = xw.AblationExplorer(Study("empty", "smoke+stage1", VARIANTS, seeds=[0, 1], root=tmp_path))
    assert "study.run()" in view.message and view.payload["metrics"] == []
    assert len(view.data()) == 0 and view.figure().bytes() and view.to_html(tmp_path / "empty.html").exists()
    view = xw.AblationExplorer(made(tmp_path, seeds=2, missing=1))
    assert view.message == "1 run is missing: neither, seed 1: not run yet"
    one = next(e for e in view.payload["effects"] if e["variant"] == "neither" and e["metric"] == PRIMARY)
    assert one["n"] == 1 and one["low"] is None and "1 of 2 pairs missing" in one["note"]
    assert view.to_html(tmp_path / "few.html").exists()
