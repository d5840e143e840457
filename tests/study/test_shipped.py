"""What studies/README.md says of the shipped studies is in their data."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import get_args

import pytest

from xfm.config import AttentionFunction
from xfm.study import Study
from xfm.study.variants import labelled

STUDIES = Path(__file__).parents[2] / "studies"
TEXT = " ".join((STUDIES / "README.md").read_text("utf-8").split())


def minus(text: str) -> str:
    return text.replace("-", "−")


def test_the_specs_are_those_that_the_script_writes(monkeypatch: pytest.MonkeyPatch):
    """But for how many steps a specialist's FLOPs make, which takes minutes to count."""
    monkeypatch.syspath_prepend(STUDIES)
    for name in ("regime", "confirm", "make_specs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    counted = json.loads((STUDIES / "general/spec.json").read_text("utf-8"))["variants"]
    monkeypatch.setattr(importlib.import_module("regime"), "models", lambda: counted)
    script, confirm = (importlib.import_module(name) for name in ("make_specs", "confirm"))
    names = ("general", "insulation", "negatives", "guidance", "mends", "elsewhere")
    confirmed = [getattr(confirm, name)() for name in names]
    written = {study.spec.name: study.spec.to_json() for study in (*script.explorations(), *confirmed)}
    assert len(written) == 14
    for name, spec in written.items():
        assert (STUDIES / name / "spec.json").read_text("utf-8") == spec, name


CONFIRM = {"insulation", "general", "negatives", "guidance", "mends", "elsewhere"}


def test_which_studies_can_confirm():
    kinds = {path.parent.name: Study.load(path.parent).spec.kind for path in STUDIES.glob("*/spec.json")}
    assert {name for name, kind in kinds.items() if kind == "confirmatory"} == CONFIRM
    assert all(f"| [`{name}`]({name}) | {kind} |" in TEXT for name, kind in kinds.items())


def test_the_functions_of_attention_are_the_ablations_of_those_names():
    spec = Study.load(STUDIES / "attention").spec
    first, *others = get_args(AttentionFunction)
    assert spec.variants == labelled({first: "xfm"} | {name: name for name in others}) and spec.reference == first
