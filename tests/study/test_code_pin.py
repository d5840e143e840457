"""The code of a study is pinned with its first result; another package is refused, or accepted for a reason."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from study.conftest import ROOT, tiny

from xfm.config import ConfigError
from xfm.study import StudyError, code_pin, command, runner
from xfm.study.code_pin import CodeChanged
from xfm.study.study_metrics import Measured, Metric
from xfm.study.worker import Outcome, measure

sys.path.insert(0, str(ROOT / "scripts"))
import house

SMALL = {
    "flow.py": "the stop\n",
    "train/loop.py": "steps\n",
    "objectives/mlm.py": "a loss\n",
    "study/worker.py": "measures\n",
    "study/spec.py": "plans\n",
    "plots/charts.py": "bars\n",
    "report/page.html.jinja": "page\n",
    "pretrained/demo/model.safetensors": "weights",
    "train/__pycache__/loop.cpython-311.pyc": "bytes",
    ".hidden.py": "x",
}
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


def test_it_is_pinned_with_the_first_result_and_not_before(study, monkeypatch):
    def refuse(*_):
        raise ValueError("no luck")

    monkeypatch.setattr(runner, "measure", refuse)
    with pytest.warns(UserWarning, match="failed twice"):
        study.run()
    assert not (study.folder / "code.json").exists()
    monkeypatch.setattr(runner, "measure", outcome)
    study.run()
    pin = code_pin.read(study.folder)
    assert pin and pin.files == code_pin.package_files() and (pin.unpinned, pin.accepted) == (0, [])


def test_what_was_trained_already_is_told(study, tmp_path, monkeypatch, package):
    def of_one_variant_a_seed(config: str, *_: object) -> Outcome:
        tree = json.loads(config)
        return outcome()._replace(found=bool(tree["flow"]["text_gradient"]["itm"]) == bool(tree["seed"]))

    monkeypatch.setattr(runner, "measure", of_one_variant_a_seed)
    study.run()
    pin = code_pin.read(study.folder)
    assert pin and pin.found == [["xfm", 0], ["no_stop_gradient", 1]]
    said = "when the study came to them, by code that is not checked: xfm, 1 seed and no_stop_gradient, 1 seed."
    assert said in study.report(tmp_path / "report.html").read_text()
    (package / "flow.py").write_text("no stop\n")
    reload(monkeypatch)
    study.accept_code("names only")
    again = code_pin.read(study.folder)
    assert again and again.found == pin.found and len(again.accepted) == 1


def test_a_changed_package_is_refused_with_its_files_until_it_is_accepted(study, package, tmp_path, monkeypatch):
    study.run()
    before = study.table.read_text()
    (package / "flow.py").write_text("no stop\n")
    (package / "model").mkdir()
    (package / "model/xfm.py").write_text("new\n")
    reload(monkeypatch)
    grown = tiny("pinned", tmp_path, seeds=[0, 1, 2])
    with pytest.raises(
        CodeChanged, match=r"xfm/flow.py and xfm/model/xfm.py\. Put the files back.*--accept-code"
    ) as error:
        grown.run()
    assert isinstance(error.value, StudyError) and study.table.read_text() == before and not grown.failed()
    assert len(grown.missing()) == 2 and len(grown.effects()) == 1, "what is there is still told"
    with pytest.raises(ConfigError, match="a reason"):
        grown.accept_code(" ")
    old = code_pin.digest(json.loads((study.folder / "code.json").read_text())["files"])
    new = code_pin.digest(code_pin.package_files())
    assert f"accepted: {old} -> {new}" in grown.accept_code("<b>names</b> only")
    assert "nothing to accept" in grown.accept_code("again")
    grown.run()
    assert len(grown.missing()) == 0
    pin = code_pin.read(study.folder)
    assert pin and pin.files == code_pin.package_files()
    assert pin.accepted == [
        {"old": old, "new": new, "changed": ["flow.py", "model/xfm.py"], "runs": 4, "reason": "<b>names</b> only"}
    ]
    page = grown.report(tmp_path / "report.html").read_text()
    assert f"After 4 runs the package changed from {old} to {new} (xfm/flow.py and xfm/model/xfm.py)" in page
    assert "<b>names</b>" not in page and "&lt;b&gt;names" in page


@pytest.mark.parametrize("path, refused", [("plots/charts.py", False), ("study/spec.py", False),
                                           ("objectives/mlm.py", True), ("study/worker.py", True)])  # fmt: skip
def test_a_changed_plot_does_not_refuse_a_study_and_a_changed_loss_does(
    study, package, tmp_path, monkeypatch, path, refused
):
    study.run()
    old = json.loads((study.folder / "code.json").read_text())
    old["files"] |= {"plots/charts.py": "0" * 12, "evaluation/tasks.py": "1" * 12}  # as pins of every file had it
    (study.folder / "code.json").write_text(json.dumps(old))
    (package / path).write_text("changed\n")
    reload(monkeypatch)
    grown = tiny("pinned", tmp_path, seeds=[0, 1, 2])
    if refused:
        with pytest.raises(CodeChanged, match=f": xfm/{path}. Put the files back"):
            grown.run()
        assert "accepted: " in grown.accept_code("the same to the last digit")
        assert json.loads((study.folder / "code.json").read_text())["accepted"][0]["changed"] == [path]
    grown.run()
    assert len(grown.missing()) == 0


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


def test_a_process_with_old_modules_is_to_be_restarted(study, package):
    (package / "flow.py").write_text("edited since\n")
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


def test_a_study_of_before_there_were_pins_goes_on_and_says_so(study, package, tmp_path):
    study.run()
    (study.folder / "code.json").unlink()
    (package / "flow.py").write_text("another\n")
    assert len(study.results()) == 4 and "package" not in study.report(tmp_path / "old.html").read_text()
    code_pin._IMPORTED = code_pin.package_files()
    grown = tiny("pinned", tmp_path, seeds=[0, 1, 2])
    with pytest.raises(StudyError, match="no code is pinned yet"):
        grown.accept_code("why")
    grown.run()
    assert "4 of the runs were made before it was, by code that is not known" in grown.report().read_text()


def test_without_results_an_old_pin_binds_nobody(study, package, monkeypatch):
    study.run()
    shutil.move(study.table, study.folder / "old.csv")
    (package / "flow.py").write_text("another\n")
    reload(monkeypatch)
    study.run()
    pin = code_pin.read(study.folder)
    assert pin and pin.files == code_pin.package_files() and pin.unpinned == 0


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_pin_is_named_with_the_way_out(tmp_path, text):
    (tmp_path / "code.json").write_text(text)
    with pytest.raises(StudyError, match=r"code.json: must have files.*Put a good copy back"):
        code_pin.read(tmp_path)


def test_the_command_accepts_and_goes_on(study, package, monkeypatch, capsys):
    study.run()
    (study.folder / "code.json").write_text(json.dumps({"files": {"flow.py": "0" * 12}}))
    study.table.write_text("".join(study.table.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(CodeChanged):
        command(str(study.folder), 1, runs=study.runs)
    command(str(study.folder), 1, runs=study.runs, accept_code="a typo")
    assert "accepted: " in capsys.readouterr().out and len(study.missing()) == 0
    assert Path(study.folder / "report.html").read_text().count("“a typo”") == 1
