"""Tables beside the effects: the paper's by field, what has learnt, and how much runs vary."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from html_page import Page
from scipy import stats
from study.conftest import METRICS, PRIMARY, made_up, measurements, without

from xfm.config import ConfigError
from xfm.report import sentences
from xfm.study import Study
from xfm.study.effects import effects
from xfm.study.spec import Spec
from xfm.study.study_metrics import Metric
from xfm.study.variance import median_share, pairing, share, standard_deviation


def test_cells_are_means_with_t_intervals_and_each_field_ends_with_its_mean_ranks(invented):
    study = invented({"no_stop_gradient": 0.7, "neither": -0.4})
    without(study, "neither", lost := PRIMARY[0])  # as a specialist's that is not asked it
    table, ranks = study.by_field(PRIMARY).set_index("metric"), study.mean_ranks(PRIMARY).set_index("family")
    x = study.results().query("metric == @PRIMARY[2] and variant == 'xfm'")["value"] * 100
    told = [float(number) for number in re.findall(r"[\d.]+", table.loc[PRIMARY[2], "xfm"])]
    assert told == pytest.approx([x.mean(), *stats.ttest_1samp(x, 0).confidence_interval(0.95)], abs=0.051)
    assert table.loc[lost, "neither"] == "" and table.loc[lost, "xfm"] != ""
    field = table.loc[lost, "field"]
    assert set(ranks.loc[[field], "variant"]) == {"xfm", "no_stop_gradient"}
    last = table[table["field"] == field].iloc[-1]
    assert all(last[row.variant].startswith(f"{row.rank:.2f} (") for row in ranks.loc[[field]].itertuples())


MIM, LOSS = "validation/images/mim", "language, loss (nats)"
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
    results, baselines = frame(found, family="vision"), frame(levels, level="baseline")
    table = measurements(TARGETS, results, KNOWN, baselines).learnt()
    assert dict(zip(table["variant"], table["learnt"], strict=True)) == {"xfm": "yes", "pixels": "not shown", "ema": ""}
    row = table.set_index("variant").loc["xfm"]
    gained = np.subtract(levels["xfm", MIM], found["xfm", MIM])
    low, high = stats.ttest_1samp(gained, 0).confidence_interval(0.95)
    assert [*row[["n", "value", "level", "gain", "low", "high"]]] == pytest.approx(
        [3, np.mean(found["xfm", MIM]), np.mean(levels["xfm", MIM]), gained.mean(), low, high]
    )


def test_losses_against_different_targets_are_not_better_or_worse_and_have_no_front_and_no_rank():
    lower = {("xfm", MIM): [0.5, 0.52, 0.55], ("pixels", MIM): [0.30, 0.31, 0.29]}
    lower |= {("xfm", LOSS): [4.5, 4.52, 4.55], ("pixels", LOSS): [4.30, 4.31, 4.29]}
    data = measurements(TARGETS, frame(lower, family="vision"), KNOWN)
    table = effects(data).set_index("metric").query("variant == 'pixels'")
    columns = ["role", "better", "verdict"]
    assert [*table.loc[LOSS, columns]] == ["secondary", "lower", "better"]
    assert [*table.loc[MIM, columns]] == ["control", "", "different"] and table.loc[MIM, "effect"] < 0
    study = Study.load(Path(__file__).parents[2] / "studies/insulation")
    for ask in (study.pareto, study.mean_ranks):
        with pytest.raises(ConfigError, match="'validation/images/mim': is a control: neither direction"):
            ask([LOSS, MIM])


def test_intervals_cover_in_95_of_100_studies():
    rng, n = np.random.default_rng(1), 2000
    part, whole, sure = rng.normal(0, 1, (n, 10)), rng.normal(3, 2, (n, 8)), 3 * math.sqrt(0.95 * 0.05 / n)
    shares, alone = [share(a, b) for a, b in zip(part, whole, strict=True)], [standard_deviation(x) for x in whole]
    assert abs(np.mean([s.share_low <= 0.25 <= s.share_high for s in shares]) - 0.95) < sure
    assert abs(np.mean([s.sd_low <= 2 <= s.sd_high for s in alone]) - 0.95) < sure


def test_a_pair_is_worth_as_many_unpaired_seeds_as_its_variance_says_and_too_few_runs_have_no_interval():
    """Of equal spreads 1 / (1 - r): as many unpaired seeds have the same standard error."""
    for r in (0.0, 0.9):
        rng, n = np.random.default_rng(3), 20_000
        shared = rng.normal(0, math.sqrt(r), n)
        found = pairing(*(shared + rng.normal(0, math.sqrt(1 - r), n) for _ in range(2)))
        assert found.correlation == pytest.approx(r, abs=0.03)
        assert found.worth == pytest.approx(1 / (1 - r), rel=0.05)
    two = np.array([1.0, 2.0])
    assert np.isnan([*standard_deviation(two)[1:], *share(two, two)[1:], *pairing(two, two)]).all()
    assert np.isnan(share(two, np.ones(4))).all(), "the whole does not vary"


def test_a_median_share_is_that_of_the_variances_and_of_few_runs_has_no_interval():
    part, whole = np.random.default_rng(1).normal(size=(2, 7, 5))
    found, low, high = median_share(part, whole, "key")
    assert found == pytest.approx(np.median(part.var(0, ddof=1) / whole.var(0, ddof=1)))
    assert low < found < high and median_share(part, whole, "key") == (found, low, high), "the draws are keyed"
    assert np.isnan([*median_share(part[:2], whole)[1:], *median_share(part, 0 * whole)]).all()


TOLD = [metric for metric in METRICS if not metric.startswith("validation/")]  # whose batches are of the seed


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
    text, table, medians = Page(study.report().read_text("utf-8")).text(), study.spread(TOLD), study.median_shares()
    text = " ".join(text.split())
    for sentence in sentences.spread(table, medians, "xfm"):
        assert text.count(sentence.replace("\u00a0", " ")) == 2, "in the abstract and in the results"
