"""Statistics against scipy, enumeration and closed forms."""

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from html_page import Page
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.text import Annotation, Text
from scipy import stats
from statsmodels.stats.multitest import multipletests
from study.conftest import METRICS, PRIMARY, made_up, measurements, without

from xfm.config import ConfigError
from xfm.plots.effect_labels import far
from xfm.plots.pareto import pareto
from xfm.report import sentences
from xfm.study import Study, StudyError, store
from xfm.study.comparisons import front, on_front
from xfm.study.contrasts import ratio
from xfm.study.effects import effects
from xfm.study.spec import Spec
from xfm.study.statistics import can_reach, detectable, equivalence, gatekeeping, holm, paired, sign_flip, smallest_p
from xfm.study.study_metrics import Metric
from xfm.study.variance import median_share, share, standard_deviation, worth_of_a_pair

LOSS, NAMING, GROUNDING = PRIMARY[0], PRIMARY[2], "grounding, acc@0.5"
TWO = {"no_stop_gradient": 0.7, "no_guidance": 0.0, "neither": 1.4}


@given(arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 3)), elements=st.integers(0, 3).map(float)))
def test_the_front_is_what_nobody_beats(means):
    beaten = [any((b >= a).all() and (b > a).any() for b in means) for a in means]
    assert on_front(means).tolist() == [not one for one in beaten] and not all(beaten)


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


def test_an_interaction_what_is_recovered_of_a_difference_and_a_share_are_those_of_the_seeds_values(invented):
    study = invented(TWO)
    both, values = {"neither": 1, "no_stop_gradient": -1, "no_guidance": -1, "xfm": 1}, values_of(study)
    found, own = study.contrast(both).loc[NAMING], sum(weight * values[variant] for variant, weight in both.items())
    expected = stats.ttest_1samp(own, 0).confidence_interval(0.95)
    assert tuple(found[["effect", "low", "high"]]) == pytest.approx((own.mean(), *expected))
    assert found["verdict"] == "different" and abs(found["effect"] - 0.7 * METRICS[NAMING][2]) < 0.01
    with pytest.raises(ConfigError, match=r"weights\.xfm = nan: must be a finite number"):
        study.contrast({"xfm": math.nan})
    row = study.recovered("xfm", "no_stop_gradient", NAMING).set_index("variant").loc["neither"]
    way = values["no_stop_gradient"] - values["xfm"]
    own = stats.ttest_1samp(way, 0).confidence_interval(0.95)
    assert row["share"] == pytest.approx((values["neither"] - values["xfm"]).mean() / way.mean())
    assert tuple(row[["whole", "whole_low", "whole_high"]]) == pytest.approx((way.mean(), own.low, own.high))
    part, whole = {"neither": 1, "no_guidance": -1}, {"no_stop_gradient": 1, "xfm": -1}
    (row,) = study.share(part, whole, NAMING).to_dict("records")
    above = (values["neither"] - values["no_guidance"]).to_numpy()
    assert (row["share"], row["low"], row["high"]) == pytest.approx(ratio(above, way.to_numpy()))


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


def test_fronts_turn_losses_round_and_count_failures_and_what_is_not_asked_stands_at_its_baseline(invented):
    study = invented(TWO, lost=(("no_guidance", 3), ("neither", 4)))
    store.write_failed(study.folder, study.spec, {("no_guidance", 3): "nan"})
    table = study.pareto()
    rows = table.set_index(["variant", "metric"])
    assert set(table["n"]) == {9}, "a failed run is there, one that was not made is none"
    assert rows.loc[("neither", NAMING), "effect"] > 0 < rows.loc[("neither", LOSS), "effect"]
    assert rows.loc[("neither", NAMING), "front"] and rows.loc[("xfm", NAMING), "front"], "better here, worse there"
    worse = study.pareto([LOSS, "validation/regions/bbp"]).set_index(["variant", "metric"]).loc[("neither", LOSS)]
    assert not worse["front"] and worse["probability"] == 0 and "xfm" in worse["dominated_by"]
    study = invented(TWO, root=study.folder)
    without(study, "neither", NAMING)
    table = study.pareto([LOSS, NAMING]).set_index(["variant", "metric"])
    assert table["lacking"].to_dict() == {key: key == ("neither", NAMING) for key in table.index}
    row, effect = table.loc[("neither", NAMING)], 0.01 - table.loc[("xfm", NAMING), "mean"]
    assert row[["mean", "low", "high", "effect"]].tolist() == pytest.approx([0.01] * 3 + [effect])
    without(study, "neither", GROUNDING)
    with pytest.raises(StudyError, match="at no seed have all variants"):
        study.pareto([LOSS, GROUNDING])  # which has no baseline to stand at


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


