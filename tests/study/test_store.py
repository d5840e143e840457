"""results.csv and curves.csv: what a kill leaves, what is refused; committed tables; the code that a study pins."""

import hashlib
import json
import math
from pathlib import Path

import house
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study.conftest import TINY, outcome, tiny, without

from xfm.runs.precision import reached
from xfm.study import Spec, Study, StudyError, code_pin, runner, store, worker
from xfm.study.code_pin import CodeChanged
from xfm.study.study_metrics import Ask, Measured, Metric

SPEC = Spec("s", "smoke", {"xfm": {}, "a, b=1": {"train.lr": 1e-3}}, (0, 1, 2))
KNOWN = Metric("lower", "nats", 0.5, "unigram")
ROWS = [Measured("language", "language, loss (nats)", 1 / 3, 7, KNOWN), Measured("vision", 'an "odd" name', 1e-17, 2)]
RUNS = [("xfm", 0), ("a, b=1", 0), ("xfm", 2)]


def add(folder, run, rows=ROWS):
    store.add_results(folder, SPEC, run, rows, 12.345, rows[:1])


def written(folder):
    for run in RUNS:
        add(folder, run)
    return (folder / "results.csv").read_bytes()


def read(folder):
    return store.read_results(folder, SPEC, store.read_metrics(folder))


