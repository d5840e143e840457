"""The statistics against scipy, enumeration and closed forms; then what they promise, over simulated studies."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from xfm.study.statistics import can_reach, detectable, equivalence, gatekeeping, holm, paired, sign_flip, smallest_p

DIFFERENCES = st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=3, max_size=9)
SHARES = st.lists(st.integers(-4, 4).map(lambda k: k / 400), min_size=3, max_size=8)  # ties and zeros


@given(DIFFERENCES)
def test_the_interval_is_the_paired_t_interval(x):
    found = paired(x)
    assert found.effect == pytest.approx(np.mean(x))
    if np.std(x) > 1e-6:
        expected = stats.ttest_1samp(x, 0).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx(tuple(expected))
        assert found.d == pytest.approx(stats.ttest_1samp(x, 0).statistic / math.sqrt(len(x)))


@given(SHARES)
def test_p_is_the_share_of_sign_flips_at_least_as_extreme(shares):
    whole = [round(400 * x) for x in shares]  # exact sums
    sums = [
        abs(sum(s * k for s, k in zip(signs, whole, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(whole))
    ]
    assert sign_flip(np.array(shares)) == pytest.approx(np.mean([s >= abs(sum(whole)) for s in sums]))


@given(DIFFERENCES)
def test_p_is_never_below_the_smallest_that_n_allows(x):
    found = paired(x)
    assert found.p_min == 2 / 2 ** len(x) == smallest_p(len(x))
    assert found.p_min <= found.p <= 1


def test_many_pairs_are_drawn_from_and_agree_with_t():
    x = np.random.default_rng(0).normal(0.3, 1, 40)
    found = paired(x)
    assert found.p == pytest.approx(stats.ttest_1samp(x, 0).pvalue, abs=0.01)
    assert found == paired(x), "the draws are keyed"
    assert paired(np.linspace(1, 2, 40)).p == pytest.approx(found.p_min)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_pairs_give_a_mean_at_most(n):
    found = paired([0.5] * n)
    assert found.n == n
    assert found.effect == 0.5 if n else math.isnan(found.effect)
    assert all(map(math.isnan, (found.low, found.high, found.p, found.p_min, found.d, found.detectable)))


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.25, 2 / 2**5), (-0.1, 2 / 2**5)])
def test_equal_differences_have_an_interval_without_width_and_no_d(value, p):
    found = paired([value] * 5)
    assert (found.effect, found.low, found.high) == pytest.approx((value,) * 3)
    assert found.p == p and math.isnan(found.d)
    assert found.detectable == 0


def test_equal_but_for_rounding_is_equal():
    assert math.isnan(paired([0.3 - 0.1, 0.2 - 0.0, 0.7 - 0.5]).d)


@pytest.mark.parametrize(("d", "n"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_the_detectable_effect_is_the_tables(d, n):
    """G*Power, two-sided paired t, alpha .05, power .8: n is the fewest pairs."""
    assert detectable(n) <= d < detectable(n - 1)


@pytest.mark.parametrize(("tests", "n"), [(1, 3), (1, 6), (2, 7), (3, 7), (6, 8), (9, 9), (9, 10), (24, 10), (60, 12)])
def test_the_detectable_effect_is_found_in_80_of_100_studies(tests, n):
    """At the level of every family that Holm's test can decide, and uncorrected."""
    x = np.random.default_rng(n).normal(detectable(n, 0.05 / tests), 1, (n, 40_000))
    assert np.mean(stats.ttest_1samp(x, 0).pvalue <= 0.05 / tests) == pytest.approx(0.8, abs=0.01)
    assert can_reach(tests, n) or tests == 1


@pytest.mark.parametrize(("tests", "n"), [(1, 6), (3, 8), (8, 10), (8, 12), (24, 12), (8, 16)])
def test_what_sign_flips_can_detect_they_find_in_80_of_100_studies(tests, n):
    """With few pairs they find less than the t-test does."""
    size = detectable(n, 0.05 / tests, "sign flips")
    x = np.random.default_rng(n).normal(size, 1, (n, 2000))
    assert np.mean(sign_flip(x) <= 0.05 / tests) == pytest.approx(0.8, abs=0.03)
    assert size > detectable(n, 0.05 / tests) or n >= 15