@pytest.mark.parametrize("metrics", [2, 3])
def test_marks_that_a_far_one_presses_together_keep_their_numbers(metrics):
    figure = drawn([*(tuple(0.3 * np.cos([i, i + 1, i + 2])) for i in range(6)), (60.0, 60.0, 60.0)], metrics)
    assert all(markers(axes) for axes in figure.axes)
    check(figure, 7)


CASES = json.loads((Path(__file__).parent / "far.json").read_text("utf-8"))


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


def test_cells_are_means_with_t_intervals(invented):
    study = invented({"no_stop_gradient": 0.7, "neither": -0.4})
    without(study, "neither", lost := PRIMARY[0])  # as a specialist's that is not asked it
    table = study.by_field(PRIMARY).set_index("metric")
    x = study.results().query("metric == @PRIMARY[2] and variant == 'xfm'")["value"] * 100
    told = [float(number) for number in re.findall(r"[\d.]+", table.loc[PRIMARY[2], "xfm"])]
    assert told == pytest.approx([x.mean(), *stats.ttest_1samp(x, 0).confidence_interval(0.95)], abs=0.051)
    assert table.loc[lost, "neither"] == "" and table.loc[lost, "xfm"] != ""


MIM = "validation/images/mim"
KNOWN = {MIM: Metric("lower", "mean squared error", None, "differs between runs"), LOSS: Metric("lower", "nats", 6.9)}

ARMS = {"xfm": {}, "pixels": {"flow.mim_target": "pixels"}, "ema": {"flow.mim_target": "ema"}}
TARGETS = Spec("targets", "smoke", ARMS, (0, 1, 2))


def frame(values: dict[tuple[str, str], list[float]], **more: str) -> pd.DataFrame:
    rows = [(v, m, seed, x) for (v, m), own in values.items() for seed, x in enumerate(own)]
    return pd.DataFrame(rows, columns=["variant", "metric", "seed", "value"]).assign(**more)


def test_against_each_runs_own_level():
    """The pixels' loss is the lower one, and has learnt nothing: a constant is as good."""
    found = {("xfm", MIM): [0.5, 0.52, 0.55], ("pixels", MIM): [0.30, 0.31, 0.29], ("ema", MIM): [0.4, 0.5]}
    levels = {("xfm", MIM): [0.6, 0.65, 0.63], ("pixels", MIM): [0.31, 0.30, 0.29], ("ema", MIM): [0.9, 0.9]}
    table = measurements(TARGETS, frame(found, family="vision"), KNOWN, frame(levels, level="baseline")).learnt()
    table = table.set_index("variant")
    assert table["learnt"].to_dict() == {"xfm": "yes", "pixels": "not shown", "ema": ""}
    gained = np.subtract(levels["xfm", MIM], found["xfm", MIM])
    own = [np.mean(found["xfm", MIM]), np.mean(levels["xfm", MIM]), gained.mean()]
    expected = [3, *own, *stats.ttest_1samp(gained, 0).confidence_interval(0.95)]
    assert [*table.loc["xfm", ["n", "value", "level", "gain", "low", "high"]]] == pytest.approx(expected)


def test_losses_against_different_targets_are_not_better_or_worse_and_have_no_front():
    lower = {("xfm", MIM): [0.5, 0.52, 0.55], ("pixels", MIM): [0.30, 0.31, 0.29]}
    lower |= {("xfm", LOSS): [4.5, 4.52, 4.55], ("pixels", LOSS): [4.30, 4.31, 4.29]}
    data = measurements(TARGETS, frame(lower, family="vision"), KNOWN)
    table = effects(data).set_index("metric").query("variant == 'pixels'")
    columns = ["role", "better", "verdict"]
    assert [*table.loc[LOSS, columns]] == ["secondary", "lower", "better"]
    assert [*table.loc[MIM, columns]] == ["control", "", "different"] and table.loc[MIM, "effect"] < 0
    study = Study.load(Path(__file__).parents[2] / "studies/insulation")
    with pytest.raises(ConfigError, match="'validation/images/mim': is a control: neither direction"):
        study.pareto([LOSS, MIM])


