"""What the pages say of the exploration of guidance's targets is in its results."""

from __future__ import annotations

import pandas as pd
import pytest

from xfm.study import Study

from .conftest import ROOT, page

WEIGHTS = ("0.3", "1", "3")
LINEAR = "concept, pooled, linear probe, accuracy"


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.load(ROOT / "studies/guidance-exploration")


@pytest.fixture(scope="module")
def beyond(study: Study) -> pd.DataFrame:
    """Points beyond no MIM, by metric and variant; a column a seed."""
    values = study.results().set_index(["metric", "variant", "seed"])["value"].unstack()
    return 100 * (values - values.xs("none", level="variant").reindex(values.index.get_level_values("metric")).values)


def test_weights_were_chosen_as_is_said(study: Study, beyond: pd.DataFrame) -> None:
    both = beyond.loc[[study.spec.primary[0], LINEAR], [0, 1]].mean(axis=1).groupby("variant").mean()
    late = both[both.index.str.contains(" x ") & ~both.index.str.contains("early")]
    best = late.groupby(late.index.str.split(" x ").str[0]).idxmax()
    confirmed = [v for v in Study.load(ROOT / "studies/guidance").spec.variants if " x " in v and "early" not in v]
    assert sorted(best) == sorted(confirmed)


def test_what_two_seeds_show_and_do_not(study: Study, beyond: pd.DataFrame) -> None:
    neighbours, boxes = study.spec.primary
    xfm = beyond.loc[(neighbours, "xfm")]
    told = f"has {xfm[[0, 1]].mean():.1f} points of k-NN more than no MIM here; at seed 2, which came last, it has"
    assert f"{told} {-xfm[2]:.1f} less" in page("studies/README.md")
    early = beyond[beyond.index.get_level_values("variant").str.contains("early")][[0, 1]]
    assert (early.loc[neighbours] < 0).all(axis=None) and len(early.loc[neighbours]) == 4
    assert [*early.loc[boxes].index[early.loc[boxes].mean(axis=1) > 0]] == ["stage1 x 1, early"]
    assert (early.loc[boxes].drop("stage1 x 1, early") < 0).all(axis=None)


def test_the_order_of_targets_is_as_is_said(study: Study, beyond: pd.DataFrame) -> None:
    text = page("studies/README.md")
    assert "in eleven of twelve runs, and as many in the twelfth" in text and "have fewer in eleven of twelve" in text

    def runs(*targets: str) -> pd.Series:
        return pd.concat([beyond.loc[(study.spec.primary[0], f"{t} x {w}"), [0, 1]] for t in targets for w in WEIGHTS])

    learning, fixed = runs("self", "ema").round(6), runs("stage1", "pixels")
    assert (learning > 0).sum() == 11 and (learning == 0).sum() == 1 and len(learning) == 12
    assert (fixed < 0).sum() == 11 and len(fixed) == 12
    assert beyond.loc[(study.spec.primary[0], "xfm"), 2] < 0
