"""E-values: their expectation, what they promise to those who look after every seed, and what they can find."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfm.study.e_values import BETS, detectable, e_process
from xfm.study.statistics import can_reach, paired, smallest_p

LAWS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "heavy tails": lambda rng, shape: rng.standard_t(1.5, shape),
    "ties": lambda rng, shape: rng.integers(-3, 4, shape) / 400,
    "growing": lambda rng, shape: rng.normal(size=shape) * 1.3 ** np.arange(shape[0])[:, None],
}


@given(st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=1, max_size=7))
def test_over_all_signs_the_expectation_is_1_at_any_time(x):
    signs = np.array([*itertools.product((1, -1), repeat=len(x))])
    e = e_process((signs * np.array(x)).T)
    assert e.mean(1) == pytest.approx(np.ones(len(x)))


@given(st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=1, max_size=7), st.floats(1e-3, 1e3))
def test_neither_side_nor_unit_matter(x, unit):
    assert e_process(-unit * np.array(x)) == pytest.approx(e_process(np.array(x)))


def test_the_product_as_it_is_written_down():
    x = np.array([0.3, -0.1, 0.5])
    products = []
    for bet in [*BETS, *(-b for b in BETS)]:
        each = 1.0
        for i in range(3):
            y = bet * x[i] / math.sqrt(np.mean(x[: i + 1] ** 2))
            each *= math.exp(y) / math.cosh(y)
        products.append(each)
    assert e_process(x)[-1] == pytest.approx(np.mean(products))
    assert e_process(np.zeros(4)) == pytest.approx(np.ones(4))


@pytest.mark.parametrize("law", LAWS)
def test_of_studies_without_an_effect_at_most_alpha_ever_exceed_1_over_alpha(law):
    """Looked at after each of 60 seeds; a p that is computed anew each time would be below .05 in a third of them."""
    x = LAWS[law](np.random.default_rng(7), (60, 4000))
    ever = (e_process(x).max(0) >= 20).mean()
    assert 0 < ever <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)


def test_the_detectable_effect_is_found_in_80_of_100_other_studies():
    d = detectable(12, 0.05, 0.8)
    x = np.random.default_rng(3).normal(d, 1, (12, 4000))
    assert (e_process(x).max(0) >= 20).mean() == pytest.approx(0.8, abs=0.03)
    assert 0.9 < d < 1.4 and detectable(20, 0.05, 0.8) < d < detectable(12, 0.01, 0.8)
    assert detectable(3, 0.01, 0.8) == math.inf


def test_a_sequential_p_is_1_over_the_largest_e():
    x = np.random.default_rng(0).normal(1, 1, 12)
    found = paired(x, "e-values")
    assert found.p == pytest.approx(1 / e_process(x).max()) and found.e == e_process(x)[-1] == paired(x).e
    assert found.detectable == pytest.approx(np.std(x, ddof=1) * detectable(12, 0.05, 0.8))
    assert paired(np.ones(9), "e-values").p == pytest.approx(smallest_p(9, True)) and found.p >= found.p_min
    assert can_reach(1, 8, True) and not can_reach(1, 5, True)
