"""Pareto fronts and their figures, mean ranks, contrasts: word by word, and over simulated studies."""

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.text import Annotation, Text
from scipy import stats
from study.conftest import METRICS, PRIMARY, without

from xfm.config import ConfigError
from xfm.plots.effect_labels import far
from xfm.plots.pareto import pareto
from xfm.report import sentences
from xfm.study import StudyError, store
from xfm.study.comparisons import front, on_front
from xfm.study.contrasts import ratio
from xfm.study.statistics import paired

MEANS = arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 3)), elements=st.integers(0, 3).map(float))
LOSS, NAMING, GROUNDING = PRIMARY[0], PRIMARY[2], "grounding, acc@0.5"
TWO = {"no_stop_gradient": 0.7, "no_guidance": 0.0, "neither": 1.4}


@given(MEANS)
def test_the_front_is_what_nobody_beats(means):
    beaten = [any((b >= a).all() and (b > a).any() for b in means) for a in means]
    assert on_front(means).tolist() == [not one for one in beaten]
    assert on_front(means).any()


def test_probabilities_say_how_sure_the_front_is_and_dominance_is_that_of_paired_intervals():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.1, (12, 4, 2)) + np.array([[1, 0], [0, 1], [0.98, 0.0], [-1, -1]])
    _, probability, dominated = front(values)
    assert probability[[0, 1, 3]].tolist() == pytest.approx([1, 1, 0], abs=0.35) and probability[1] == 1
    assert probability[3] == 0 and 0 < probability[2] < 1 and not dominated.diagonal().any()
    assert front(values)[1].tolist() == probability.tolist(), "the draws are keyed"
    for a, b in itertools.permutations(range(4), 2):
        assert dominated[b, a] == all(paired(values[:, a, m] - values[:, b, m]).low > 0 for m in range(2))
    _, probability, dominated = front(values[:2])
    assert np.isnan(probability).all() and not dominated.any()


def values_of(study, metric: str = NAMING):
    return study.results().query("metric == @metric").pivot(index="seed", columns="variant", values="value")


def test_an_interaction_is_what_both_do_beyond_each(invented):
    study = invented(TWO)
    both = {"neither": 1, "no_stop_gradient": -1, "no_guidance": -1, "xfm": 1}
    found, values = study.contrast(both).loc[NAMING], values_of(study)
    own = values["neither"] - values["no_stop_gradient"] - values["no_guidance"] + values["xfm"]
    expected = stats.ttest_1samp(own, 0).confidence_interval(0.95)
    assert tuple(found[["effect", "low", "high"]]) == pytest.approx((own.mean(), *expected))
    assert found["verdict"] == "different" and abs(found["effect"] - 0.7 * METRICS[NAMING][2]) < 0.01
    with pytest.raises(ConfigError, match=r"weights\.xfm = nan: must be a finite number"):
        study.contrast({"xfm": math.nan})


@given(arrays(float, (6, 2), elements=st.integers(-9, 9).map(float)))
def test_a_ratios_interval_is_what_a_t_test_does_not_refuse(values):
    """Fieller's interval, against the test that it inverts, on both sides of both ends."""
    above, below = values[:, 0], values[:, 1] + 20
    share, low, high = ratio(above, below)
    assert low <= share <= high and share == pytest.approx(above.mean() / below.mean())
    for r, inside in ((low, True), (high, True), (low - 1e-3, False), (high + 1e-3, False)):
        t = stats.t.ppf(0.975, 5) * stats.sem(own := above - r * below)
        assert (abs(own.mean()) <= t + 1e-9) == inside or own.std() < 1e-9
    assert ratio(np.ones(4), np.array([1.0, -1, 2, -1]))[1:] == (-math.inf, math.inf), "nothing is divided by"
    assert np.isnan(ratio(np.ones(2), np.ones(2))[1:]).all()


