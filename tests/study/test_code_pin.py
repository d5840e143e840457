"""What a study pins: the code of its first result, and the precision in which its runs were trained."""

import json
import warnings
from pathlib import Path

import house
import pytest
import torch
from study.conftest import TINY, outcome, tiny, without

from xfm.runs.precision import reached
from xfm.study import Study, StudyError, code_pin, runner, worker
from xfm.study.code_pin import CodeChanged
from xfm.study.study_metrics import Ask

SMALL = {"flow.py": "the stop\n", "train/loop.py": "steps\n", "objectives/mlm.py": "a loss\n", ".hidden.py": "x",
         "study/worker.py": "measures\n", "study/spec.py": "plans\n", "plots/charts.py": "bars\n",
         "report/page.html.jinja": "page\n", "pretrained/demo/model.safetensors": "weights",
         "train/__pycache__/loop.cpython-311.pyc": "bytes"}  # fmt: skip


@pytest.fixture
def package(tmp_path, monkeypatch):
    root = tmp_path / "xfm"
    for name, text in SMALL.items():
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
    assert study.table.read_text() == before and not grown.failed() and len(grown.effects()) == 1, "told as it was"
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
    assert len(study.measurements.finished) <= 1 and not study.failed(), "no run has failed by it"
    with pytest.raises(CodeChanged, match=r"since this process imported it: xfm/flow.py. Restart"):
        study.run()


@pytest.mark.parametrize("text", [
    "[]", '{"files": {"a": 1}}', '{"files": {}, "unpinned": "x"}', '{"files": {}, "accepted": [{"old": 1}]}',
    '{"files": {}, "more": 1}', '{"files": {}, "found": [["xfm", "1"]]}'])  # fmt: skip
def test_a_broken_pin_is_named_with_the_way_out(tmp_path, text):
    (tmp_path / "code.json").write_text(text)
    with pytest.raises(StudyError, match=r"code.json: must have files.*Put a good copy back"):
        code_pin.read(tmp_path)


@pytest.fixture
def train(monkeypatch):
    """Trains a study on a machine of this precision, and returns its report. `warning`: what it warns of."""

    def of(study: Study, here: str, warning: str = "") -> str:
        machine = {"torch": "2", "device": "cpu", "precision": here}
        monkeypatch.setattr(runner, "measure", lambda *_: outcome()._replace(machine=[machine]))
        monkeypatch.setattr(code_pin, "reached", lambda asked: asked if asked in ("fp32", "bf16") else here)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            study.run()
        assert [warning in str(w.message) for w in heard] == [True] * bool(warning)
        return study.report().read_text()

    return of


@pytest.mark.full
def test_a_run_says_which_precision_it_had_and_a_job_returns_it(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for has, native in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: {"avx2": True, "avx512_bf16": has})
        assert [*map(reached, ("auto", "native", "fp32", "bf16"))] == ["fp32", native, "fp32", "bf16"]
    config = tiny("one", tmp_path).spec.config("xfm", 3).replace({"init_from": "", "train.precision": "native"})
    asks = [Ask("naming", "evaluate")]
    (machine,) = worker.measure(config.to_json(), str(tmp_path / "runs"), asks, str(tmp_path / "told")).machine
    assert machine["precision"] == "bf16" and machine["torch"] == torch.__version__


@pytest.mark.full
def test_seeds_that_two_machines_share_are_named_but_for_a_precision_that_a_variant_asks_for(tmp_path, train):
    native = {"seeds": [0, 1], "changes": TINY | {"train.precision": "native"}}
    study = tiny("moved", tmp_path, **native)
    assert "another precision" not in train(study, "bf16")
    without(study, "no_stop_gradient", seed=1)
    assert "Some runs of seed 1 are in another precision" in train(study, "fp32", "of seed 1 are in another precision")
    study = tiny("asks", tmp_path, **native, variants={"xfm": {}, "narrow": {"train.precision": "fp32"}})
    assert "another precision" not in train(study, "bf16")
