"""docs/interventions.md: its names and fields are there, its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xfm import recipes
from xfm.base.fields import leaves

PAGE = (Path(__file__).parents[2] / "docs" / "interventions.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in PAGE.splitlines() if line[:1] == "|"]
BODY = [row for row in ROWS if row[0] not in ("name", "---")]


def named(cell: str) -> list[str]:
    return re.findall(r"`([\w.]+)`", cell)


def test_a_name_changes_what_its_row_says() -> None:
    said = {}
    for row in BODY:
        for name in named(row[0]):
            changed = recipes.ablations()[name]
            fields = [field for field in named(" ".join(row[1:])) if field in leaves(recipes.base().to_dict())]
            values = [value for value in changed.values() if value in named(row[1])]
            plain = name in ("no_mim", "no_stop_gradient")
            assert plain or values or set(fields) & changed.keys(), name
            said[name] = row
    new = {n for n in recipes.ablations() if n.startswith(("gradient_", "guide_")) or n.endswith("_stop")}
    assert new | {"l2sp", "ewc", "mlm_distilled", "text_sgd", "text_layer_decay", "text_slow", "mlm_x4"} <= said.keys()


def test_its_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S):
        exec(compile(code, "docs/interventions.md", "exec"), names)
    assert len(capsys.readouterr().out.split()) == 4 and len(names["records"]) == 2
    assert len(names["study"].spec.variants) == 6