def test_what_is_recovered_of_a_difference_and_the_share_of_one_contrast_in_another(invented):
    study = invented(TWO | {"no_guidance": 0.35})
    table = study.recovered("xfm", "no_stop_gradient", NAMING).set_index("variant")
    values, row = values_of(study), table.loc["neither"]
    way = values["no_stop_gradient"] - values["xfm"]
    own = stats.ttest_1samp(way, 0).confidence_interval(0.95)
    assert row["share"] == pytest.approx((values["neither"] - values["xfm"]).mean() / way.mean())
    assert tuple(row[["whole", "whole_low", "whole_high"]]) == pytest.approx((way.mean(), own.low, own.high))
    assert row["low"] < 2 < row["high"] and table.loc["no_guidance", "low"] < 0.5 < table.loc["no_guidance", "high"]
    part, whole = {"neither": 1, "no_guidance": -1}, {"no_stop_gradient": 1, "xfm": -1}
    (row,) = study.share(part, whole, NAMING).to_dict("records")
    above = (values["neither"] - values["no_guidance"]).to_numpy()
    assert (row["share"], row["low"], row["high"]) == pytest.approx(ratio(above, way.to_numpy()))


@pytest.mark.full
def test_what_mends_an_ablation_is_told_by_how_much_it_gives_back(invented):
    """What changes the one and the other is a sum where both are there; "mlm_x2" alone mends nothing."""
    mend = "no_stop_gradient+mlm_x2"
    study = invented({"no_stop_gradient": 1.0, mend: 0.4, "no_guidance": 0.0}, primary=[LOSS])
    (said,) = sentences.gaps_closed(study.measurements)
    row = study.recovered("no_stop_gradient", "xfm", LOSS).set_index("variant").loc[mend]
    assert said.startswith(f"{mend} on {LOSS}: closes {100 * row['share']:.0f}\u00a0% of the gap from no_stop_gradient")
    assert not sentences.gaps_closed(invented(TWO, root=study.folder).measurements), "they share nothing"


def test_the_front_of_a_study_turns_losses_round_and_counts_failures(invented):
    study = invented(TWO, lost=(("no_guidance", 3), ("neither", 4)))
    store.write_failed(study.folder, study.spec, {("no_guidance", 3): "nan"})
    table = study.pareto()
    rows = table.set_index(["variant", "metric"])
    assert set(table["n"]) == {9}, "a failed run is there, one that was not made is none"
    assert rows.loc[("neither", NAMING), "effect"] > 0 < rows.loc[("neither", LOSS), "effect"]
    assert rows.loc[("neither", NAMING), "front"] and rows.loc[("xfm", NAMING), "front"], "better here, worse there"
    worse = study.pareto([LOSS, "validation/regions/bbp"]).set_index(["variant", "metric"]).loc[("neither", LOSS)]
    assert not worse["front"] and worse["probability"] == 0 and "xfm" in worse["dominated_by"]


def test_on_what_a_specialist_is_not_asked_it_stands_at_the_baseline(invented):
    study = invented(TWO, noise=0.0)
    whole = study.table.read_text("utf-8")
    without(study, "neither", NAMING)
    table = study.pareto([LOSS, NAMING]).set_index(["variant", "metric"])
    assert table["lacking"].to_dict() == {key: key == ("neither", NAMING) for key in table.index}
    row, effect = table.loc[("neither", NAMING)], 0.01 - table.loc[("xfm", NAMING), "mean"]
    assert row[["mean", "low", "high", "effect"]].tolist() == pytest.approx([0.01] * 3 + [effect])
    study.table.write_text(whole)
    without(study, "neither", GROUNDING)
    with pytest.raises(StudyError, match="at no seed have all variants"):
        study.pareto([NAMING, GROUNDING])  # which has no baseline to stand at


def test_mean_ranks_of_a_study_are_by_family(invented):
    study = invented(TWO)
    table = study.mean_ranks().set_index(["family", "variant"])
    assert table.loc["vision-language", "metrics"].unique().tolist() == [2] and "vision" not in table.index, "held out"
    ranks = [stats.rankdata(-values_of(study, metric), axis=1) for metric in (NAMING, GROUNDING)]
    means = dict(zip(values_of(study).columns, np.mean(ranks, 0).mean(0), strict=True))
    assert table.loc["vision-language", "rank"].to_dict() == pytest.approx(means)
    store.write_failed(study.folder, study.spec, {("neither", s): "x" for s in range(10)})
    without(study, "neither", seed=3)
    failed = study.mean_ranks(NAMING).set_index("variant").loc["neither", "rank"]
    assert failed == pytest.approx((9 * means["neither"] + 4) / 10, abs=0.2), "a failed run is last"