def test_intervals_cover_in_95_of_100_studies():
    rng, n = np.random.default_rng(1), 2000
    part, whole, sure = rng.normal(0, 1, (n, 10)), rng.normal(3, 2, (n, 8)), 3 * math.sqrt(0.95 * 0.05 / n)
    shares, alone = [share(a, b) for a, b in zip(part, whole, strict=True)], [standard_deviation(x) for x in whole]
    assert abs(np.mean([s.share_low <= 0.25 <= s.share_high for s in shares]) - 0.95) < sure
    assert abs(np.mean([s.sd_low <= 2 <= s.sd_high for s in alone]) - 0.95) < sure


def test_a_pair_is_worth_as_many_seeds_as_its_variance_says_a_median_share_is_of_variances_and_few_runs_have_none():
    """Of equal spreads 1 / (1 - r): as many unpaired seeds have the same standard error."""
    for r in (0.0, 0.9):
        rng, n = np.random.default_rng(3), 20_000
        shared = rng.normal(0, math.sqrt(r), n)
        worth = worth_of_a_pair(*(shared + rng.normal(0, math.sqrt(1 - r), n) for _ in range(2)))
        assert worth == pytest.approx(1 / (1 - r), rel=0.05)
    part, whole = np.random.default_rng(1).normal(size=(2, 7, 5))
    found, low, high = median_share(part, whole, "key")
    assert found == pytest.approx(np.median(part.var(0, ddof=1) / whole.var(0, ddof=1)))
    assert low < found < high and median_share(part, whole, "key") == (found, low, high), "the draws are keyed"
    few = [*standard_deviation(part[:2, 0])[1:], worth_of_a_pair(*part[:2, :2].T), *median_share(part[:2], whole)[1:]]
    assert np.isnan([*few, *median_share(part, 0 * whole), *share(part[:2, 0], np.ones(4))]).all()


@pytest.mark.full
def test_a_study_of_sources_is_told_by_standard_deviations_and_compares_nothing(tmp_path):
    arms = ["xfm", "vary_data", "vary_masks"]
    asked = {"split": "validation", "question": "By which?", "root": tmp_path, "runs": tmp_path}
    study = made_up(Study("sources", variants=arms, **asked), dict.fromkeys(arms, 0.0), 1.0)
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in study.to_markdown().splitlines()]
    row = dict(zip(head, rows[1], strict=True))
    values = study.results().query("metric == @row['metric']").pivot(index="seed", columns="variant", values="value")
    assert row["share"] == f"{100 * values['vary_data'].var() / values['xfm'].var():.0f}" and row["n"] == "10"
    assert [path.name for path in study.save() if path.suffix == ".png"] == ["spread.png", "seeds.png"]
    text = " ".join(Page(study.report().read_text("utf-8")).text().split())
    told = study.spread([metric for metric in METRICS if not metric.startswith("validation/")])
    for sentence in sentences.spread(told, study.median_shares(), "xfm"):
        assert text.count(sentence.replace("\u00a0", " ")) == 2, "in the abstract and in the results"


DIFFERENCES = st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=3, max_size=9)


@given(st.lists(st.integers(-4, 4).map(lambda k: k / 400), min_size=3, max_size=8))  # ties and zeros
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
    for d, pairs in ((0.2, 199), (0.5, 34), (0.8, 15)):  # G*Power, two-sided, alpha .05, power .8: the fewest pairs
        assert detectable(pairs) <= d < detectable(pairs - 1)


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
    assume(np.std(x) > 1e-6)
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


@given(st.lists(st.lists(st.floats(1e-6, 1), min_size=2, max_size=2), min_size=2, max_size=3), st.floats(0.01, 0.2))
def test_gates_reject_what_steps_by_hand_reject(p, alpha):
    assert (gatekeeping(np.array(p)) <= alpha).tolist() == by_hand(np.array(p), alpha).tolist()


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=6))
def test_of_one_metric_gates_are_holm_and_of_one_comparison_a_fixed_sequence(p):
    assert gatekeeping([[x] for x in p])[:, 0] == pytest.approx(holm(p))
    assert gatekeeping([p])[0] == pytest.approx(np.maximum.accumulate(p))
    adjusted = gatekeeping([[0.2, 0.0001, 0.0001], [0.001, math.nan, 0.0001]])  # one that stays shut
    assert (adjusted[0] >= 0.2).all() and adjusted[1, 0] == pytest.approx(0.002)
    assert math.isnan(adjusted[1, 1]) and adjusted[1, 2] == 1
