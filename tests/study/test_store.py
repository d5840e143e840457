"""results.csv and curves.csv: what a kill leaves, what is read in them, what is refused; committed tables."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfm.study import Spec, Study, StudyError, store, worker
from xfm.study.study_metrics import Measured, Metric

SPEC = Spec("s", "smoke", {"xfm": {}, "a, b=1": {"train.lr": 1e-3}}, (0, 1, 2))
KNOWN = Metric("lower", "nats", 0.5, "unigram")
ROWS = [Measured("language", "language, loss (nats)", 1 / 3, 7, KNOWN), Measured("vision", 'an "odd" name', 1e-17, 2)]
RUNS = [("xfm", 0), ("a, b=1", 0), ("xfm", 2)]
OLD = "variant,seed,fingerprint,family,metric,value,n,seconds\nxfm,0,0123456789ab,language,m,0.5,7,1.0\n"


def add(folder, run, rows=ROWS):
    store.add_results(folder, SPEC, run, rows, 12.345, rows[:1])


def written(folder):
    for run in RUNS:
        add(folder, run)
    return (folder / "results.csv").read_bytes()


def read(folder):
    return store.read_results(folder, SPEC, store.read_metrics(folder))


def test_what_was_added_is_read_exactly(tmp_path):
    written(tmp_path)
    found, levels = read(tmp_path)
    assert [*found[["variant", "seed"]].drop_duplicates().itertuples(index=False, name=None)] == RUNS
    assert found["value"].tolist() == [1 / 3, 1e-17] * 3 and found["n"].tolist() == [7, 2] * 3
    assert found["metric"].tolist() == [row.metric for row in ROWS] * 3 and set(found["seconds"]) == {12.35}
    assert found.loc[2, "fingerprint"] == SPEC.config("a, b=1", 0).fingerprint
    assert levels[["level", "value"]].to_numpy().tolist() == [["baseline", 0.5], ["step 0", 1 / 3]] * 3
    table = pd.read_csv(tmp_path / "results.csv")
    assert table[ROWS[0].metric].tolist() == [0.5, 1 / 3, 1 / 3] * 3


def test_a_further_metric_is_a_further_column(tmp_path):
    written(tmp_path)
    more = [*ROWS, Measured("vision", "more", 2.0, 3)]
    add(tmp_path, ("a, b=1", 1), more)
    found, _ = read(tmp_path)
    assert len(found) == 9 and found["metric"].tolist()[-3:] == [row.metric for row in more]
    add(tmp_path, ("xfm", 1), [*ROWS[:1], Measured("vision", "more", 4.0, 3), Measured("vision", "more", 5.0, 3)])
    assert read(tmp_path)[0]["value"].tolist()[-2:] == [1 / 3, 4.0], "of two of one name the first"


@pytest.mark.parametrize("metric", ["=1+1", "@x", "'=1"])
def test_what_a_spreadsheet_would_compute_has_an_apostrophe_before_it(tmp_path, metric):
    add(tmp_path, ("xfm", 0), [Measured("language", metric, -0.5, 3)])
    assert (tmp_path / "results.csv").read_text("utf-8").splitlines()[0].split(",")[5] == f"'{metric}"
    assert read(tmp_path)[0]["metric"].tolist() == [metric]


@given(st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wherever_the_file_is_cut_only_whole_runs_are_left_and_it_goes_on(tmp_path, data):
    path = tmp_path / "results.csv"
    path.unlink(missing_ok=True)
    whole = written(tmp_path)
    path.write_bytes(whole[: (cut := data.draw(st.integers(0, len(whole))))])
    left = [*dict.fromkeys(key[:2] for key in store.results_of(tmp_path))]
    assert left == RUNS[: len(left)] and (cut < len(whole)) == (len(left) < 3)
    for run in RUNS[len(left) :]:
        add(tmp_path, run)
    assert read(tmp_path)[0]["value"].tolist() == [1 / 3, 1e-17] * 3 and len(read(tmp_path)[1]) == 6


@pytest.mark.parametrize(("old", "new", "message"), [
    ("xfm,0,{xfm}", "xfm,0,0123456789ab", "'xfm', seed 0, was measured with the config 0123456789ab"),
    ("xfm,0", "xfn,0", r"results of 'xfn', which is no variant of the spec; did you mean 'xfm'\?"),
    ("0.3333", "x.3333", r"loss \(nats\) = 'x.3333333333333333': must be a number"),
    (",step 0,", ",step 9,", "level = 'step 9': must be one of"),
    ("loss (nats)", "loss, of, what", "metrics.json: must have all metrics of results.csv"),
    (",12.35,", ",12.35,,", "row = .*: must be of 7 cells"),
    ("", OLD, "a row a metric: move the file away and run the study again"),
])  # fmt: skip
def test_what_is_not_of_this_spec_is_refused(old, new, message, tmp_path):
    text, old = written(tmp_path).decode(), old.format(xfm=SPEC.config("xfm", 0).fingerprint)
    assert old in text
    (tmp_path / "results.csv").write_text(text.replace(old, new) if old else new)
    with pytest.raises(StudyError, match=message) as error:
        read(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("steps", [1, 59, 60, 61, 7919])
def test_a_curve_has_at_most_60_points_each_the_mean_of_its_steps(steps):
    rng = np.random.default_rng(steps)
    losses = rng.normal(size=steps)
    records = [{"step": i, "loss": float(losses[i]), "texts/mlm": 1.0, "texts/mlm/accuracy": 0.5} for i in range(steps)]
    rows = worker.thinned(records)
    every = math.ceil(steps / 60)
    naive = [losses[i : i + every].mean() for i in range(0, steps, every)]
    assert all([*row] == ["step", "loss", "texts/mlm"] for row in rows) and len(rows) <= 60
    assert [row["step"] for row in rows] == [min(i + every, steps) for i in range(0, steps, every)]
    assert [row["loss"] for row in rows] == pytest.approx(naive) and {row["texts/mlm"] for row in rows} == {1.0}


def test_a_loss_that_joins_later_held_out_ones_and_what_is_not_finite_have_gaps():
    records: list[dict] = [{"step": i, "loss": 1.0} for i in range(120)]
    for record in records[61:]:
        record["pairs/itm"] = float(record["step"])
    records[99]["validation/pairs/itm"] = 0.6
    for record in records[:2]:
        record |= {"loss": math.nan, "texts/mlm": 1.0}
    rows = worker.thinned(records)
    assert [row["step"] for row in rows] == [*range(2, 121, 2)] and [row["loss"] for row in rows[:2]] == ["", 1.0]
    assert [row["pairs/itm"] for row in rows[:32]] == [""] * 30 + [61.0, 62.5]
    assert [row["step"] for row in rows if row["validation/pairs/itm"]] == [100]
    assert worker.thinned([]) == worker.thinned([{"step": 3}]) == []


STUDIES_FOLDER = Path(__file__).parents[2] / "studies"
GOLDEN = Path(__file__).with_name("committed_tables.json")
STUDIES = sorted(
    spec.parent.name for spec in STUDIES_FOLDER.glob("*/spec.json") if (spec.parent / "results.csv").exists()
)
TABLES = ("effects", "pairs", "learnt", "mean_ranks", "spread", "median_shares", "admission", "pareto", "by_field")


def fingerprint(values: pd.Series):
    if values.dtype.kind not in "if":
        return hashlib.blake2b(repr([str(v) for v in values]).encode(), digest_size=8).hexdigest()
    x = values.to_numpy(float)
    known = np.where(np.isfinite(x), x, 0.0)
    return [int((~np.isfinite(x)).sum()), float(known.sum()), float(known @ np.cos(np.arange(len(x))))]


@pytest.mark.full
@pytest.mark.parametrize("name", STUDIES)
def test_a_committed_study_gives_the_same_tables(name):
    """`committed_tables.json` has of each table and column a hash of its texts, or sums of its numbers, to 1e-9."""
    study, golden = Study.load(STUDIES_FOLDER / name), json.loads(GOLDEN.read_text("utf-8"))[name]
    made = {title: getattr(study, title)() for title in TABLES if title != "pareto"}
    made |= {"pareto": study.pareto() if len(study.spec.primary) in (2, 3) else pd.DataFrame()}
    assert made.keys() == golden.keys()
    for title, columns in golden.items():
        assert [*made[title]] == [*columns], title
        for column, before in columns.items():
            now = fingerprint(made[title][column])
            same = now == before if isinstance(before, str) else np.allclose(now, before, rtol=1e-9, atol=1e-9)
            assert same, f"{title}, {column}: {now}, not {before}"
