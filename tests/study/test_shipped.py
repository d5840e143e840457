"""What studies/README.md says of the shipped studies is in their data."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from xfm.config import AttentionFunction
from xfm.plots.colours import ORANGE, PURPLE
from xfm.study import Study
from xfm.study.formatting import number
from xfm.study.variants import labelled

STUDIES = Path(__file__).parents[2] / "studies"
TEXT = " ".join((STUDIES / "README.md").read_text("utf-8").split())
LOSS = "language, loss (nats)"


@pytest.fixture(scope="module")
def two() -> Study:
    return Study.load(STUDIES / "two-by-two")


def minus(text: str) -> str:
    return text.replace("-", "−")


def test_every_95_interval_is_in_a_table():
    said = re.findall(r"[+−][\d.]+ to [+−][\d.]+", TEXT[TEXT.index("## What they show") :])
    tables = "".join(file.read_text("utf-8") for file in STUDIES.glob("*/figures/effects.md"))
    of_90 = Study.load(STUDIES / "dose").equivalence(LOSS, 0.005)
    tables += " ".join(minus(f"{row.low:+.4f} to {row.high:+.4f}") for row in of_90.itertuples())
    assert len(said) > 8 and [interval for interval in said if interval not in tables] == []
    assert of_90["equivalent"].tolist() == [True, True, False]


def test_the_table_of_baselines(two):
    metrics = two.metrics()
    effects = two.effects().query("variant == 'no_stop_gradient'").set_index("metric")
    lines = [line for line in (STUDIES / "README.md").read_text("utf-8").splitlines() if line.count("|") == 5]
    keys = {
        "language loss": LOSS,
        "ITM, held": "validation/pairs/itm",
        "naming 100": "naming, accuracy",
        "concept, lin": "concept, pooled, linear probe, accuracy",
        "image to text": "image to text, ITC, R@1",
    }
    for start, key in keys.items():
        row = next(line for line in lines if line.startswith(f"| {start}"))
        values = metrics[key].baseline, *effects.loc[key, ["mean_against", "mean"]]
        assert re.findall(r"\d+\.\d+", row) == [number(value, metrics[key].unit) for value in values]
        assert f"({metrics[key].baseline_name})" in row


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


CONFIRM = {"two-by-two", "dose", "insulation", "general", "negatives", "guidance", "mends", "elsewhere"}


def test_which_studies_can_confirm():
    kinds = {path.parent.name: Study.load(path.parent).spec.kind for path in STUDIES.glob("*/spec.json")}
    assert {name for name, kind in kinds.items() if kind == "confirmatory"} == CONFIRM
    assert all(f"| [`{name}`]({name}) | {kind} |" in TEXT for name, kind in kinds.items())
    assert min(Study.load(STUDIES / "which-loss").effects()["p_holm"].dropna()) == 0.25


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


def test_a_run_takes_75_seconds(two):
    assert f"A run takes {two.results().groupby(['variant', 'seed'])['seconds'].first().mean():.0f} s" in TEXT


def test_the_verdicts(two):
    effects = two.effects().set_index(["variant", "metric"])
    language = effects.loc["no_stop_gradient"].query("family == 'language'")
    assert language["verdict"].tolist() == ["worse", "no difference shown", "no difference shown"]
    guided = effects.loc["no_guidance"].query("role == 'primary'")
    assert guided["verdict"].tolist() == ["worse", "no difference shown", "no difference shown"]
    found = (100 * guided["detectable"].iloc[1:]).round(1).tolist()
    assert f"only have found {found[0]} and {found[1]} points" in TEXT
    assert "k-NN on patches is worse by 4.4 points" in TEXT
    patches = effects.loc["no_guidance", "concept of a patch, tokens, k-NN, accuracy"]
    assert round(100 * patches["effect"], 1) == -4.4 and patches["mean_against"] < patches["baseline"]
    retrieval = effects.loc["no_guidance"].filter(regex="R@", axis=0).query("better != ''")["verdict"]
    assert retrieval.value_counts().to_dict() == {"better": 12, "no difference shown": 4}


def test_the_training_probe(two):
    probes = two.probes()
    ends = {v: [seed[-1] for seed in probes[v]] for v in ("xfm", "no_stop_gradient")}
    for pair in ("itm mlm", "imlm mlm"):
        means = {v: np.mean([[r["cosine"]["language"][pair] for r in seed] for seed in probes[v]], 0) for v in ends}
        assert all(np.abs(m).max() < 0.04 and abs(m[-1]) < 0.03 for m in means.values())
    drift = {v: np.mean([r["drift"]["language"] for r in rows]) for v, rows in ends.items()}
    assert f"({drift['no_stop_gradient']:.3f} against {drift['xfm']:.3f})" in TEXT
    cka = {v: np.mean([r["cka"]["language"][-1] for r in rows]) for v, rows in ends.items()}
    assert f"CKA {cka['no_stop_gradient']:.2f} against {cka['xfm']:.2f}" in TEXT
    assert {seed[1]["step"] for seed in probes["xfm"]} == {80}
    deviation = np.mean([[seed[i]["guidance"]["target_std"] for i in (0, 1, -1)] for seed in probes["xfm"]], 0)
    assert "falls from {:.3f} to {:.3f} at step 80 and is {:.3f} at the end".format(*deviation) in TEXT


def test_contributions_do_not_add(two):
    losses = Study.load(STUDIES / "which-loss").effects().query("metric == @LOSS").set_index("variant")["effect"]
    alone = losses[["ITM not stopped", "IMLM not stopped", "BBP not stopped"]].sum()
    pairs = two.pairs().query("metric == @LOSS and variant == 'no_stop_gradient' and seed < 16")["difference"]
    assert f"their sum is {alone:.4f}, all three together {pairs.mean():.4f}" in TEXT


def test_where_the_map_is_above_its_baseline():
    cells = Study.load(STUDIES / "map").effects().query("metric == @LOSS")
    assert (cells["mean_against"] > cells["baseline"]).sum() == 7 and "seven of nine cells xfm's" in TEXT
    worse = cells[cells["verdict"] == "worse"]["variant"]
    assert len(worse) == 4 and not worse.str.contains("texts=2,").any()


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
