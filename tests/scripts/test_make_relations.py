"""studies/make_relations.py: a line a run, and none twice."""

import sys
from pathlib import Path
from types import SimpleNamespace

import make_relations as script
import pandas as pd
import pytest
from relations import Row


@pytest.mark.full
def test_a_run_that_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, print_of = [], {"a": "f1", "b": "f2"}

    def measure(context, sizes) -> list[Row]:
        asked.append((context.config.seed, context.split, sizes.test))
        numbers = "accuracy", 0.75, 0.7, 0.8, 16, 0.5
        return [Row("head", "ITM as it is, caption", *numbers), Row("probe", "relation", *numbers, "vision", 1, "both")]

    def load(name: str) -> SimpleNamespace:
        data = SimpleNamespace(relation_negatives=0.5 * name.endswith("b"))
        config = SimpleNamespace(seed=len(name), fingerprint=print_of[Path(name).name], data=data)
        return SimpleNamespace(config=config, model=None, tokenizer=None)

    monkeypatch.setattr(script, "measure_relations", measure)
    monkeypatch.setattr(script, "EvalContext", lambda _, config, __, split: SimpleNamespace(config=config, split=split))
    monkeypatch.setattr(script.xfm, "load", load)
    monkeypatch.setattr(script.plots.Figure, "bytes", lambda self, kind: kind.encode())  # drawn, and not rendered

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["make_relations.py", *arguments, "--out", str(tmp_path)])
        script.main()

    run("a")
    with open(tmp_path / "results.jsonl", "a", encoding="utf-8") as file:
        file.write('{"run": "b", "se')  # killed as it wrote
    run("a", "b")
    assert asked == [(1, "test", 600)] * 2
    table = pd.read_csv(tmp_path / "results.csv")
    assert len(table) == 4 and {*table.columns} == {"run", "seed", "relation_negatives", "split", *Row._fields}
    assert {*zip(table["run"], table["relation_negatives"], strict=True)} == {("a", 0.0), ("b", 0.5)}
    run("b", "--split", "validation")
    assert asked.pop() == (1, "validation", 600) and len(pd.read_csv(tmp_path / "results.csv")) == 6
    monkeypatch.setitem(print_of, "a", "other weights")
    run("a", "b")
    run("b", "--test", "20")
    assert [test for *_, test in asked] == [600, 600, 600, 20]
