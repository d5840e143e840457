"""How much runs vary: against simulated studies whose shares are known, scipy, and the figure against the table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from scipy import stats
from study.conftest import PRIMARY

from xfm.plots.effect_intervals import spread
from xfm.study import Study
from xfm.study.variance import pairing, share, standard_deviation

STUDIES = 2000


def covered(ends: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in ends]))


SURE = 3 * math.sqrt(0.95 * 0.05 / STUDIES)


def test_the_interval_of_a_spread_covers_in_95_of_100_studies() -> None:
    runs = np.random.default_rng(0).normal(5, 2, (STUDIES, 10))
    found = [standard_deviation(x) for x in runs]
    assert abs(covered([(s.sd_low, s.sd_high) for s in found], 2.0) - 0.95) < SURE
    assert found[0].sd == pytest.approx(stats.tstd(runs[0]))


def test_the_interval_of_a_share_covers_in_95_of_100_studies() -> None:
    rng = np.random.default_rng(1)
    part, whole = rng.normal(0, 1, (STUDIES, 10)), rng.normal(3, 2, (STUDIES, 8))
    found = [share(a, b) for a, b in zip(part, whole, strict=True)]
    assert abs(covered([(s.share_low, s.share_high) for s in found], 0.25) - 0.95) < SURE
    assert found[0].share == pytest.approx(np.var(part[0], ddof=1) / np.var(whole[0], ddof=1))


@pytest.mark.parametrize("r", [0.0, 0.5, 0.9])
def test_a_pair_is_worth_as_many_unpaired_seeds_as_its_variance_says(r: float) -> None:
    """Of equal spreads 1 / (1 - r): as many unpaired seeds have the same standard error."""
    rng, n = np.random.default_rng(3), 20_000
    shared = rng.normal(0, math.sqrt(r), n)
    a, b = (shared + rng.normal(0, math.sqrt(1 - r), n) for _ in range(2))
    found = pairing(a, b)
    assert found.correlation == pytest.approx(r, abs=0.03)
    assert found.worth == pytest.approx(1 / (1 - r), rel=0.05)
    seeds = round(10 * found.worth)
    starts = range(0, n // 2 - seeds, seeds)
    unpaired = np.std([a[i:][:seeds].mean() - b[n // 2 + i :][:seeds].mean() for i in starts])
    paired = np.std([(a - b)[i : i + 10].mean() for i in range(0, n, 10)])
    assert unpaired == pytest.approx(paired, rel=0.2)


def test_too_few_runs_have_no_interval() -> None:
    two = np.array([1.0, 2.0])
    assert np.isnan(standard_deviation(two)[1:]).all() and standard_deviation(two).sd == pytest.approx(math.sqrt(0.5))
    assert np.isnan(share(two, two)[1:]).all() and share(two, two).share == 1
    assert np.isnan(pairing(two, two)).all()
    assert math.isnan(standard_deviation(np.array([1.0])).sd)
    assert np.isnan(share(two, np.ones(4))).all(), "the whole does not vary"
    assert pairing(np.arange(4.0), np.arange(4.0) + 1).worth == math.inf


def test_of_a_study_it_is_said_by_variant_and_metric(invented) -> None:
    study = invented({"no_stop_gradient": 0.3})
    metric = PRIMARY[0]
    table = study.spread(metric).set_index("variant")
    runs = study.results()
    runs = runs[runs["metric"] == metric].pivot(index="seed", columns="variant", values="value")
    assert table.loc["xfm", "sd"] == pytest.approx(runs["xfm"].std())
    assert np.isnan(table.loc["xfm", "share"]), "the reference is the whole"
    assert table.loc["no_stop_gradient", "share"] == pytest.approx(runs["no_stop_gradient"].var() / runs["xfm"].var())
    assert table.loc["no_stop_gradient", "correlation"] == pytest.approx(runs.corr().loc["xfm", "no_stop_gradient"])
    assert len(study.spread()) > 2 * len(table) / len(runs.columns)


CALM = "no_guidance"  # the variant that hardly varies


@pytest.fixture
def study(invented) -> Study:
    return invented({"no_stop_gradient": 0.0, CALM: 0.0}, noise=0.5)


def calmed(study: Study) -> Any:
    table = study.spread(PRIMARY)
    calm = table["variant"] == CALM
    table.loc[calm, ["sd", "sd_low", "sd_high"]] *= 0.1
    table.loc[calm, ["share", "share_low", "share_high"]] *= 0.01
    return table


def drawn(table: Any) -> Figure:
    return spread(table, ["xfm", "no_stop_gradient", CALM], "xfm", "what varies")


def test_marks_intervals_and_shares_are_the_tables(study: Study) -> None:
    table = calmed(study)
    figure = drawn(table)
    assert [axes.get_title("left") for axes in figure.axes] == [*PRIMARY]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["xfm", "no_stop_gradient", CALM]
    for axes, metric in zip(figure.axes, PRIMARY, strict=True):
        rows: list[Any] = [*table[table["metric"] == metric].itertuples()]
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


def test_a_study_draws_it_and_without_rows_it_is_refused(study: Study) -> None:
    figure = study.figure("spread", PRIMARY[:2])
    assert len(figure.axes) == 2 and figure.bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="rows"):
        drawn(study.spread(PRIMARY)[:0])
