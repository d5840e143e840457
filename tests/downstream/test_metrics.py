"""Metrics of a split against sklearn and scipy, and their intervals against resampling by hand."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfm.base import seeding
from xfm.tasks.own.glue import mean_of_both
from xfm.tasks.result import RESAMPLES, Measure, binary_f1, bootstrap_interval, matthews, pearson

labels = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=40)
values = st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=3, max_size=40)


@given(labels)
def test_labels_are_measured_as_sklearn_does(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import f1_score, matthews_corrcoef

    said, true = (list(each) for each in zip(*pairs, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is not defined, which is 0 there as well
        assert matthews.value(said, true) == pytest.approx(matthews_corrcoef(true, said), abs=1e-12)
        f1 = f1_score(true, said, zero_division=0)
        assert binary_f1.value(said, true) == pytest.approx(f1, abs=1e-12)
        assert mean_of_both.value(said, true) == pytest.approx((np.equal(said, true).mean() + f1) / 2, abs=1e-12)


@given(values)
def test_a_correlation_is_scipys(pairs: list[tuple[float, float]]) -> None:
    from scipy.stats import pearsonr

    said, true = (np.array(each) for each in zip(*pairs, strict=True))
    if min(np.ptp(said), np.ptp(true)) < 1e-3:
        return  # scipy has none
    assert pearson.value([2.0] * len(true), list(true)) == 0, "who says one thing of all"
    assert pearson.value(list(said), list(true)) == pytest.approx(pearsonr(said, true)[0], abs=1e-6)


def interval(measure: Measure, said: Any, true: Any, groups: np.ndarray | None, key: object) -> tuple[float, float]:
    result = measure.result(("", ""), said, true, groups, (key,), seed=0, split="test")
    assert result.value == measure.value(said, true)
    return result.low, result.high


@pytest.mark.parametrize("metric", [matthews, binary_f1, pearson])
@pytest.mark.parametrize("grouped", [False, True])
def test_an_interval_is_of_resampled_items(metric: Measure, grouped: bool) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 30)
    said = np.where(rng.random(30) < 0.8, true, 1 - true)
    groups = np.arange(30) // 2 if grouped else None
    found = interval(metric, list(said), list(true), groups, "key")
    each = [np.flatnonzero(np.arange(30) // 2 == g) for g in range(15)] if grouped else [[i] for i in range(30)]
    drawn = seeding.rng("bootstrap", "key").integers(len(each), size=(RESAMPLES, len(each)))
    again = [(np.concatenate([each[g] for g in row])).astype(int) for row in drawn]
    naive = np.quantile([metric.value(list(said[i]), list(true[i])) for i in again], (0.025, 0.975))
    assert found == pytest.approx(tuple(naive), abs=1e-12)


def test_of_what_a_metric_is_not_about_it_says_nothing() -> None:
    """One item of a part, and a hit: a resample without it has no number, and is not a miss."""
    scores = np.random.default_rng(1).random(50)
    mean = Measure("mean", lambda said, true: scores)
    assert interval(mean, [0] * 50, [0] * 50, None, 3) == bootstrap_interval(scores, None, 3)
    about = Measure("one", lambda said, true: np.array(said, float), about=lambda true: np.array(true) == "here")
    said, true = [1] + [0] * 9, ["here"] + ["there"] * 9
    assert about.value(said, true) == 1
    assert interval(about, said, true, None, 3) == pytest.approx((0.025, 1))  # as of one hit, not of ten items
    several = [1, 0, 1, 0], ["here", "here", "here", "there"]
    expected = bootstrap_interval([1, 0, 1], [0, 0, 1], 3)
    assert interval(about, *several, np.array([0, 0, 1, 1]), 3) == expected, "groups of the others are none of it"
