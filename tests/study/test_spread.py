"""How much runs vary: against simulated studies whose shares are known, scipy, and the figure against the table."""

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import same_color
from scipy import stats
from study.conftest import PRIMARY

from xfm.plots.effect_intervals import spread
from xfm.study.variance import median_share, pairing, share, standard_deviation

STUDIES = 2000


def test_intervals_cover_in_95_of_100_studies():
    rng, sure = np.random.default_rng(1), 3 * math.sqrt(0.95 * 0.05 / STUDIES)
    part, whole = rng.normal(0, 1, (STUDIES, 10)), rng.normal(3, 2, (STUDIES, 8))
    shares, alone = [share(a, b) for a, b in zip(part, whole, strict=True)], [standard_deviation(x) for x in whole]
    assert abs(np.mean([s.share_low <= 0.25 <= s.share_high for s in shares]) - 0.95) < sure
    assert abs(np.mean([s.sd_low <= 2 <= s.sd_high for s in alone]) - 0.95) < sure
    assert shares[0].share == pytest.approx(np.var(part[0], ddof=1) / np.var(whole[0], ddof=1))
    assert alone[0].sd == pytest.approx(stats.tstd(whole[0]))


@pytest.mark.parametrize("r", [0.0, 0.9])
def test_a_pair_is_worth_as_many_unpaired_seeds_as_its_variance_says(r):
    """Of equal spreads 1 / (1 - r): as many unpaired seeds have the same standard error."""
    rng, n = np.random.default_rng(3), 20_000
    shared = rng.normal(0, math.sqrt(r), n)
    found = pairing(*(shared + rng.normal(0, math.sqrt(1 - r), n) for _ in range(2)))
    assert found.correlation == pytest.approx(r, abs=0.03) and found.worth == pytest.approx(1 / (1 - r), rel=0.05)


def test_too_few_runs_have_no_interval():
    two = np.array([1.0, 2.0])
    assert np.isnan(standard_deviation(two)[1:]).all() and standard_deviation(two).sd == pytest.approx(math.sqrt(0.5))
    assert np.isnan(share(two, two)[1:]).all() and share(two, two).share == 1
    assert np.isnan(pairing(two, two)).all() and math.isnan(standard_deviation(np.array([1.0])).sd)
    assert np.isnan(share(two, np.ones(4))).all(), "the whole does not vary"
    assert pairing(np.arange(4.0), np.arange(4.0) + 1).worth == math.inf


def test_a_median_share_is_that_of_the_variances_and_of_few_runs_has_no_interval():
    part, whole = np.random.default_rng(1).normal(size=(2, 7, 5))
    found, low, high = median_share(part, whole, "key")
    assert found == pytest.approx(np.median(part.var(0, ddof=1) / whole.var(0, ddof=1)))
    assert low < found < high and median_share(part, whole, "key") == (found, low, high), "the draws are keyed"
    assert median_share(part, whole, "another key") != (found, low, high)
    two = median_share(part[:2], whole)
    assert two.share > 0 and np.isnan(two[1:]).all() and np.isnan(median_share(part[:1], whole)).all()
    assert np.isnan(median_share(part[:, :0], whole[:, :0])).all()
    assert np.isnan(median_share(part, 0 * whole)).all(), "where nothing varies"
    still = np.concatenate([whole, 0 * whole[:, :2]], axis=1)
    assert median_share(np.concatenate([part, part[:, :2]], axis=1), still)[0] == pytest.approx(found)
    assert np.isfinite(median_share(part[:3], whole[:3])).all(), "although some samples are one run three times"


def test_a_study_says_and_draws_it_by_variant_and_metric(invented):
    """Marks, intervals and shares are the table's."""
    variants = ["xfm", "no_stop_gradient", "no_guidance"]
    study = invented(dict.fromkeys(variants[1:], 0.0), noise=0.5)
    table, calm = study.spread(PRIMARY), study.spread(PRIMARY)["variant"] == "no_guidance"
    table.loc[calm, ["sd", "sd_low", "sd_high"]] *= 0.1
    table.loc[calm, ["share", "share_low", "share_high"]] *= 0.01
    figure = spread(table, variants, "xfm", "what varies")
    assert [axes.get_title("left") for axes in figure.axes] == [*PRIMARY]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == variants
    for axes, metric in zip(figure.axes, PRIMARY, strict=True):
        rows: list[Any] = [*table[table["metric"] == metric].itertuples()]
        runs = study.results().query("metric == @metric").pivot(index="seed", columns="variant", values="value")
        assert (rows[0].sd, rows[1].share) == pytest.approx(
            (runs["xfm"].std(), runs[variants[1]].var() / runs["xfm"].var())
        )
        assert np.isnan(rows[0].share), "the reference is the whole"
        assert rows[1].correlation == pytest.approx(runs.corr().loc["xfm", variants[1]])
        scale = 100 if rows[0].unit == "%" else 1
        marks = [line for line in axes.lines if line.get_marker() == "o"]
        bars = [line for line in axes.lines if line.get_marker() == "None" and line.get_linestyle() == "-"]
        assert [mark.get_xdata()[0] for mark in marks] == pytest.approx([row.sd * scale for row in rows])
        ends = [(row.sd_low * scale, row.sd_high * scale) for row in rows]
        assert [tuple(bar.get_xdata()) for bar in bars] == [pytest.approx(pair) for pair in ends]
        (whole,) = (line for line in axes.lines if line.get_linestyle() == "--")
        assert whole.get_xdata()[0] == pytest.approx(rows[0].sd * scale)
        assert [text.get_text() for text in axes.texts] == [f"{100 * row.share:.0f}\u00a0%" for row in rows[1:]]
        hollow = [same_color(mark.get_markerfacecolor(), "white") for mark in marks]
        assert hollow == [False, bool(rows[1].share_high >= 1), False], "full: less than where everything varies"
        assert ("percentage points" in axes.get_xlabel()) == (scale == 100) and axes.get_xlim()[0] == 0
    assert study.figure("spread", PRIMARY[:2]).bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="rows"):
        spread(table[:0], variants, "xfm", "what varies")
