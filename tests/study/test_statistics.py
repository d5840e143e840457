"""The statistics against scipy, enumeration and closed forms; then what they promise, over simulated studies."""

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


@given(SHARES)
def test_p_is_the_share_of_sign_flips_at_least_as_extreme(shares):
    whole = [round(400 * x) for x in shares]  # exact sums
    sums = [abs(sum(map(int.__mul__, signs, whole))) for signs in itertools.product((1, -1), repeat=len(whole))]
    assert sign_flip(np.array(shares)) == pytest.approx(np.mean([s >= abs(sum(whole)) for s in sums]))


@given(DIFFERENCES)
def test_the_interval_is_the_paired_t_interval_and_p_not_below_the_smallest(x):
    found = paired(x)
    assert found.effect == pytest.approx(np.mean(x))
    assert found.p_min == 2 / 2 ** len(x) == smallest_p(len(x)) <= found.p <= 1
    if np.std(x) > 1e-6:
        expected = stats.ttest_1samp(x, 0)
        assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
        assert found.d == pytest.approx(expected.statistic / math.sqrt(len(x)))


def test_many_pairs_are_drawn_from_and_few_or_equal_ones_have_no_interval():
    x = np.random.default_rng(0).normal(0.3, 1, 40)
    assert paired(x).p == pytest.approx(stats.ttest_1samp(x, 0).pvalue, abs=0.01)
    assert paired(x) == paired(x), "the draws are keyed"
    for n in range(3):
        found = paired([0.5] * n)
        assert found.n == n and (found.effect == 0.5 if n else math.isnan(found.effect))
        assert all(map(math.isnan, (found.low, found.high, found.p, found.p_min, found.d, found.detectable)))
    for value, p in ((0.0, 1.0), (0.25, 2 / 2**5), (-0.1, 2 / 2**5)):
        found = paired([value] * 5)
        assert (found.effect, found.low, found.high) == pytest.approx((value,) * 3)
        assert (found.p, found.detectable) == (p, 0) and math.isnan(found.d)
    assert math.isnan(paired([0.3 - 0.1, 0.2 - 0.0, 0.7 - 0.5]).d), "equal but for rounding"
    assert detectable(5, 0.05, "sign flips") == math.inf == paired(np.arange(5.0), "sign flips").detectable


@pytest.mark.parametrize(("d", "n"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_the_detectable_effect_is_the_tables(d, n):
    """G*Power, two-sided paired t, alpha .05, power .8: n is the fewest pairs."""
    assert detectable(n) <= d < detectable(n - 1)


@pytest.mark.full
@pytest.mark.parametrize(("tests", "n"), [(1, 3), (1, 6), (3, 8), (9, 10), (24, 12), (8, 16)])
def test_the_detectable_effect_is_found_in_80_of_100_studies(tests, n):
    """Sign flips find less than the t-test does, with few pairs."""
    level, rng = 0.05 / tests, np.random.default_rng(n)
    x = rng.normal(detectable(n, level), 1, (n, 40_000))
    assert np.mean(stats.ttest_1samp(x, 0).pvalue <= level) == pytest.approx(0.8, abs=0.01)
    assert can_reach(tests, n) or tests == 1
    if can_reach(tests, n):
        size = detectable(n, level, "sign flips")
        found = np.mean(sign_flip(rng.normal(size, 1, (n, 2000))) <= level)
        assert found == pytest.approx(0.8, abs=0.03) and (size > detectable(n, level) or n >= 15)


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


@pytest.mark.parametrize("p", [[0.3], [0, 0.02, 0.02, 0.02, 1], np.random.default_rng(0).uniform(0, 0.2, 30)])
def test_holm_is_statsmodels(p):
    """A test that is still to come counts in the family."""
    assert holm(p).tolist() == multipletests(p, method="holm")[1].tolist()
    assert holm([0.01, math.nan, 0.04]).tolist() == pytest.approx([0.03, math.nan, 0.08], nan_ok=True)


P = st.floats(1e-6, 1)


def by_hand(p: np.ndarray, alpha: float) -> np.ndarray:
    """Two metrics. Of comparisons that have passed both gates the level goes to the others, as Holm's would."""
    k, rejected, before = len(p), np.zeros(p.shape, bool), None
    while before is None or (rejected != before).any():
        done, before = rejected.all(1).sum(), rejected.copy()
        each = alpha / (k - done) if done < k else 0
        for i, m in itertools.product(range(k), range(2)):
            if rejected[i, :m].all():
                rejected[i, m] |= p[i, m] <= each
    return rejected


@given(st.lists(st.lists(P, min_size=2, max_size=2), min_size=2, max_size=3), st.floats(0.01, 0.2))
def test_gates_reject_what_steps_by_hand_reject(p, alpha):
    assert (gatekeeping(np.array(p)) <= alpha).tolist() == by_hand(np.array(p), alpha).tolist()


@given(st.lists(P, min_size=1, max_size=6))
def test_of_one_metric_gates_are_holm_and_of_one_comparison_a_fixed_sequence(p):
    assert gatekeeping([[x] for x in p])[:, 0] == pytest.approx(holm(p))
    assert gatekeeping([p])[0] == pytest.approx(np.maximum.accumulate(p))
    adjusted = gatekeeping([[0.2, 0.0001, 0.0001], [0.001, math.nan, 0.0001]])  # one that stays shut
    assert (adjusted[0] >= 0.2).all() and adjusted[1, 0] == pytest.approx(0.002)
    assert math.isnan(adjusted[1, 1]) and adjusted[1, 2] == 1
