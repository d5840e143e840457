"""studies/make_relations.py: a line a run, and none twice."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from xfm.evaluation.relations import Row

PATH = Path(__file__).parents[2] / "studies" / "make_relations.py"


def test_a_run_that_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_from_file_location("make_relations", PATH)
    assert spec and spec.loader
    spec.loader.exec_module(script := module_from_spec(spec))
    asked, print_of = [], {"a": "f1", "b": "f2"}

    def measure(context, sizes) -> list[Row]:
        asked.append((context.config.seed, sizes.test))
        return [Row("probe", "relation", "accuracy", 0.75, 0.7, 0.8, 16, 0.5, "vision", layer, "both boxes")
                for layer in range(2)]  # fmt: skip

    def load(name: str) -> SimpleNamespace:
        config = SimpleNamespace(seed=len(name), fingerprint=print_of[Path(name).name])
        return SimpleNamespace(config=config, model=None, tokenizer=None)

    monkeypatch.setattr(script, "measure_relations", measure)
    monkeypatch.setattr(script, "EvalContext", lambda model, config, tokenizer: SimpleNamespace(config=config))
    monkeypatch.setattr(script.xfm, "load", load)

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["make_relations.py", *arguments, "--out", str(tmp_path)])
        script.main()

    run("a")
    file = tmp_path / "results.jsonl"
    file.write_text(file.read_text("utf-8") + '{"run": "b", "se', encoding="utf-8")  # killed as it wrote
    run("a", "b")
    assert asked == [(1, 600)] * 2
    table = pd.read_csv(tmp_path / "results.csv")
    assert len(table) == 4 and set(table["run"]) == {"a", "b"} and {*table.columns} == {"run", "seed", *Row._fields}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"probes.png", "probes.pdf"}
    monkeypatch.setitem(print_of, "a", "other weights")
    run("a", "b")
    run("b", "--test", "20")
    run("b", "--test", "20")
    assert [test for _, test in asked] == [600, 600, 600, 20]
    assert {path.name for path in tmp_path.iterdir()} == {"results.jsonl", "results.csv", "figures"}