def test_what_was_added_is_read_exactly_and_a_further_metric_is_a_further_column(tmp_path):
    written(tmp_path)
    found, levels = read(tmp_path)
    assert [*found[["variant", "seed"]].drop_duplicates().itertuples(index=False, name=None)] == RUNS
    assert found["value"].tolist() == [1 / 3, 1e-17] * 3 and found["n"].tolist() == [7, 2] * 3
    assert found["metric"].tolist() == [row.metric for row in ROWS] * 3 and set(found["seconds"]) == {12.35}
    assert found.loc[2, "fingerprint"] == SPEC.config("a, b=1", 0).fingerprint
    assert levels[["level", "value"]].to_numpy().tolist() == [["baseline", 0.5], ["step 0", 1 / 3]] * 3
    assert pd.read_csv(tmp_path / "results.csv")[ROWS[0].metric].tolist() == [0.5, 1 / 3, 1 / 3] * 3
    more = [*ROWS, Measured("vision", "more", 2.0, 3), Measured("vision", "more", 5.0, 3)]
    add(tmp_path, ("a, b=1", 1), more)
    found, _ = read(tmp_path)
    assert len(found) == 9 and found["value"].tolist()[-3:] == [1 / 3, 1e-17, 2.0], "of two of one name the first"


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
])  # fmt: skip
def test_what_is_not_of_this_spec_is_refused(old, new, message, tmp_path):
    text, old = written(tmp_path).decode(), old.format(xfm=SPEC.config("xfm", 0).fingerprint)
    assert old in text
    (tmp_path / "results.csv").write_text(text.replace(old, new))
    with pytest.raises(StudyError, match=message) as error:
        read(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("steps", [1, 59, 60, 61, 7919])
def test_a_curve_has_at_most_60_points_each_the_mean_of_its_steps(steps):
    losses = np.random.default_rng(steps).normal(size=steps)
    records = [{"step": i, "loss": float(losses[i]), "texts/mlm": 1.0, "texts/mlm/accuracy": 0.5} for i in range(steps)]
    rows, every = worker.thinned(records), math.ceil(steps / 60)
    starts = range(0, steps, every)
    assert all([*row] == ["step", "loss", "texts/mlm"] for row in rows) and len(rows) <= 60
    assert [row["step"] for row in rows] == [min(i + every, steps) for i in starts]
    assert [row["loss"] for row in rows] == pytest.approx([losses[i : i + every].mean() for i in starts])
    records = [{"step": i, "loss": 1.0 if i > 1 else math.nan, "texts/mlm": 1.0} for i in range(120)]
    for record in records[61:]:
        record["pairs/itm"] = float(record["step"])  # a loss that joins later; of one step the held-out one
    records[99]["validation/pairs/itm"] = 0.6
    rows = worker.thinned(records)
    assert [row["loss"] for row in rows[:2]] == ["", 1.0]
    assert [row["pairs/itm"] for row in rows[:32]] == [""] * 30 + [61.0, 62.5]
    assert [row["step"] for row in rows if row["validation/pairs/itm"]] == [100]


ROOT = Path(__file__).parents[2] / "studies"
STUDIES = sorted(p.parent.name for p in ROOT.glob("*/spec.json") if p.with_name("results.csv").exists())
TABLES = ("effects", "pairs", "learnt", "spread", "median_shares", "admission", "by_field")


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
    golden = json.loads(Path(__file__).with_name("committed_tables.json").read_text("utf-8"))[name]
    study = Study.load(ROOT / name)
    made = {title: getattr(study, title)() for title in TABLES}
    made["pareto"] = study.pareto() if len(study.spec.primary) in (2, 3) else pd.DataFrame()
    assert made.keys() == golden.keys()
    for title, columns in golden.items():
        assert [*made[title]] == [*columns], title
        for column, before in columns.items():
            now = fingerprint(made[title][column])
            same = now == before if isinstance(before, str) else np.allclose(now, before, rtol=1e-9, atol=1e-9)
            assert same, f"{title}, {column}: {now}, not {before}"


@pytest.fixture
def package(tmp_path, monkeypatch):
    root, texts = tmp_path / "xfm", {"flow.py": "the stop\n", "train/__pycache__/loop.cpython-311.pyc": "bytes"}
    names = """train/loop.py objectives/mlm.py .hidden.py study/worker.py study/spec.py plots/charts.py
        report/page.html.jinja pretrained/demo/model.safetensors""".split()
    for name, text in (texts | dict.fromkeys(names, "what it was")).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(code_pin, "_ROOT", root)
    monkeypatch.setattr(code_pin, "_IMPORTED", code_pin.package_files())
    return root


@pytest.fixture
def study(tmp_path, monkeypatch, package):
    monkeypatch.setattr(runner, "measure", outcome)
    return tiny("pinned", tmp_path, seeds=[0, 1])


def test_the_hash_is_of_the_sources_that_decide_a_number(package):
    files = code_pin.package_files()
    assert {*files} == {"flow.py", "objectives/mlm.py", "study/worker.py", "train/loop.py"}
    whole = code_pin.digest(files)
    (package / "flow.py").write_bytes(b"the stop\r\n")
    for shown in ("plots/charts.py", "report/page.html.jinja", "study/spec.py", "pretrained/demo/model.safetensors"):
        (package / shown).write_text("others")
    assert code_pin.digest(code_pin.package_files()) == whole
    (package / "flow.py").write_text("no stop\n")
    assert code_pin.digest(code_pin.package_files()) != whole


def test_what_pinned_files_import_is_pinned():
    files = {path for path in code_pin.package_files() if path.endswith(".py")}
    assert files >= code_pin._FILES, "every file that is named is there"
    without = {"plots/curve_records.py", "plots/__init__.py", "study/__init__.py", "study/spec.py", "study/code_pin.py",
               "study/live_progress.py", "study/execute.py"}  # names and plumbing, which change no number  # fmt: skip
    root, missing = code_pin._ROOT, set()
    for path in files:
        for _, name in house.imports((root / path).read_text("utf-8"), ("xfm", *Path(path).parent.parts)):
            parts = name.split(".")[1:]
            names = [f"{'/'.join(parts[:n])}{end}" for n in range(len(parts), 0, -1) for end in (".py", "/__init__.py")]
            missing |= {*[found for found in names if (root / found).is_file()][:1]} - files
    assert missing <= without, "pin these, or say why not"


def test_a_changed_package_is_refused_with_its_files_until_it_is_accepted(study, package, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="failed twice"):
        patch.setattr(runner, "measure", lambda *_: 1 / 0)
        study.run()
    assert not (study.folder / "code.json").exists(), "it is pinned with the first result"
    study.run()
    before = study.table.read_text()
    (package / "flow.py").write_text("no stop\n")
    (package / "model").mkdir()
    (package / "model/xfm.py").write_text("new\n")
    monkeypatch.setattr(code_pin, "_IMPORTED", code_pin.package_files())  # as a new process would have it
    grown = tiny("pinned", tmp_path, seeds=[0, 1, 2])
    with pytest.raises(CodeChanged, match=r"xfm/flow.py and xfm/model/xfm.py\. Put the files back.*--accept-code"):
        grown.run()
    assert study.table.read_text() == before and len(grown.effects()) == 1, "told as it was"
    assert not grown.measurements.failed
    old = code_pin.digest(json.loads((study.folder / "code.json").read_text())["files"])
    new = code_pin.digest(code_pin.package_files())
    assert f"accepted: {old} -> {new}" in grown.accept_code("<b>names</b> only")
    assert "nothing to accept" in grown.accept_code("again")
    grown.run()
    pin, change = code_pin.read(study.folder), {"old": old, "new": new, "changed": ["flow.py", "model/xfm.py"]}
    assert len(grown.missing()) == 0 and pin and pin.files == code_pin.package_files()
    assert pin.accepted == [change | {"runs": 4, "reason": "<b>names</b> only"}]
    page = grown.report(tmp_path / "report.html").read_text()
    assert f"After 4 runs the package changed from {old} to {new}" in page and "&lt;b&gt;names" in page
    assert "<b>names</b>" not in page


def test_a_package_that_changes_under_a_running_study_ends_it(study, package, monkeypatch):
    def edits(*_):
        (package / "flow.py").write_text("edited meanwhile\n")
        return outcome()

    monkeypatch.setattr(runner, "measure", edits)
    with pytest.raises(CodeChanged, match=r"worker: .*xfm/flow.py"):
        study.run()
    assert len(study.measurements.finished) <= 1 and not study.measurements.failed, "no run has failed by it"
    with pytest.raises(CodeChanged, match=r"since this process imported it: xfm/flow.py. Restart"):
        study.run()


@pytest.mark.full
def test_a_run_says_which_precision_it_had_and_a_job_returns_it(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for has, native in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: {"avx2": True, "avx512_bf16": has})
        assert [*map(reached, ("auto", "native", "fp32", "bf16"))] == ["fp32", native, "fp32", "bf16"]
    config = tiny("one", tmp_path).spec.config("xfm", 3).replace({"init_from": "", "train.precision": "native"})
    given = (config.to_json(), str(tmp_path / "runs"), [Ask("naming", "evaluate")], str(tmp_path / "told"))
    (machine,) = worker.measure(*given).machine
    assert machine["precision"] == "bf16" and machine["torch"] == torch.__version__


@pytest.mark.full
def test_seeds_that_two_machines_share_are_named_but_for_a_precision_that_a_variant_asks_for(tmp_path, monkeypatch):
    def train(study: Study, here: str) -> str:
        """The report of a study that runs on a machine of this precision."""
        machine = {"torch": "2", "device": "cpu", "precision": here}
        monkeypatch.setattr(runner, "measure", lambda *_: outcome()._replace(machine=[machine]))
        monkeypatch.setattr(code_pin, "reached", lambda asked: asked if asked in ("fp32", "bf16") else here)
        study.run()
        return study.report().read_text()

    native = {"seeds": [0, 1], "changes": TINY | {"train.precision": "native"}}
    moved = tiny("moved", tmp_path, **native)
    asks = tiny("asks", tmp_path, **native, variants={"xfm": {}, "narrow": {"train.precision": "fp32"}})
    assert all("another precision" not in train(study, "bf16") for study in (moved, asks))
    without(moved, "no_stop_gradient", seed=1)
    with pytest.warns(UserWarning, match="of seed 1 are in another precision"):
        assert "Some runs of seed 1 are in another precision" in train(moved, "fp32")
