"""machines.csv: in which precision the runs of a study were trained, and what that does to its pairs."""

import warnings

import pytest
import torch

from xfm import recipes
from xfm.runs import precision
from xfm.runs.precision import reached
from xfm.study import Study, code_pin, run_records, runner, worker
from xfm.study.study_metrics import Ask, Measured, Metric
from xfm.study.worker import Outcome

from .conftest import TINY, tiny, without


@pytest.fixture
def train(monkeypatch):
    """Trains a study on a machine of this precision, and returns its report. `warning`: what it warns of."""

    def of(study: Study, here: str, warning: str = "") -> str:
        rows = [Measured("language", "m", 1.0, 5, Metric("lower", "nats", 9.0, "untrained"))]
        machine = {"torch": "2", "device": "cpu", "precision": here}
        monkeypatch.setattr(runner, "measure", lambda *_: Outcome(rows, 1.0, [], [], machine=[machine]))
        monkeypatch.setattr(code_pin, "reached", lambda asked: asked if asked in ("fp32", "bf16") else here)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            study.run()
        assert [warning in str(w.message) for w in heard] == [True] * bool(warning)
        return study.report().read_text()

    return of


def moved(tmp_path, **other) -> Study:
    return tiny("moved", tmp_path, **{"seeds": [0, 1], "changes": TINY | {"train.precision": "native"}} | other)


def test_a_run_says_which_precision_it_had_and_a_job_returns_it(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for has, native in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: {"avx2": True, "avx512_bf16": has})
        assert [*map(reached, ("auto", "native", "fp32", "bf16"))] == ["fp32", native, "fp32", "bf16"]
    assert recipes.get("study").train.precision in precision.BY_MACHINE
    config = tiny("one", tmp_path).spec.config("xfm", 3).replace({"init_from": "", "train.precision": "native"})
    asks = [Ask("naming", "evaluate")]
    (machine,) = worker.measure(config.to_json(), str(tmp_path / "runs"), asks, str(tmp_path / "told")).machine
    assert machine["precision"] == "bf16" and machine["torch"] == torch.__version__


def test_seeds_that_two_machines_share_are_named(tmp_path, train):
    study = moved(tmp_path)
    page = train(study, "bf16")
    assert "Trained in bf16: 4 runs." in page and "another precision" not in page
    without(study, "no_stop_gradient", seed=1)
    page = train(study, "fp32", "of seed 1 are in another precision")
    assert "Trained in bf16: 3 runs and fp32: 1 run." in page
    assert "Some runs of seed 1 are in another precision" in page


def test_a_precision_that_a_variant_asks_for_is_no_mixture(tmp_path, train):
    study = moved(tmp_path, variants={"xfm": {}, "narrow": {"train.precision": "fp32"}})
    assert "another precision" not in train(study, "bf16")
    assert [line["precision"] for line in run_records.read_records(study.folder / "machines.csv")] == ["bf16"] * 4
    assert code_pin.precisions(study.spec, study.folder, [("xfm", 0), ("narrow", 0)]) == ["Trained in bf16: 1 run."]
