"""What notebook 13 and the guide say of seeds and pairs is in the results of the studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from xfm.report.run_sentences import listed
from xfm.study import Study
from xfm.study.statistics import detectable

from .conftest import ROOT, page

BOXES, CONCEPTS = "grounding (several objects), acc@0.5", "concept, pooled, linear probe, accuracy"
LOSS, RECALL = "language, loss (nats)", "image to text, ITC, R@1"


def worth(study: Study, variant: str, *metrics: str) -> list[float]:
    table = study.spread(metrics).set_index(["variant", "metric"])["worth"]
    return [table[variant, metric] for metric in metrics]


@pytest.fixture(scope="module")
def insulation() -> Study:
    return Study.load(ROOT / "studies/insulation")


@pytest.fixture(scope="module")
def values(insulation: Study) -> pd.DataFrame:
    return insulation.results().set_index(["metric", "variant", "seed"])["value"].unstack()


def test_how_far_seeds_lie_apart(values: pd.DataFrame) -> None:
    text = page("notebooks/13_what_varies.ipynb")
    ends = {metric: 100 * values.loc[(metric, "xfm")].agg(["min", "max"]) for metric in (RECALL, BOXES, CONCEPTS)}
    recall, boxes, concepts = (f"between {low:.1f} and {high:.1f}" for low, high in ends.values())
    assert f"R@1 lies {recall} %, its boxes {boxes}, its concepts {concepts}" in text
    means = [100 * values.loc[(metric, "xfm")].mean() for metric in (RECALL, BOXES)]
    assert f"has a mean of {means[0]:.0f} %" in text and f"boxes, with a mean of {means[1]:.0f} %" in text


def test_what_a_pair_is_worth(insulation: Study) -> None:
    loss, concepts, boxes, recall = (f"{x:.0f}" for x in worth(insulation, "no stop", LOSS, CONCEPTS, BOXES, RECALL))
    book, guide = page("notebooks/13_what_varies.ipynb"), page("docs/studies.md")
    assert f"worth {loss} trainings of each arm for the language encoder's loss, {concepts} for concepts, " in book
    assert f"{boxes} for boxes, {recall} for R@1" in book
    assert f"worth {loss} unpaired trainings of each for the language encoder's loss and {boxes} for boxes" in guide
    general = Study.load(ROOT / "studies/general")
    table = general.spread(general.spec.primary).set_index("variant")["worth"]
    for variants, said in ((["clip_like", "bert_like"], book), (["clip_like"], guide)):
        low, high = table.loc[variants].min(), table.loc[variants].max()
        assert f"{low:.1f} to {high:.1f}" == "1.0 to 1.1" and "1.0 to 1.1" in said


def test_what_three_seeds_say(values: pd.DataFrame) -> None:
    """By ten thousand draws of three."""
    rng = np.random.default_rng(0)
    draws = rng.permuted(np.tile(np.arange(12), (10_000, 1)), axis=1)

    def wrong(metric: str) -> tuple[str, float, float]:
        ours, theirs = (values.loc[(metric, arm)].to_numpy() for arm in ("xfm", "no stop"))
        twelve = (theirs - ours).mean()
        pairs = (theirs - ours)[draws[:, :3]].mean(1)
        strangers = theirs[draws[:, :3]].mean(1) - ours[draws[:, 3:6]].mean(1)
        shares = (float(100 * (seen * twelve < 0).mean()) for seen in (pairs, strangers))
        return f"{100 * abs(twelve):.1f} points", *shares

    text = page("notebooks/13_what_varies.ipynb")
    boxes, none, some = wrong(BOXES)
    told = (
        f"Boxes' {boxes} never change their sign in three pairs, and do in {some:.0f} of 100 draws of three strangers"
    )
    assert none == 0 and told in text
    recall, none, some = wrong(RECALL)
    assert none == 0 and f"R@1's {recall} in {some:.0f}." in text
    concepts, some, _ = wrong(CONCEPTS)
    assert f"show {concepts} of concepts, three have the other sign in {some:.0f} of 100" in text


def test_what_twelve_pairs_find(values: pd.DataFrame) -> None:
    found = [
        100 * detectable(12) * (values.loc[(BOXES, arm)] - values.loc[(BOXES, "xfm")]).std()
        for arm in ("no stop", "text frozen")
    ]
    text = page("notebooks/13_what_varies.ipynb")
    assert f"find {found[0]:.1f} points of boxes against X-FM without the stop, and {found[1]:.1f} against a" in text


def test_what_a_source_alone_brings() -> None:
    """By ten draws of each."""
    study = Study.load(ROOT / "studies/varies")
    names = {LOSS: "the language encoder's loss", CONCEPTS: "concepts", BOXES: "boxes", RECALL: "R@1"}
    table = study.spread([*names]).set_index(["metric", "variant"])
    n = 10
    assert {*table["n"], *study.median_shares()["n"]} == {n}
    book, pages = page("notebooks/13_what_varies.ipynb"), page("studies/README.md")

    def sd(metric: str, source: str) -> str:
        value = table.loc[(metric, source if source == "xfm" else f"{source} alone"), "sd"]
        return f"{100 * value:.1f}" if metric == BOXES else f"{value:.4f}"

    assert "ten draws of each." in book and "ten draws of each source" in pages
    others = [sd(LOSS, source) for source in ("data", "masks", "weights", "negatives")]
    assert f"a standard deviation of {sd(LOSS, 'xfm')} nats where all varies and of {sd(LOSS, 'warm_start')} by" in book
    assert f"negatives alone of {', '.join(others[:3])} and {others[3]}." in book
    assert f"{sd(LOSS, 'warm_start')} nats, by anything else alone {max(others)} at most" in book
    assert f"{sd(LOSS, 'warm_start')} nats by the warm start alone, {others[0]} by data, {others[1]} by masks" in pages
    alone = f"alone it gives that loss a standard deviation of {sd(LOSS, 'warm_start')} nats"
    assert f"{alone}, any other source {max(others)} at most" in page("README.md")
    told = {
        source: f"({100 * row['sd_low']:.1f} to {100 * row['sd_high']:.1f})"
        for source, row in table.loc[BOXES].iterrows()
    }
    assert f"Boxes vary by {sd(BOXES, 'warm_start')} points by a start" in book and told["warm_start alone"] in book
    assert f"by {sd(BOXES, 'xfm')} where all varies {told['xfm']}: too few draws" in book
    assert f"boxes {sd(BOXES, 'warm_start')} points by the warm start, which has read text alone" in pages
    factor = f"a factor of {stats.f.ppf(0.975, n - 1, n - 1):.0f} either way"
    assert factor in book and factor in pages
    assert table.loc[(BOXES, "warm_start alone"), "share_low"] < 1, "or boxes show it as well"
    less: dict[str, list[str]] = {}
    for metric, variant in table[table["share_high"] < 1].index:
        less.setdefault(metric, []).append(variant.removesuffix(" alone").replace("_", " "))
    full = "; ".join(f"of {names[metric]}: {listed(less[metric])}" for metric in names if metric in less)
    assert f"less than the whole (full marks): {full}" in book and f"less than the whole: {full}." in pages
