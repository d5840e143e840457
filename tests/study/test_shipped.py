"""What studies/README.md says of the shipped studies is in their data."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from xfm.config import AttentionFunction
from xfm.plots.palette import ORANGE, PURPLE
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


def test_a_level_is_drawn_for_all_variants_or_for_none():
    """As far from all as the baseline is here, none is drawn, also where another level is near."""
    metrics = ["alignment (several objects), words, pointing game", "grounding (several objects), acc@0.5"]
    far, near = Study.load(STUDIES / "attention").figure("effects", metrics).axes[:2]
    drawn = [[line.get_color() for line in axes.lines] for axes in (far, near)]
    assert [(colours.count(ORANGE), colours.count(PURPLE)) for colours in drawn] == [(0, 4), (4, 4)]


def test_the_leaderboards():
    said = TEXT[TEXT.index("**Explanations**") : TEXT.index("A probe every")]
    found = pd.read_csv(STUDIES / "leaderboard/agreement.csv").set_index("score")
    means = pd.read_csv(STUDIES / "leaderboard/pretrained/table.csv").set_index(["method", "score"])["mean"]
    better = found.loc["pointing game", ["methods", "pretrained: better than random", "untrained: better than random"]]
    assert better.tolist() == [13, 13, 12]
    precise = found.loc["average precision"]
    assert (
        f"{precise['pretrained: mean']:.2f} on average over the methods, untrained {precise['untrained: mean']:.2f}"
        in said
    )
    assert f"`edges` {means['edges', 'average precision']:.2f}" in said

    def shown(row: pd.Series) -> str:
        return minus(f"{row['rank correlation']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]")

    image = found.loc[["pointing game", "mass in mask", "average precision", "insertion, image", "deletion, image"]]
    order = image.sort_values("rank correlation")
    assert f"{shown(order.iloc[0])} to {shown(order.iloc[-1])}" in said
    assert f"{shown(found.loc['insertion, text'])} and {shown(found.loc['deletion, text'])}" in said
    assert found.loc[["insertion, text", "deletion, text"], "methods"].tolist() == [11] * 2
    gap = means["integrated gradients", "completeness gap"]
    assert f"miss it by {gap:.2f} nats on average" in said
    infidelity = means.xs("infidelity", level="score")
    assert (
        infidelity.idxmax() == "input x gradient"
        and f"the least faithful of all (infidelity {infidelity.max():.2f})" in said
    )
    assert f"infidelity {infidelity['integrated gradients']:.2f}, random {infidelity['random']:.2f}" in said
    board = (STUDIES / "leaderboard/pretrained/README.md").read_text("utf-8")
    assert "more than half of the probability in 89 of the 100 scenes" in " ".join(board.split())
    assert "more than half of the probability in 89 of 100 scenes" in said
