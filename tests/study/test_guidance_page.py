"""What the pages say of the study of guidance is in its results."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from xfm.study import Study

from .conftest import ROOT, page, told, whole

NEIGHBOURS, BOXES = "concept, pooled, k-NN, accuracy", "grounding (several objects), acc@0.5"
NAMING = "naming, accuracy"
FROZEN = ("clip x 0.3", "stage1 x 1", "pixels x 0.3")
EARLY, LATE = "self x 1, early", "self x 1"


@pytest.fixture(scope="module")
def study() -> Study:
    return whole("guidance")


@pytest.fixture(scope="module")
def rows(study: Study) -> pd.DataFrame:
    return study.effects().set_index(["variant", "metric"])


@pytest.fixture(scope="module")
def differences(study: Study) -> pd.DataFrame:
    """Points beside X-FM, by metric and seed; a column a variant."""
    values = study.results().query("metric in @study.spec.primary").set_index(["metric", "seed", "variant"])["value"]
    return 100 * values.unstack().pipe(lambda table: table.sub(table["xfm"], axis=0)).drop(columns="xfm")


@pytest.fixture(scope="module")
def late(study: Study) -> list[str]:
    return [variant for variant in study.spec.references("xfm") if variant != EARLY]


def test_the_hypotheses_came_out_by_the_rule_that_was_written_before(
    study: Study, rows: pd.DataFrame, late: list[str]
) -> None:
    """H1, H3, H5: Holm; H2, H4: TOST for every arm; else not decided (studies/README.md)."""

    def shown(*cells: tuple[str, str]) -> str:
        found = [rows.loc[cell] for cell in cells]
        if all(row["verdict"] == "worse" for row in found):
            return "holds"
        against = any(row["equivalent"] == "yes" or row["verdict"] == "better" for row in found)
        return "does not hold" if against else "not decided"

    def equal(*cells: tuple[str, str]) -> str:
        found = [rows.loc[cell] for cell in cells]
        if all(row["equivalent"] == "yes" for row in found):
            return "holds"
        against = any(row["verdict"] in ("better", "worse") and row["equivalent"] != "yes" for row in found)
        return "does not hold" if against else "not decided"

    expected = [
        shown(("none", NEIGHBOURS)),
        equal(("ema x 0.3", NEIGHBOURS), (LATE, NEIGHBOURS)),
        shown(*((variant, NEIGHBOURS) for variant in FROZEN)),
        equal(*((variant, BOXES) for variant in late)),
        shown((EARLY, NEIGHBOURS), (EARLY, BOXES)),
    ]
    assert [*study.answers()["held"]] == expected
    assert all(rows.loc[(variant, metric), "equivalent"] == "yes" for variant in late for metric in study.spec.primary)


def test_why_is_in_the_tables(rows: pd.DataFrame, late: list[str], differences: pd.DataFrame) -> None:
    text = page("studies/README.md")
    signed = "{:+.2f} points ({:+.2f} to {:+.2f}, "

    def said(variant: str, metric: str, form: str) -> bool:
        return told(rows.loc[(variant, metric)], form) in text

    assert said("none", NEIGHBOURS, signed.replace("points", "points without it") + "Holm <holm>), within the margin")
    assert said("none", NEIGHBOURS, "margin of 2 points (TOST p <tost>)")
    assert said("ema x 0.3", NEIGHBOURS, "The average " + signed + "TOST p <tost>)")
    assert said(LATE, NEIGHBOURS, "the outputs on the one scale {:+.2f} ({:+.2f} to {:+.2f}, TOST p <tost>)")
    assert said("clip x 0.3", NEIGHBOURS, "CLIP-like " + signed + "TOST p <tost>)")
    assert said("stage1 x 1", NEIGHBOURS, "stage 1 {:+.2f} ({:+.2f} to {:+.2f}, Holm <holm>, TOST p <tost>)")
    assert said("pixels x 0.3", NEIGHBOURS, "pixels {:+.2f} ({:+.2f} to {:+.2f}, TOST p <tost>)")
    boxes = rows.xs(BOXES, level="metric").loc[late]
    assert f"(largest TOST p {boxes['p_equivalent'].max():.4f})" in text
    assert [*boxes.index[boxes["verdict"] != "no difference shown"]] == ["none", "clip x 0.3", "ibot x 1"]
    form = "by {:.2f} points ({:.2f} to {:.2f}, Holm <holm>)"
    assert said("none", BOXES, f"none {form}") and said("ibot x 1", BOXES, f"iBOT-style {form.replace(' points', '')}")
    assert said("clip x 0.3", BOXES, f"CLIP-like {form.replace(' points', '')}")
    assert said(EARLY, BOXES, "Boxes, yes: " + signed + "Holm <holm>), fewer in every seed")
    assert said(EARLY, NEIGHBOURS, "are not shown: " + signed + "Holm <holm>), fewer in ten seeds, more in two")
    fewer = (differences[EARLY] < 0).groupby("metric").sum()
    assert fewer[BOXES] == 12 and fewer[NEIGHBOURS] == 10 and (differences[EARLY] != 0).all()


def test_what_it_says_is_in_its_results(
    study: Study, rows: pd.DataFrame, late: list[str], differences: pd.DataFrame
) -> None:
    text, none = page("studies/README.md"), {metric: rows.loc[("none", metric)] for metric in study.spec.primary}
    levels = [f"{100 * none[m]['mean_against']:.2f} % of {what}" for m, what in ((NEIGHBOURS, "nei"), (BOXES, "boxes"))]
    assert f"has {levels[0]}" in text and f"{levels[1]} (best constant box {100 * none[BOXES]['baseline']:.2f})" in text
    assert f"(raw pixels {100 * none[NEIGHBOURS]['baseline']:.2f})" in text
    assert f"of none these seeds find {100 * none[NEIGHBOURS]['detectable']:.2f} and" in text
    assert f"and {100 * none[BOXES]['detectable']:.2f} in 80 % of studies" in text
    assert told(none[NEIGHBOURS], "fresh ones it has {:.2f} ({:.2f} to +{:.2f})", sign=-1) in text
    asked = [NAMING, *(f"{way}, ITC, R@1" for way in ("image to text", "text to image"))]
    asked += [f"concept{of}, linear probe, accuracy" for of in (", pooled", " of a patch, tokens")]
    found = rows["effect"].unstack().loc[late, asked]
    assert (100 * found.abs()).max(axis=None) < 1

    ends = {v: [seed[-1]["guidance"] for seed in study.probes()[v]] for v in study.spec.variants if v != "none"}
    gained = {v: np.mean([end["agreement"] - end["agreement_of_mean"] for end in ends[v]]) for v in ends}
    learnt = [gained[v] for v in ("xfm", "stage1 x 1", "pixels x 0.3", "ema x 0.3")]
    assert "{:.2f} for X-FM, {:.2f} for stage 1, {:.2f} for pixels, {:.2f} for the average".format(*learnt) in text
    assert abs(gained["clip x 0.3"]) < 0.005 and max(gained, key=lambda v: gained[v]) == "stage1 x 1"
    assert "gain most over it on those of the encoder that was trained alone" in page("notebooks/05_guidance.ipynb")

    early = study.contrast({EARLY: 1, LATE: -1}, [NEIGHBOURS, BOXES, NAMING])
    ends_of = "({:+.2f} to {:+.2f})"
    for metric, form in ((NEIGHBOURS, "{:+.2f} points of neighbours "), (BOXES, "{:+.2f} of boxes "),
                         (NAMING, "{:+.2f} of naming ")):  # fmt: skip
        assert told(early.loc[metric], form + ends_of) in text
    seeds = differences.loc[NEIGHBOURS, EARLY]
    assert f"between {-seeds.min():.2f} fewer and {seeds.max():.2f} more than X-FM's" in text
    assert f"these seeds would find {100 * rows.loc[(EARLY, NEIGHBOURS), 'detectable']:.2f}." in text


def test_without_the_seed_of_another_precision_nothing_changes(rows: pd.DataFrame, differences: pd.DataFrame) -> None:
    text, without = page("studies/README.md"), differences.drop(index=104, level="seed").groupby("metric")
    means, half = without.mean(), 2.2281 * without.sem()
    assert (means - differences.groupby("metric").mean()).abs().max(axis=None) < 0.6
    assert (without.size() == 11).all()
    opened = {}
    for metric in means.index:
        for variant in means:
            low, high = (means.loc[metric, variant] + sign * half.loc[metric, variant] for sign in (-1, 1))
            row = rows.loc[(variant, metric)]
            if (low > 0 or high < 0) != (row["low"] > 0 or row["high"] < 0):
                opened[variant, metric] = f"{low:+.2f} to {high:+.2f}".replace("-", "−")
    assert set(opened) == {("data2vec x 0.3", NEIGHBOURS), (LATE, BOXES)}
    assert (
        f"data2vec's target, {opened['data2vec x 0.3', NEIGHBOURS]}, boxes of `{LATE}`, {opened[LATE, BOXES]})" in text
    )


def test_the_other_pages_say_the_same(rows: pd.DataFrame) -> None:
    first, results, guide = (page(name) for name in ("README.md", "docs/results.md", "docs/studies.md"))
    cells = json.loads((ROOT / "notebooks/05_guidance.ipynb").read_text("utf-8"))["cells"]
    book = " ".join(" ".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown").split())
    none, boxes, early = (rows.loc[cell] for cell in (("none", NEIGHBOURS), ("none", BOXES), (EARLY, BOXES)))
    assert told(boxes, "boxes found {:.1f} points more often ({:.1f} to {:.1f})") in first
    assert told(early, "costs {:.1f} points of boxes ({:.1f} to {:.1f})", sign=-1) in first
    assert told(none, "Without MIM {:.2f} points fewer", sign=-1) in results
    assert told(none, "({1:.2f} to +{2:.2f}, equivalent within 2 points)", sign=-1) in results
    assert told(boxes, "found {:.2f} points *more* often ({:.2f} to {:.2f}, Holm <holm>, within the margin") in results
    assert told(early, "cost {:.2f} points of boxes ({:.2f} to {:.2f}, Holm <holm>)", sign=-1) in results
    assert told(none, "none is {:.2f} points below X-FM, equivalent within 2", sign=-1) in guide
    assert told(none, "at twelve fresh ones it has {:.2f} ({:.2f} to +{:.2f})", sign=-1) in book
    assert told(boxes, "found {:.2f} points more often ({:.2f} to {:.2f}): shown, and within the margin") in book
    assert told(early, "costs {:.2f} points of boxes ({:.2f} to {:.2f})", sign=-1) in book
    shy = rows.loc[(EARLY, NEIGHBOURS)]
    assert told(shy, "of neighbours {:.2f} ({:.2f} to {:.2f}), which is not shown", sign=-1) in book
