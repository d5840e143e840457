"""results.csv: what a kill leaves of it, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xfm.study import Spec, StudyError, results_csv
from xfm.study.study_metrics import Measured

SPEC = Spec("s", "smoke", {"xfm": {}, "a, b=1": {"train.lr": 1e-3}}, (0, 1, 2))
ROWS = [Measured("language", "language, loss (nats)", 1 / 3, 7), Measured("vision", 'an "odd" name', 1e-17, 2)]
RUNS = [("xfm", 0), ("a, b=1", 0), ("xfm", 2)]


def written(path):
    for run in RUNS:
        results_csv.append(path, results_csv.block(SPEC, *run, ROWS, 12.345))
    return path.read_bytes()


def runs_in(path):
    return [*results_csv.read(path, SPEC)[["variant", "seed"]].drop_duplicates().itertuples(index=False, name=None)]


def test_what_was_appended_is_read_exactly(tmp_path):
    path = tmp_path / "results.csv"
    assert written(path).count(b"variant,seed") == 1
    found = results_csv.read(path, SPEC)
    assert runs_in(path) == RUNS
    assert found["value"].tolist() == [1 / 3, 1e-17] * 3
    assert found["metric"].tolist() == [row.metric for row in ROWS] * 3
    assert set(found["seconds"]) == {12.35}
    assert found.loc[2, "fingerprint"] == SPEC.config("a, b=1", 0).fingerprint
    assert len(results_csv.read(tmp_path / "none.csv", SPEC)) == 0


@pytest.mark.parametrize("metric", ["=1+1", "+1", "-1", "@x", "'=1"])
def test_what_a_spreadsheet_would_compute_has_an_apostrophe_before_it(tmp_path, metric):
    path = tmp_path / "results.csv"
    results_csv.append(path, results_csv.block(SPEC, "xfm", 0, [Measured("language", metric, -0.5, 3)], 1.0))
    assert path.read_text("utf-8").splitlines()[1].split(",")[4] == f"'{metric}"
    assert results_csv.read(path, SPEC)["metric"].tolist() == [metric]


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_wherever_the_file_is_cut_only_whole_runs_are_left_and_it_goes_on(tmp_path, data):
    path = tmp_path / "results.csv"
    path.unlink(missing_ok=True)
    whole = written(path)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    left = runs_in(path)
    assert left == RUNS[: len(left)]
    assert (len(results_csv.read(path, SPEC)), cut < len(whole)) == (2 * len(left), len(left) < 3)
    results_csv.mend(path)
    for run in RUNS[len(left) :]:
        results_csv.append(path, results_csv.block(SPEC, *run, ROWS, 12.345))
    assert path.read_bytes() == whole


def test_of_a_run_that_two_have_appended_the_first_stands(tmp_path):
    path = tmp_path / "results.csv"
    written(path)
    results_csv.append(path, results_csv.block(SPEC, "xfm", 0, [row._replace(value=9.0) for row in ROWS], 1.0))
    assert len(results_csv.read(path, SPEC)) == 6
    assert 9.0 not in results_csv.read(path, SPEC)["value"].tolist()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("xfm,0,{xfm}", "xfm,0,0123456789ab", "'xfm', seed 0, was measured with the config 0123456789ab"),
        ("xfm,0", "xfn,0", r"results of 'xfn', which is no variant of the spec; did you mean 'xfm'\?"),
        ("variant,seed", "variant,sed", "begins with 'variant,sed,"),
        ("0.3333", "x.3333", "value must be of type float"),
        ("xfm,2", "xfm,two", "seed must be of type int"),
        ("loss (nats)", "loss, of, what", None),
        ('language,"', 'language,,"', "must have variant, seed"),
    ],
)
def test_what_is_not_of_this_spec_is_refused(old, new, message, tmp_path):
    path = tmp_path / "results.csv"
    text = written(path).decode()
    old = old.format(xfm=SPEC.config("xfm", 0).fingerprint)
    assert old in text
    path.write_text(text.replace(old, new))
    if message is None:  # a metric may be called anything
        assert len(results_csv.read(path, SPEC)) == 6
        return
    with pytest.raises(StudyError, match=message) as error:
        results_csv.read(path, SPEC)
    assert str(path) in str(error.value)
