"""Which metrics may be primary: those that the reference has learnt, at other seeds, on another split."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from scipy import stats
from study.conftest import METRICS, PRIMARY, made_up, without

from xfm.config import ConfigError
from xfm.study import Study, runner, store, worker
from xfm.study.study_metrics import Measured, Metric
from xfm.study.worker import Outcome

LOSS, NAMING = PRIMARY[0], PRIMARY[2]
VARIANTS = ("xfm", "no_mim")


@pytest.fixture
def look(tmp_path):
    def make(shift=None, seeds=range(5), split="validation", **other) -> Study:
        study = Study("look", "smoke+stage1", VARIANTS, seeds, root=tmp_path, runs=tmp_path, split=split, **other)
        return made_up(study, shift or {})

    return make


@pytest.fixture
def confirm(tmp_path, monkeypatch):
    def measure(config: str, *_) -> Outcome:
        return Outcome(rows, json.loads(config)["seed"], [], [])

    rows = [Measured(family, metric, mean, 9) for metric, (family, mean, _) in METRICS.items()]
    monkeypatch.setattr(runner, "measure", measure)
    monkeypatch.setattr(worker, "measure_untrained", lambda *_: worker.Untrained(rows, 1.0))  # which names there are

    def make(primary=NAMING, explored=("look",), **other) -> Study:
        given = {"primary": [primary], "explored": explored, "confirmatory": True, "root": tmp_path, "runs": tmp_path}
        return Study("confirm", "smoke+stage1", VARIANTS, range(20, 28), **given | other)

    return make


def refused(study: Study, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study.run()
    assert not study.table.exists(), "before anything is trained"


def test_a_metric_that_was_learnt_is_admitted(look, confirm):
    values = look().results().query("metric == @NAMING and variant == 'xfm'")["value"]
    study = confirm()
    (row,) = study.admission().itertuples()
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (row.metric, row.variant, row.n, row.baseline, row.admitted, row.why) == (NAMING, "xfm", 5, 0.01, True, "")
    assert (row.mean, row.low, row.high) == pytest.approx((values.mean(), low, high))
    study.run()
    assert not len(study.missing())


def test_a_metric_at_its_baseline_is_refused_with_its_numbers(look, confirm):
    values = look({"xfm": 2}).results().query("metric == @LOSS and variant == 'xfm'")["value"]
    assert values.mean() > 4.05, "a loss above the unigram"
    study = confirm(LOSS)
    found = re.escape(f"primary = '{LOSS}': xfm has {values.mean():.4f} nats (")
    refused(study, rf"{found}.* to .*, 5 seeds\), and the baseline \(unigram\) is 4.0500 nats; lower")
    row = study.admission().iloc[0]
    assert row["low"] < row["mean"] < row["high"] and not row["admitted"]
    confirm(NAMING).run()


def test_two_seeds_are_too_few(look, confirm):
    look(seeds=[3, 4])
    refused(confirm(), "xfm has 2 seeds in look; an interval needs 3")


def test_the_test_split_is_no_exploration(look, confirm):
    look(split="test")
    refused(confirm(), r"no study explored it \(of look none has split = 'validation'\)")
    refused(confirm(explored=()), r"no study explored it \(there is none\)")


def test_another_regime_admits_nothing(look, confirm):
    look(changes={"train.lr": 1e-5})
    refused(confirm(), "look has no run of xfm's config")


def test_what_has_no_baseline_or_was_not_measured_is_refused(look, confirm):
    look()
    refused(confirm("grounding, acc@0.5"), "has no baseline, or no better direction")
    refused(confirm("naming, acuracy"), "was not measured in look")


def test_a_run_that_failed_counts_as_the_worst(look, confirm):
    study = look(seeds=range(6))
    without(study, "xfm", seed=5)
    store.write_failed(study.folder, study.spec, {("xfm", 5): "nan"})
    (row,) = confirm().admission().itertuples()
    assert row.n == 6 and row.low < 0.3 < row.mean < 0.65, "as far below as its baseline"


def test_every_run_is_compared_with_its_own_baseline(look, confirm):
    study = look(seeds=range(3))
    study.table.unlink()
    (study.folder / "metrics.json").unlink()
    for seed in range(3):
        level = 0.45 + 0.1 * seed
        known = Metric("higher", "%", level, "bag")
        rows = [Measured("vision-language", NAMING, level + 0.05 + 0.001 * seed, 9, known)]
        store.add_results(study.folder, study.spec, ("xfm", seed), rows, 1.0)
    assert study.metrics()[NAMING].baseline is None
    (row,) = confirm().admission().itertuples()
    assert row.admitted and row.baseline == pytest.approx(0.55) and row.low > 0.55, "the seeds differ by more"


def test_an_admitted_report_shows_mean_interval_and_baseline(look, confirm):
    look()
    study = confirm(detectable={NAMING: 0.01}, margins={NAMING: 0.02}, question="<i>Does</i> it?", would_change="That.")
    study.run()
    row = study.admission().iloc[0]
    page = study.report().read_text("utf-8")
    for text in (f"{100 * row['mean']:.2f} %", f"{100 * row['low']:.2f} to {100 * row['high']:.2f}", "1.00 % chance"):
        assert text in page
    assert "Not admitted" not in page and "&lt;i&gt;Does" in page and "<i>Does" not in page
    order = [page.index(f'id="{name}"') for name in
             ("question", "design", "admission", "effects", "change", "limits")]  # fmt: skip
    assert order == sorted(order)
    assert isinstance(study.admission(), pd.DataFrame)
