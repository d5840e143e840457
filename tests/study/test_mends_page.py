"""How the hypotheses of `mends` are read, tried on results that are made up; and what the pages say of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from xfm.study import Study, statistics

from .conftest import BOXES as FOUND
from .conftest import LOSS, by_seed, decided, page, paired, planned, told, whole

RECALL = "image to text, ITC, R@1"
HELD, FREE = "distilled 10", "no stop, distilled 10"
WORLDS: dict[str, Mapping[str, tuple[float, ...]]] = {  # of an arm: nats and share of boxes beside X-FM
    "all hold": {"no stop": (0.07, 0.04), "PCGrad": (0.071, 0.04), FREE: (-0.13, 0.03), HELD: (-0.14, 0.0),
                 "no stop, SGD 0.1": (0.17, 0.0), "SGD 0.1": (0.1, -0.04)},
    "none does": {"no stop": (0.07, 0.04), "PCGrad": (0.01, 0.0), FREE: (0.03, 0.03), HELD: (-0.06, 0.0),
                  "no stop, SGD 0.1": (0.12, 0.0), "SGD 0.1": (0.1, -0.04)},
    "boxes are lost": {"no stop": (0.07, 0.04), "PCGrad": (0.071, 0.04), FREE: (-0.13, -0.06), HELD: (-0.14, -0.06),
                       "no stop, SGD 0.1": (0.17, 0.0), "SGD 0.1": (0.1, -0.04)},
}  # fmt: skip
CAME_OUT = {
    ("all hold", 0.002): ["holds"] * 4,
    ("none does", 0.002): ["does not hold"] * 4,
    ("boxes are lost", 0.002): ["holds", "does not hold", "holds", "holds"],
    ("all hold", 0.3): ["not decided"] * 4,
}


def came_out(study: Study) -> list[str]:
    """Of each hypothesis "holds", "does not hold" (its opposite is shown), or "not decided"."""
    rows, margin = study.effects().set_index(["variant", "metric"]), study.spec.margins
    values = by_seed(study)

    def left(part: Mapping[str, float]) -> pd.Series:
        return study.share(part, {"no stop": 1, "xfm": -1}, LOSS).iloc[0]

    apart = (values["PCGrad"] - values["no stop"]).to_numpy()
    equal, differs = statistics.equivalence(apart, margin[LOSS]).equivalent, statistics.paired(apart)
    lower, boxes = rows.loc[(FREE, LOSS)], rows.loc[(FREE, FOUND)]
    adamw, sgd = left({FREE: 1, HELD: -1}), left({"no stop, SGD 0.1": 1, "SGD 0.1": -1})
    return [
        decided(equal, differs.low > 0 or differs.high < 0),
        decided(
            lower["verdict"] == "better" and boxes["low"] > -margin[FOUND],
            lower["verdict"] == "worse" or lower["equivalent"] == "yes" or boxes["high"] < -margin[FOUND],
        ),
        decided(adamw["high"] < 1 / 2, adamw["low"] > 1 / 2),
        decided(sgd["low"] > 4 / 5, sgd["high"] < 4 / 5),
    ]


@pytest.mark.parametrize(("world", "noise"), CAME_OUT)
def test_hypotheses_are_read_by_the_rule(world: str, noise: float, tmp_path: Path) -> None:
    assert came_out(planned("mends", WORLDS[world], noise, tmp_path)) == CAME_OUT[world, noise]


@pytest.fixture(scope="module")
def study() -> Study:
    return whole("mends")


@pytest.fixture(scope="module")
def rows(study: Study) -> pd.DataFrame:
    return study.effects().set_index(["variant", "metric"])


def test_the_hypotheses_came_out_as_is_said(study: Study, rows: pd.DataFrame) -> None:
    assert [*study.answers()["held"]] == came_out(study)
    text, free = page("studies/README.md"), rows.loc[(FREE, LOSS)]
    losses = by_seed(study)
    treated = paired(losses["PCGrad"] - losses["no stop"], 0.0114)
    assert told(treated, "({:+.4f} nats, {:+.4f} to {:+.4f}, TOST p <tost>)", 1) in text
    assert study.spec.margins[LOSS] == 0.0114 and treated["low"] > 0  # to its harm
    assert told(free, "By {:.4f} nats ({:.4f} to {:.4f}, Holm <holm>)", 1, -1) in text
    assert told(rows.loc[(FREE, FOUND)], "and {:.2f} points of boxes more ({:.2f} to {:.2f}, Holm <holm>)") in text
    assert f"At {free['mean']:.3f} nats it is where its warm start was ({free['step_0']:.3f})" in text
    for pair, form in {
        (FREE, HELD): "{:.0f} % ({:.0f} to {:.0f}) of what it takes off in X-FM",
        ("no stop, SGD 0.1", "SGD 0.1"): "{:.0f} % ({:.0f} to {:.0f}): with SGD, too",
    }.items():
        part, of_xfm = dict(zip(pair, (1, -1), strict=True)), {"no stop": 1, "xfm": -1}
        shares = study.share(part, of_xfm, LOSS).iloc[0]
        assert form.format(*(100 * shares[end] for end in ("share", "low", "high"))) in text
    held, slow = (study.contrast(dict(zip(pair, (1, -1), strict=True)), LOSS).iloc[0] for pair in
                  ((FREE, HELD), ("no stop, SGD 0.1", "SGD 0.1")))  # fmt: skip
    assert told(held, "of what it takes off in X-FM: {:.4f} nats", 1) in text
    assert told(slow, "without a stop, by {:.4f} nats ({:.4f} to {:.4f})", 1) in text


def test_what_else_is_said_is_in_its_tables(study: Study, rows: pd.DataFrame) -> None:
    text, notebook = page("studies/README.md"), page("notebooks/04_stop_gradient.ipynb")
    first, results = page("README.md"), page("docs/results.md")
    free, boxes, recall = (rows.loc[(FREE, metric)] for metric in (LOSS, FOUND, RECALL))
    assert told(recall, "R@1 is {:.2f} points lower than X-FM's ({:.2f} to {:.2f}, uncorrected)", sign=-1) in text
    form = "the hold costs {:.2f} where there is a stop ({:.2f} to {:.2f})"
    assert told(rows.loc[(HELD, RECALL)], form, sign=-1) in text
    slow, without = rows.loc[("SGD 0.1", LOSS)], rows.loc[("no stop, SGD 0.1", LOSS)]
    assert told(slow, "SGD lowers that loss by {:.4f} nats with the stop ({:.4f} to {:.4f})", 1, -1) in text
    assert slow["verdict"] == "better" and without["equivalent"] == "yes" and slow["mean"] > free["mean"]
    form = "its price is {:.2f} points of boxes ({:.2f} to {:.2f}, Holm <holm>)"
    assert told(rows.loc[("SGD 0.1", FOUND)], form, sign=-1) in text
    assert told(without, "({:+.4f}, {:+.4f} to {:+.4f}, TOST p <tost>)", 1) in text
    primary = study.spec.primary
    scale = [1, 100, 100]
    looked = [round(k * study.spec.detectable[m], 4) for m, k in zip(primary, scale, strict=True)]
    widest = [k * rows.xs(m, level="metric")["detectable"].max() for m, k in zip(primary, scale, strict=True)]
    assert "Looked for were {} nats, {:.0f} and {:.0f} points".format(*looked) in text
    assert "the widest spread these seeds find {:.4f}, {:.2f} and {:.2f} in".format(*widest) in text

    assert f"{-free['effect']:.3f} nats below X-FM's, with {100 * boxes['effect']:.1f} points of boxes" in notebook
    assert told(boxes, "({1:.1f} to {2:.1f}): both shown") in notebook
    assert told(recall, "{:.1f} points ({:.1f} to {:.1f}, uncorrected). A stop", sign=-1) in notebook
    assert told(free, "put it {:.3f} below X-FM's ({:.3f} to {:.3f})", 1, -1) in first
    assert told(boxes, "with {:.1f} points of boxes more ({:.1f} to {:.1f})") in first
    assert told(recall, "and, uncorrected, {:.1f} of R@1 fewer ({:.1f} to {:.1f})", sign=-1) in first
    assert told(free, "loss is {:.4f} nats below X-FM's ({:.4f} to {:.4f}, Holm <holm>)", 1, -1) in results
    assert told(boxes, "found {:.2f} points more often ({:.2f} to {:.2f}, Holm <holm>)") in results
    assert told(recall, "worse by {:.2f} points ({:.2f} to {:.2f})", sign=-1) in results
    assert [rows.loc[(FREE, m), "verdict"] for m in (LOSS, FOUND)] == ["better", "better"]
