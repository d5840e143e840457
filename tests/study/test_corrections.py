"""The primary family: gates against Holm, a fixed sequence, closed testing, and simulated studies."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xfm.study.statistics import gatekeeping, holm

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