def drawn(places: list[tuple[float, ...]], metrics: int):
    """A figure of variants whose differences on `metrics` axes are `places`."""
    same = {"unit": "", "lacking": False, "baseline": np.nan, "probability": 0.5, "dominated_by": ""}
    axes = [("language", "higher"), ("vision", "lower"), ("both", "higher")][:metrics]
    rows = [
        {"variant": f"v{i}", "metric": name, "better": better, "front": not i % 2, "effect": at, "mean": at,
         "effect_low": at - 0.3, "effect_high": at + 0.3} | same
        for i, place in enumerate(places) for (name, better), at in zip(axes, place, strict=False)
    ]  # fmt: skip
    return pareto(pd.DataFrame(rows), "v0", "crowded")


def check(figure, variants: int) -> None:
    figure.draw_without_rendering()
    scale = 72 / figure.dpi
    for axes in figure.axes:
        texts = [t for t in axes.texts if isinstance(t, Annotation) and re.fullmatch(r"\d+", t.get_text())]
        assert [text.get_text() for text in texts] == [str(i + 1) for i in range(variants)]
        marks = np.array([axes.transData.transform(text.xy) for text in texts]) * scale
        middles = np.array([Text.get_window_extent(text).get_points().mean(0) for text in texts]) * scale
        assert all(axes.get_window_extent().contains(*middle / scale) for middle in middles), "a number is in its panel"
        for i, (text, mark, middle) in enumerate(zip(texts, marks, middles, strict=True)):
            near = [np.hypot(*(np.delete(of, i, axis=0) - middle).T).min(initial=99) for of in (middles, marks)]
            assert near[0] > 7 and near[1] > 5, "no number covers another, or a mark"
            if text.arrow_patch is None:
                assert np.hypot(*(mark - middle)) < near[1], "without a line it is the nearest mark's"


CROWD = [(0.0, 0.0), (-0.67, 0.93), (0.48, -0.4), (-0.43, 0.93), (-1.26, 0.3), (-0.5, 0.05), (-0.85, 0.05),
         (-0.75, 0.62), (-0.47, 0.62), (-5.1, -6.9)]  # fmt: skip


@pytest.mark.parametrize("metrics", [2, 3])
def test_marks_that_a_far_one_presses_together_keep_their_numbers(metrics):
    check(drawn(CROWD, 2), len(CROWD))
    figure = drawn([*(tuple(0.3 * np.cos([i, i + 1, i + 2])) for i in range(6)), (60.0, 60.0, 60.0)], metrics)
    assert all(markers(axes) for axes in figure.axes)
    check(figure, 7)


CASES = json.loads((Path(__file__).parents[2] / "widgets/tests/far.json").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["what"])
def test_what_is_far_is_the_same_here_and_in_a_page(case):
    assert far({str(i): tuple(span) for i, span in enumerate(case["spans"])}) == {str(i) for i in case["far"]}


def markers(axes) -> list[str]:
    return [line.get_marker() for line in axes.lines if line.get_marker() in ("<", ">", "v", "^")]


def test_effects_seeds_and_the_front_have_an_arrow_and_the_numbers(invented):
    study = invented({"no_stop_gradient": 0.7, "no_guidance": 0.0, "neither": -0.3, "pixels": 60.0})
    row = study.effects().set_index(["variant", "metric"]).loc[("pixels", NAMING)]
    near = study.pairs().query("metric == @NAMING and variant != 'pixels'")["difference"].abs().max()
    axes = study.figure("effects", NAMING).axes[0]
    assert max(map(abs, axes.get_xlim())) < 100 * 2 * near < 100 * row["effect"]
    assert markers(axes) == [">"] and axes.get_xlim()[1] in axes.lines[-1].get_xdata()
    assert f"{100 * row['effect']:+.1f} (" in axes.texts[0].get_text()
    axes = study.figure("seeds", NAMING).axes[0]
    assert markers(axes) == [">"] and np.ptp(axes.get_xlim()) < 100 * row["effect"]
    front = study.figure("pareto", [LOSS, NAMING]).axes[0]
    assert front.xaxis_inverted() and markers(front) == ["<"], "a loss that is far higher: worse, so to the left"
