"""machines.jsonl: in which precision the runs of a study were trained, and what that does to its pairs."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from xfm import recipes
from xfm.runs import precision
from xfm.runs.precision import reached
from xfm.study import Study, code_pin, runner, store, worker
from xfm.study.study_metrics import Measured, Metric
from xfm.study.worker import Outcome

from .conftest import TINY, tiny

FP32, BF16 = ({"torch": "2", "device": "cpu", "precision": name} for name in ("fp32", "bf16"))


@pytest.fixture
def trained_in(monkeypatch):
    """Sets the precision in which runs come out, and which this machine would have."""

    def of(name: str) -> None:
        known = Metric("lower", "nats", 9.0, "untrained")
        machine = {"fp32": FP32, "bf16": BF16}[name]
        outcome = Outcome([Measured("language", "m", 1.0, 5, known)], 1.0, [], [], machine=[machine])
        monkeypatch.setattr(runner, "measure", lambda *_: outcome)
        monkeypatch.setattr(code_pin, "reached", lambda asked: {"fp32": "fp32", "bf16": "bf16"}.get(asked, name))

    return of


def study(tmp_path, **other) -> Study:
    return tiny("moved", tmp_path, **{"seeds": [0, 1], "changes": TINY | {"train.precision": "native"}} | other)


def lost(study: Study, variant: str, seed: int) -> None:
    lines = study.table.read_text().splitlines(keepends=True)
    study.table.write_text("".join(line for line in lines if not line.startswith(f"{variant},{seed},")))


def test_a_run_says_which_precision_it_had(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for has, native in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: {"avx2": True, "avx512_bf16": has})
        found = [reached(asked) for asked in ("auto", "native", "fp32", "bf16")]
        assert found == ["fp32", native, "fp32", "bf16"]
    assert recipes.get("study").train.precision in precision.BY_MACHINE


def test_a_job_returns_what_its_run_was_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    config = tiny("one", tmp_path).spec.config("xfm", 3).replace({"init_from": "", "train.precision": "native"})
    (machine,) = worker.measure(config.to_json(), str(tmp_path / "runs"), ["naming"], str(tmp_path / "told")).machine
    assert machine["precision"] == "bf16" and machine["torch"] == torch.__version__


def test_seeds_that_two_machines_share_are_named(tmp_path, trained_in):
    trained_in("bf16")
    moved = study(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moved.run()
    page = moved.report(tmp_path / "report.html").read_text()
    assert "Trained in bf16: 4 runs." in page and "another precision" not in page

    lost(moved, "no_stop_gradient", 1)
    trained_in("fp32")
    with pytest.warns(UserWarning, match=r"trains in fp32.* of seed 1 are in another precision.*results\.csv"):
        moved.run()
    page = moved.report(tmp_path / "report.html").read_text()
    assert "Trained in bf16: 3 runs and fp32: 1 run." in page
    assert "Some runs of seed 1 are in another precision" in page


def test_whole_seeds_may_be_of_another_machine(tmp_path, trained_in):
    trained_in("bf16")
    study(tmp_path, seeds=[0]).run()
    trained_in("fp32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (both := study(tmp_path, seeds=[0, 1])).run()
    page = both.report(tmp_path / "report.html").read_text()
    assert "Trained in bf16: 2 runs and fp32: 2 runs." in page and "another precision" not in page


def test_a_precision_that_a_variant_asks_for_is_no_mixture(tmp_path, trained_in):
    trained_in("bf16")
    asked = study(tmp_path, variants={"xfm": {}, "narrow": {"train.precision": "fp32"}})
    asked.run()
    assert "another precision" not in asked.report(tmp_path / "report.html").read_text()
    assert [line["precision"] for line in store.read_records(asked.folder / "machines.jsonl")] == ["bf16"] * 4
    assert code_pin.precisions(asked.spec, asked.folder, [("xfm", 0), ("narrow", 0)]) == ["Trained in bf16: 1 run."]


def test_a_study_of_before_it_was_kept_says_nothing(tmp_path, trained_in):
    trained_in("fp32")
    older = study(tmp_path)
    older.run()
    (older.folder / "machines.jsonl").unlink()
    assert "Trained in" not in older.report(tmp_path / "report.html").read_text()
    lost(older, "xfm", 0)
    trained_in("bf16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        older.run()
    assert len((older.folder / "machines.jsonl").read_text().splitlines()) == 1
    assert json.loads((older.folder / "machines.jsonl").read_text())["variant"] == "xfm"
