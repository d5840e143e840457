"""What notebook 13 and the guide say of seeds and pairs is in the results of the studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

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
