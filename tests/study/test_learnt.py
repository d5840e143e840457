"""Has every loss learnt? Beside its own baseline, and not beside another run's targets."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from study.conftest import PRIMARY, measurements

from xfm.config import ConfigError
from xfm.study import Study
from xfm.study.effects import effects
from xfm.study.spec import Spec
from xfm.study.study_metrics import Metric

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
    assert [*table.itertuples(index=False, name=None)][2][-4:-1] == pytest.approx((0.45, np.nan, np.nan), nan_ok=True)
    assert dict(zip(table["variant"], table["learnt"], strict=True)) == {"xfm": "yes", "pixels": "not shown", "ema": ""}
    row = table.set_index("variant").loc["xfm"]
    gained = np.subtract(levels["xfm", MIM], found["xfm", MIM])
    low, high = stats.ttest_1samp(gained, 0).confidence_interval(0.95)
    assert [*row[["n", "value", "level", "gain", "low", "high"]]] == pytest.approx(
        [3, np.mean(found["xfm", MIM]), np.mean(levels["xfm", MIM]), gained.mean(), low, high]
    )


def test_a_study_says_it_of_each_variant(invented):
    study = invented({"no_stop_gradient": -4.0, "neither": 0.4})
    table = study.learnt(PRIMARY).set_index(["metric", "variant"])
    assert {metric for metric, _ in table.index} == set(PRIMARY[::2]), "the others have no level"
    assert table.loc[(LOSS, "no_stop_gradient"), "learnt"] == "yes", "of 4.05 nats, the made-up level"
    assert set(study.learnt()["variant"]) == {"xfm", "no_stop_gradient", "neither"}
    own = study.results().query("metric == @LOSS and variant == 'neither'")["value"]
    assert table.loc[(LOSS, "neither"), "gain"] == pytest.approx(4.05 - own.mean())


def test_losses_against_different_targets_are_not_better_or_worse():
    lower = {("xfm", MIM): [0.5, 0.52, 0.55], ("pixels", MIM): [0.30, 0.31, 0.29]}
    lower |= {("xfm", LOSS): [4.5, 4.52, 4.55], ("pixels", LOSS): [4.30, 4.31, 4.29]}
    data = measurements(TARGETS, frame(lower, family="vision"), KNOWN)
    table = effects(data).set_index("metric").query("variant == 'pixels'")
    columns = ["role", "better", "verdict"]
    assert [*table.loc[LOSS, columns]] == ["secondary", "lower", "better"]
    assert [*table.loc[MIM, columns]] == ["control", "", "different"] and table.loc[MIM, "effect"] < 0


def test_no_front_and_no_rank_is_of_them():
    study = Study.load(Path(__file__).parents[2] / "studies/insulation")
    for ask in (study.pareto, study.mean_ranks):
        with pytest.raises(ConfigError, match="'validation/images/mim': is a control: neither direction"):
            ask([LOSS, MIM])
