"""curves.csv of a study: the losses of its runs, thin enough to ship, and those of the runs themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xfm.study import worker


@pytest.mark.parametrize("steps", [1, 2, 59, 60, 61, 119, 240, 1000, 7919])
def test_a_curve_has_at_most_60_points_each_the_mean_of_its_steps(steps: int):
    rng = np.random.default_rng(steps)
    losses = rng.normal(size=steps)
    records = [{"step": i, "loss": float(losses[i]), "texts/mlm": 1.0, "texts/mlm/accuracy": 0.5} for i in range(steps)]
    rows = worker.thinned(records)
    every = math.ceil(steps / 60)
    naive = [losses[i : i + every].mean() for i in range(0, steps, every)]
    assert all([*row] == ["step", "loss", "texts/mlm"] for row in rows) and len(rows) <= 60
    assert [row["step"] for row in rows] == [min(i + every, steps) for i in range(0, steps, every)]
    assert [row["loss"] for row in rows] == pytest.approx(naive) and {row["texts/mlm"] for row in rows} == {1.0}


def test_a_loss_that_joins_later_held_out_ones_and_what_is_not_finite_have_gaps():
    records: list[dict] = [{"step": i, "loss": 1.0} for i in range(120)]
    for record in records[61:]:
        record["pairs/itm"] = float(record["step"])
    records[99]["validation/pairs/itm"] = 0.6
    for record in records[:2]:
        record |= {"loss": math.nan, "texts/mlm": 1.0}
    rows = worker.thinned(records)
    assert [row["step"] for row in rows] == [*range(2, 121, 2)] and [row["loss"] for row in rows[:2]] == ["", 1.0]
    assert [row["pairs/itm"] for row in rows[:32]] == [""] * 30 + [61.0, 62.5]
    assert [row["step"] for row in rows if row["validation/pairs/itm"]] == [100]
    assert worker.thinned([]) == worker.thinned([{"step": 3}]) == []


def test_a_trained_study_has_the_curves_of_its_runs(measured):
    found = measured.curves()
    assert list(found) == ["xfm", "no_stop_gradient", "no_guidance"] and {*map(len, found.values())} == {1}
    records = measured.run_of("no_guidance", 3).metrics()
    for key in ("loss", "pairs/itm", "regions/bbp", "texts/mlm", "images/mim", "validation/texts/mlm"):
        steps, values = found["no_guidance"][0][key]
        own = [(r["step"] + 1, r[key]) for r in records if key in r]
        assert steps.tolist() == [step for step, _ in own]
        assert values == pytest.approx([value for _, value in own], rel=1e-3)