def test_where_no_p_can_reach_the_level_nothing_is_detectable():
    assert detectable(5, 0.05, "sign flips") == math.inf == detectable(8, 0.05 / 8, "sign flips")
    for x in (np.full(5, 3.0), np.arange(5.0)):
        assert paired(x, "sign flips").detectable == math.inf


@given(DIFFERENCES, st.floats(0.01, 20))
def test_equivalence_is_two_one_sided_tests_and_the_90_interval_says_the_same(x, margin):
    if np.std(x) < 1e-6:
        return
    found = equivalence(x, margin)
    sides = (("greater", -margin), ("less", margin))
    assert found.p == pytest.approx(max(stats.ttest_1samp(x, m, alternative=s).pvalue for s, m in sides), abs=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(stats.ttest_1samp(x, 0).confidence_interval(0.9)))
    assert found.equivalent == (found.p <= 0.05)
    if abs(found.p - 0.05) > 1e-6:
        assert found.equivalent == (-margin <= found.low and found.high <= margin)


def test_a_test_that_is_still_to_come_counts_in_the_family():
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[[0, 2]] == pytest.approx([0.03, 0.08])
    assert math.isnan(adjusted[1])


@pytest.mark.parametrize("p", [[0.3], [0, 0.02, 0.02, 0.02, 1], np.random.default_rng(0).uniform(0, 0.2, 30)])
def test_holm_is_statsmodels(p):
    assert holm(p).tolist() == multipletests(p, method="holm")[1].tolist()


P = st.floats(1e-6, 1)


@given(st.lists(P, min_size=1, max_size=6))
def test_of_one_metric_gates_are_holm_and_of_one_comparison_a_fixed_sequence(p):
    assert gatekeeping([[x] for x in p])[:, 0] == pytest.approx(holm(p))
    assert gatekeeping([p])[0] == pytest.approx(np.maximum.accumulate(p))


@given(st.lists(st.lists(P, min_size=2, max_size=2), min_size=2, max_size=3), st.floats(0.01, 0.2))
def test_gates_reject_what_steps_by_hand_reject(p, alpha):
    """The procedure as it is told: every comparison has alpha / k; what rejects passes it on."""
    p = np.array(p)
    assert (gatekeeping(p) <= alpha).tolist() == by_hand(p, alpha).tolist()


def by_hand(p: np.ndarray, alpha: float) -> np.ndarray:
    """Two metrics. Of comparisons that have passed both gates the level goes to the others, as Holm's would."""
    k = len(p)
    rejected = np.zeros(p.shape, bool)
    while True:
        done = rejected.all(1).sum()
        each = alpha / (k - done) if done < k else 0
        before = rejected.copy()
        for i, m in itertools.product(range(k), range(2)):
            if not rejected[i, m] and rejected[i, :m].all():
                rejected[i, m] = p[i, m] <= each
        if (rejected == before).all():
            return rejected


def test_a_gate_that_stays_shut_shuts_what_is_behind_it():
    adjusted = gatekeeping([[0.2, 0.0001, 0.0001], [0.001, math.nan, 0.0001]])
    assert (adjusted[0] >= 0.2).all() and adjusted[1, 0] == pytest.approx(0.002)
    assert math.isnan(adjusted[1, 1]) and adjusted[1, 2] == 1


@pytest.mark.parametrize("true_effects", [(), ((0, 0), (1, 0)), ((0, 0), (0, 1), (1, 0))])
def test_of_studies_at_most_alpha_reject_what_is_true(true_effects):
    rng = np.random.default_rng(len(true_effects))
    null = np.ones((3, 2), bool)
    for at in true_effects:
        null[at] = False
    p = rng.uniform(size=(2000, 3, 2))
    p[:, ~null] **= 12  # effects, mostly found
    wrong = [(gatekeeping(one)[null] <= 0.05).any() for one in p]
    assert np.mean(wrong) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
