"""The code of a study is pinned with its first result; another package is refused, or accepted for a reason."""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from study.conftest import ROOT, tiny, without

from xfm.config import ConfigError
from xfm.study import StudyError, code_pin, command, runner
from xfm.study.code_pin import CodeChanged
from xfm.study.study_metrics import Measured, Metric
from xfm.study.worker import Outcome, measure

sys.path.insert(0, str(ROOT / "scripts"))
import house

SMALL = {"flow.py": "the stop\n", "train/loop.py": "steps\n", "objectives/mlm.py": "a loss\n", ".hidden.py": "x",
         "study/worker.py": "measures\n", "study/spec.py": "plans\n", "plots/charts.py": "bars\n",
         "report/page.html.jinja": "page\n", "pretrained/demo/model.safetensors": "weights",
         "train/__pycache__/loop.cpython-311.pyc": "bytes"}  # fmt: skip
BROKEN = ["", "[]", "{}", '{"files": 3}', '{"files": {"a": 1}}', '{"files": {}, "unpinned": "x"}',
          '{"files": {}, "accepted": [{"old": 1}]}', '{"files": {}, "more": 1}',
          '{"files": {}, "found": [["xfm", "1"]]}', '{"files": {}, "spec": {"hash": 1}}']  # fmt: skip


def outcome(*_: object) -> Outcome:
    known = Metric("lower", "nats", 9.0, "untrained")
    return Outcome([Measured("language", "m", 1.0, 5, known)], 1.0, [], [])


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a few files, as this process has imported it."""
    root = tmp_path / "xfm"
    for name, text in SMALL.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(code_pin, "_ROOT", root)
    reload(monkeypatch)
    return root


def reload(monkeypatch) -> None:
    """As a new process would have it."""
    monkeypatch.setattr(code_pin, "_IMPORTED", code_pin.package_files())


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
    (package / "objectives/mlm.py").rename(package / "objectives/masked.py")
    assert {*code_pin.package_files()} - {*files} == {"objectives/masked.py"}


def test_what_pinned_files_import_is_pinned():
    """But for the names and the plumbing listed here, which change no number."""
    files = {path for path in code_pin.package_files() if path.endswith(".py")}
    assert {"flow.py", "objectives/mlm.py", "tasks/result.py", "study/worker.py"} <= files
    assert files >= code_pin._FILES, "every file that is named is there"
    without = {"plots/curve_records.py", "plots/__init__.py", "study/__init__.py", "study/spec.py", "study/code_pin.py"}
    without |= {"study/live_progress.py", "study/execute.py"}  # beside results.csv
    root, missing = code_pin._ROOT, set()
    for path in files:
        for _, name in house.imports((root / path).read_text("utf-8"), ("xfm", *Path(path).parent.parts)):
            module = name.split(".")
            while module and not (found := _source(root.parent, module)):
                module.pop()
            if module[1:] and found not in files:
                missing.add(found)
    assert missing <= without, "pin these, or say why not"


def _source(parent: Path, module: list[str]) -> str:
    """The file of a module, named from xfm/ on; "" where there is none."""
    places = parent.joinpath(*module).with_suffix(".py"), parent.joinpath(*module, "__init__.py")
    return next((str(place.relative_to(parent / "xfm")) for place in places if place.is_file()), "")


def test_it_is_pinned_with_the_first_result_and_the_command_accepts_and_goes_on(study, package, monkeypatch, capsys):
    monkeypatch.setattr(runner, "measure", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="failed twice"):
        study.run()
    assert not (study.folder / "code.json").exists()
    monkeypatch.setattr(runner, "measure", outcome)
    study.run()
    pin = code_pin.read(study.folder)
    assert pin and pin.files == code_pin.package_files() and (pin.unpinned, pin.accepted) == (0, [])
    (study.folder / "code.json").write_text(json.dumps({"files": {"flow.py": "0" * 12}}))
    without(study, "no_stop_gradient")
    with pytest.raises(CodeChanged):
        command(str(study.folder), 1, runs=study.runs)
    command(str(study.folder), 1, runs=study.runs, accept_code="a typo")
    assert "accepted: " in capsys.readouterr().out and len(study.missing()) == 0
    assert Path(study.folder / "report.html").read_text().count("“a typo”") == 1


def test_a_changed_package_is_refused_with_its_files_until_it_is_accepted(study, package, tmp_path, monkeypatch):
    study.run()
    before = study.table.read_text()
    (package / "flow.py").write_text("no stop\n")
    (package / "model").mkdir()
    (package / "model/xfm.py").write_text("new\n")
    reload(monkeypatch)
    grown = tiny("pinned", tmp_path, seeds=[0, 1, 2])
    with pytest.raises(CodeChanged, match=r"xfm/flow.py and xfm/model/xfm.py\. Put the files back.*--accept-code"):
        grown.run()
    assert issubclass(CodeChanged, StudyError) and study.table.read_text() == before and not grown.failed()
    assert len(grown.missing()) == 2 and len(grown.effects()) == 1, "what is there is still told"
    with pytest.raises(ConfigError, match="a reason"):
        grown.accept_code(" ")
    old = code_pin.digest(json.loads((study.folder / "code.json").read_text())["files"])
    new = code_pin.digest(code_pin.package_files())
    assert f"accepted: {old} -> {new}" in grown.accept_code("<b>names</b> only")
    assert "nothing to accept" in grown.accept_code("again")
    grown.run()
    pin, change = code_pin.read(study.folder), {"old": old, "new": new, "changed": ["flow.py", "model/xfm.py"]}
    assert len(grown.missing()) == 0 and pin and pin.files == code_pin.package_files()
    assert pin.accepted == [change | {"runs": 4, "reason": "<b>names</b> only"}]
    page = grown.report(tmp_path / "report.html").read_text()
    assert f"After 4 runs the package changed from {old} to {new} (xfm/flow.py and xfm/model/xfm.py)" in page
    assert "<b>names</b>" not in page and "&lt;b&gt;names" in page


@pytest.mark.parametrize("folder", [path.parent for path in (ROOT / "studies").glob("*/code.json")])
def test_committed_pins_load_and_are_told(folder):
    pin = code_pin.read(folder)
    assert pin and {"flow.py", "objectives/mlm.py", "train/loop.py", "study/worker.py"} <= pin.files.keys()
    assert not [name for name in pin.files if name.startswith(("plots/", "report/", "lab"))], "they change no number"
    assert "three storeys" in " ".join(code_pin.sentences(pin)), "the accepted change is told"


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


def test_workers_look_at_their_own_package(study, monkeypatch):
    """Here the parent's is made up; theirs is the real one."""
    monkeypatch.setattr(runner, "measure", measure)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["xfm.study"])
    with ProcessPoolExecutor(1, context) as pool, pytest.raises(CodeChanged, match=r"worker: .*more\."):
        study.run(pool)
    assert len(study.missing()) == 4 and not study.failed() and not (study.folder / "code.json").exists()


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_pin_is_named_with_the_way_out(tmp_path, text):
    (tmp_path / "code.json").write_text(text)
    with pytest.raises(StudyError, match=r"code.json: must have files.*Put a good copy back"):
        code_pin.read(tmp_path)
