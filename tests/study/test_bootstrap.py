"""The two-way bootstrap: whether its intervals cover, and what they would not without both ways."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xfm.study.bootstrap import two_way
from xfm.study.statistics import paired


def differences(rng, seeds, items, of_seed, of_item, rest):
    """A mean of .1, and effects of the seed, of the item, and of both."""
    rows, columns = rng.normal(0, of_seed, (seeds, 1)), rng.normal(0, of_item, (1, items))
    return 0.1 + rows + columns + rng.normal(0, rest, (seeds, items))


@pytest.mark.parametrize(("of_seed", "of_item"), [(0.3, 0.3), (0.0, 2.0)])
def test_intervals_cover_the_truth_in_at_least_95_of_100_studies(of_seed, of_item, monkeypatch):
    monkeypatch.setattr("xfm.study.bootstrap.RESAMPLES", 200)
    rng, studies = np.random.default_rng(1), 2000
    found = [two_way(differences(rng, 8, 20, of_seed, of_item, 0.5), None, i) for i in range(studies)]
    covered = np.mean([f.low <= 0.1 <= f.high for f in found])
    assert covered >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / studies)
    assert covered < 0.999, "wide enough, and not infinite"


def test_the_seeds_alone_do_not_speak_of_other_items():
    rng = np.random.default_rng(2)
    studies = [differences(rng, 8, 20, 0.1, 2.0, 0.1) for _ in range(300)]
    by_seed = [paired(x.mean(1)) for x in studies]
    assert np.mean([f.low <= 0.1 <= f.high for f in by_seed]) < 0.5
    assert np.mean([f.low <= 0.1 <= f.high for f in (two_way(x) for x in studies[:100])]) > 0.9


def test_without_differences_between_items_it_is_about_the_t_interval():
    x = np.repeat(np.random.default_rng(0).normal(1, 1, (12, 1)), 50, 1)
    found, t = two_way(x), paired(x[:, 0])
    assert (found.effect, found.low, found.high) == pytest.approx((t.effect, t.low, t.high), abs=0.06)


def test_items_of_a_group_count_once():
    x = np.random.default_rng(0).normal(0, 1, (10, 30))
    twice, group = np.repeat(x, 2, 1), np.repeat(np.arange(30), 2)
    whole, grouped, apart = two_way(x), two_way(twice, group), two_way(twice)
    assert (grouped.items, grouped.low, grouped.high) == pytest.approx((30, whole.low, whole.high))
    assert apart.items == 60 and apart.high - apart.low < whole.high - whole.low
    assert two_way(x) == whole, "the draws are keyed"


def test_too_few_are_a_mean_and_broken_ones_are_refused():
    assert math.isnan(two_way([[0.1, 0.2, 0.3]]).low) and two_way([[0.1, 0.2, 0.3]]).effect == pytest.approx(0.2)
    for broken in ([], [0.1, 0.2], [[math.nan, 1.0]]):
        with pytest.raises(ValueError, match="must be finite, seeds by items"):
            two_way(broken)
