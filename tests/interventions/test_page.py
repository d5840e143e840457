"""docs/interventions.md: its names are there, its examples run."""

import re
from pathlib import Path

from xfm import recipes

PAGE = (Path(__file__).parents[2] / "docs" / "interventions.md").read_text("utf-8")


def test_its_names_are_ablations_and_its_examples_run(tmp_path, monkeypatch, capsys):
    cells = " ".join(re.findall(r"^\|(.*?[^\\])\|", PAGE, re.M))
    assert len(named := {*re.findall(r"`([\w.]+)`", cells)}) > 20 and named <= recipes.ablations().keys()
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S):
        exec(compile(code, "docs/interventions.md", "exec"), names)
    assert len(capsys.readouterr().out.split()) == 4 and len(names["records"]) == 2
    assert len(names["study"].spec.variants) == 6
