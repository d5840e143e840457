"""How the hypotheses of `elsewhere` are read, tried on results that are made up; and what the pages say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xfm.study import Study, statistics

from .conftest import BOXES, LOSS, ROOT, SEEN, by_seed, decided, page, paired, planned, told, whole

PULLED, LOWER = "no stop, L2-SP 0.03", "lower half stopped"
BESIDE, RECALL, NAMING = "validation/pairs/imlm", "image to text, ITC, R@1", "naming, accuracy"
MATCHED = "matching (name exchanged), ITM, accuracy"
WORLDS: dict[str, Mapping[str, tuple[float, ...]]] = {  # of an arm: nats, shares of boxes and concepts beside X-FM
    "all hold": {"no stop": (0.07, 0.04), PULLED: (-0.06, 0.04), "masked": (0.071,), "GradVac": (0.07,),
                 LOWER: (0.03,), "ITC stopped": (-0.04, -0.4), "vision stopped": (0.0, -0.2, 0.05)},
    "none does": {"no stop": (0.07, 0.04), PULLED: (-0.06, -0.06), "masked": (0.02,), "GradVac": (0.07,),
                  LOWER: (-0.02,), "ITC stopped": (0.0, -0.4), "vision stopped": (0.0, 0.2, 0.05)},
    "the upper half": {"no stop": (0.07, 0.04), PULLED: (-0.06, 0.04), "masked": (0.071,), "GradVac": (0.07,),
                       LOWER: (0.09,), "ITC stopped": (-0.04, 0.002), "vision stopped": (0.0, -0.2, -0.05)},
}  # fmt: skip
CAME_OUT = {
    ("all hold", 0.002): ["holds"] * 5,
    ("none does", 0.002): ["does not hold"] * 5,
    ("the upper half", 0.002): ["holds", "holds", *["does not hold"] * 3],
    ("all hold", 0.5): ["not decided"] * 5,
}


def came_out(study: Study) -> list[str]:
    """Of each hypothesis "holds", "does not hold" (its opposite is shown), or "not decided"."""
    rows, margin = study.effects().set_index(["variant", "metric"]), study.spec.margins
    losses = by_seed(study)
    treated = [(losses[arm] - losses["no stop"]).to_numpy() for arm in ("masked", "GradVac")]
    equal = [statistics.equivalence(apart, margin[LOSS]).equivalent for apart in treated]
    differs = [found.low > 0 or found.high < 0 for found in map(statistics.paired, treated)]
    pulled, boxes = rows.loc[(PULLED, LOSS)], rows.loc[(PULLED, BOXES)]
    share = study.recovered("no stop", "xfm", LOSS).set_index("variant").loc[LOWER]
    loss, found = rows.loc[("ITC stopped", LOSS)], rows.loc[("ITC stopped", BOXES)]
    concepts, seen = rows.loc[("vision stopped", SEEN)], rows.loc[("vision stopped", BOXES)]
    return [
        decided(
            pulled["verdict"] == "better" and boxes["low"] > -margin[BOXES],
            pulled["verdict"] == "worse" or pulled["equivalent"] == "yes" or boxes["high"] < -margin[BOXES],
        ),
        decided(all(equal), any(d and not e for d, e in zip(differs, equal, strict=True))),
        decided(share["low"] > 0 and share["high"] < 1, share["low"] > 1 or share["high"] < 0),
        decided(
            loss["verdict"] == "better" and found["verdict"] == "worse",
            loss["verdict"] == "worse"
            or found["verdict"] == "better"
            or "yes" in (loss["equivalent"], found["equivalent"]),
        ),
        decided(
            concepts["verdict"] == "better" and seen["verdict"] == "worse",
            concepts["verdict"] == "worse" or seen["verdict"] == "better" or seen["equivalent"] == "yes",
        ),
    ]


@pytest.mark.parametrize(("world", "noise"), CAME_OUT)
def test_hypotheses_are_read_by_the_rule(world: str, noise: float, tmp_path: Path) -> None:
    assert came_out(planned("elsewhere", WORLDS[world], noise, tmp_path)) == CAME_OUT[world, noise]


def test_what_made_them_is_in_the_exploration() -> None:
    results = Study.load(ROOT / "studies/mends-exploration").results().query("seed == 1")
    found = results.set_index(["variant", "metric"])["value"]
    gained, lost = (100 * (found["vision stopped", metric] - found["xfm", metric]) for metric in (SEEN, BOXES))
    said = f"has {gained:.1f} points of concepts more and {-lost:.1f} of boxes fewer than X-FM"
    assert said in page("studies/README.md")


@pytest.fixture(scope="module")
def study() -> Study:
    return whole("elsewhere")


@pytest.fixture(scope="module")
def rows(study: Study) -> pd.DataFrame:
    return study.effects().set_index(["variant", "metric"])


def test_the_hypotheses_came_out_as_is_said(study: Study, rows: pd.DataFrame) -> None:
    assert [*study.answers()["held"]] == came_out(study)
    text, start = page("studies/README.md"), rows.loc[(PULLED, LOSS), "step_0"]
    pulled, losses = rows.loc[(PULLED, LOSS)], by_seed(study)
    assert told(pulled, "By {:.4f} nats ({:.4f} to {:.4f}, Holm <holm>)", 1, -1) in text
    rises = (pulled["mean"] - start, start, pulled["mean_against"] - start)
    form = "At {:.3f} nats it is {:.3f} above its warm start ({:.3f}), X-FM {:.3f}."
    assert form.format(pulled["mean"], *rises) in text
    boxes = rows.loc[(PULLED, BOXES)]
    form = "Boxes are {:.2f} points more ({:.2f} to {:.2f}), which Holm's test does not show (<holm>)"
    assert told(boxes, form) in text and boxes["verdict"] == "no difference shown"

    margin = study.spec.margins[LOSS]
    masked, vaccine = (paired(losses[arm] - losses["no stop"], margin) for arm in ("masked", "GradVac"))
    assert f"neither is within the margin of {margin} nats" in text
    both = told(masked, "by {:+.4f}", 1), told(vaccine, "by {:+.4f} nats: one mends a little, one harms", 1)
    assert "Both differ from no stop, {} and {}".format(*both) in page("docs/studies.md")
    assert told(masked, "The mask is {:.4f} nats below it ({:.4f} to {:.4f}, TOST p <tost>)", 1, -1) in text
    assert told(vaccine, "GradVac is {:.4f} nats above it ({:.4f} to {:.4f}, TOST p <tost>)", 1) in text
    shares = study.recovered("no stop", "xfm", LOSS).set_index("variant")[["share", "low", "high"]] * 100
    assert "{:.0f} % of the way back ({:.0f} to {:.0f})".format(*shares.loc["masked"]) in text
    assert "it closes {:.0f} % of the gap ({:.0f} to {:.0f})".format(*shares.loc[LOWER]) in text
    config = study.spec.config(LOWER, 100)
    stopped = math.ceil(config.flow.stopped_share * config.model.text.depth)
    assert (stopped, config.model.text.depth) == (2, 3) and "embeddings and two of the three layers" in text
    assert told(rows.loc[(LOWER, LOSS)], "{:.4f} nats above X-FM ({:.4f} to {:.4f}, Holm <holm>)", 1) in text
    lower = rows.loc[(LOWER, BOXES)]
    form = "within the margin of X-FM's ({:.2f} points, {:.2f} to {:+.2f}, TOST p <tost>)"
    assert told(lower, form) in text and lower["equivalent"] == "yes"

    apart, seen = rows.loc["ITC stopped"], rows.loc["vision stopped"]
    assert told(apart.loc[LOSS], "The loss is {:.4f} nats lower ({:.4f} to {:.4f}, Holm <holm>)", 1, -1) in text
    assert told(apart.loc[BOXES], "boxes are {:.2f} points fewer ({:.2f} to {:.2f}, Holm <holm>)", sign=-1) in text
    left = [100 * apart.loc[metric, "mean"] for metric in (MATCHED, RECALL)]
    assert "an exchanged name is noticed in {:.1f} % (a coin 50.0), and R@1 is {:.1f} %".format(*left) in text
    assert told(seen.loc[SEEN], "Concepts are {:.2f} points more ({:.2f} to {:.2f}, Holm <holm>)") in text
    assert told(seen.loc[BOXES], "boxes {:.2f} fewer ({:.2f} to {:.2f}, Holm <holm>)", sign=-1) in text


def test_what_else_the_studies_page_says(study: Study, rows: pd.DataFrame) -> None:
    text, losses = page("studies/README.md"), by_seed(study)
    insulation, mends = by_seed(whole("insulation")), by_seed(whole("mends"))
    assert losses[["xfm", "no stop"]].equals(insulation[["xfm", "no stop"]])  # "are `insulation`'s"
    seen, apart = rows.loc["vision stopped"], rows.loc["ITC stopped"]
    assert told(seen.loc[SEEN], "tells {:.2f} points of concepts more and") in text
    assert told(seen.loc[NAMING], "uncorrected, naming has {:.2f} more ({:.2f} to {:.2f})") in text
    assert told(seen.loc[RECALL], "R@1 {:.2f} ({:.2f} to {:.2f}): what the contrast teaches") in text
    kept, x_fm, constant = (100 * seen.loc[BOXES, column] for column in ("mean", "mean_against", "baseline"))
    assert f"{kept:.2f} % are left of X-FM's {x_fm:.2f} (best constant box {constant:.2f})" in text
    free = rows.loc["no stop"]
    assert told(free.loc[BOXES], "the language encoder it costs {:.2f} points of boxes") in text

    below = paired(losses["ITC stopped"] - insulation["text only"])
    form = "nats, {:.4f} *below* that of `text only` ({:.4f} to {:.4f}, uncorrected)"
    assert f"{apart.loc[LOSS, 'mean']:.3f} {told(below, form, 1, -1)}" in text
    matched, recall, boxes = (100 * apart.loc[metric, "mean"] for metric in (MATCHED, RECALL, BOXES))
    fell = f"({matched:.1f} % of exchanged names), R@1 falls to {recall:.1f} %, and of boxes {boxes:.2f} % are found"
    assert fell in text

    assert told(free.loc[BESIDE], "of the {:.4f} nats that words masked beside a picture gain", 1, -1) in text
    lower = rows.loc[LOWER]
    assert told(lower.loc[BESIDE], "{:.4f} stay ({:.4f} to {:.4f}, uncorrected)", 1, -1) in text
    assert 0.2 < lower.loc[BESIDE, "effect"] / free.loc[BESIDE, "effect"] < 0.3  # "a quarter of that gain"
    assert 0.2 < lower.loc[LOSS, "effect"] / free.loc[LOSS, "effect"] < 0.3  # "a quarter of the harm"
    assert told(lower.loc[RECALL], "R@1 is not shown to differ ({:.2f}, {:.2f} to {:+.2f})") in text

    pulled, held = rows.loc[PULLED], mends["no stop, distilled 10"].mean()
    ends = f"L2-SP ends at {pulled.loc[LOSS, 'mean']:.3f} nats, `no stop, distilled 10` of `mends` at {held:.3f}"
    assert ends in text
    assert told(pulled.loc[RECALL], "({:.2f} points fewer, {:.2f} to {:.2f}, uncorrected;", sign=-1) in text
    probes = study.probes()
    moved = {v: np.mean([run[-1]["drift"]["language"] for run in probes[v]]) for v in (PULLED, "xfm")}
    alike = {v: np.mean([run[-1]["cka"]["language"][-1] for run in probes[v]]) for v in (PULLED, "xfm")}
    form = "It moves the weights {:.3f} of their norm where X-FM moves them {:.3f}"
    assert form.format(*moved.values()).replace(" 0.", " .") in text
    assert "start {:.2f}, X-FM {:.2f})".format(*alike.values()) in text

    worse = [losses["GradVac"] - losses["no stop"], mends["PCGrad"] - mends["no stop"]]
    form = "is {:.4f} nats *worse* than no stop, PCGrad {:.4f} worse"
    assert form.format(*(differences.mean() for differences in worse)) in text
    masked = told(rows.loc[("masked", RECALL)], "most of R@1 ({:.2f} beside X-FM, {:.2f} to {:+.2f}; no stop ")
    assert f"{masked}{told(free.loc[RECALL], '{:.2f})')}" in text
    assert study.spec.config("masked", 100).flow.masked_share == 0.5  # "half of the numbers"
    primary, scale = study.spec.primary, (1, 100, 100)
    looked = [round(k * study.spec.detectable[m], 4) for m, k in zip(primary, scale, strict=True)]
    widest = [k * rows.xs(m, level="metric")["detectable"].max() for m, k in zip(primary, scale, strict=True)]
    assert "Looked for were {} nats, {:.0f} and {:.0f} points".format(*looked) in text
    assert "the widest spread these seeds find {:.4f}, {:.2f} and {:.2f} in".format(*widest) in text


def test_what_other_pages_say(study: Study, rows: pd.DataFrame) -> None:
    first, results = page("README.md"), page("docs/results.md")
    notebook, tour = page("notebooks/04_stop_gradient.ipynb"), page("notebooks/01_tour.ipynb")
    seen, apart, pulled = (rows.loc[arm] for arm in ("vision stopped", "ITC stopped", PULLED))
    for text, form, more in (
        (first, "a stop gives {:.1f} points of concepts ({:.1f} to {:.1f})", "for {:.1f} of boxes ({:.1f} to {:.1f})"),
        (notebook, "{:.1f} points of concepts more ({:.1f} to {:.1f})", "{:.1f} of boxes fewer ({:.1f} to {:.1f})"),
        (results, "it gives {:.2f} points of concepts by a linear probe ({:.2f} to {:.2f}, Holm <holm>)",
         "and takes {:.2f} of boxes ({:.2f} to {:.2f}, Holm <holm>)"),
    ):  # fmt: skip
        assert told(seen.loc[SEEN], form) in text and told(seen.loc[BOXES], more, sign=-1) in text
    shares = study.recovered("no stop", "xfm", LOSS).set_index("variant")[["share", "low", "high"]] * 100
    assert "the loss is {:.0f} % of the way back ({:.0f} to {:.0f})".format(*shares.loc[LOWER]) in notebook
    assert "it closes {:.0f} % of the gap in loss ({:.0f} to {:.0f})".format(*shares.loc[LOWER]) in results
    assert "mask gives {:.0f} % of the way back ({:.0f} to {:.0f})".format(*shares.loc["masked"]) in results
    assert "The mask gives back {:.0f} %".format(shares.loc["masked", "share"]) in notebook
    losses = by_seed(study)
    vaccine = paired(losses["GradVac"] - losses["no stop"])
    assert told(vaccine, "GradVac adds {:.4f} nats to no stop's ({:.4f} to {:.4f})", 1) in results
    assert told(apart.loc[LOSS], "the loss is {:.3f} nats below X-FM's ({:.3f} to {:.3f})", 1, -1) in notebook
    assert told(apart.loc[LOSS], "the loss is {:.4f} nats lower ({:.4f} to {:.4f}, Holm <holm>)", 1, -1) in results
    assert told(pulled.loc[LOSS], "more for that loss than the stop ({:.3f}, {:.3f} to {:.3f})", 1, -1) in notebook
    assert told(pulled.loc[LOSS], "puts it {:.4f} below X-FM's ({:.4f} to {:.4f}, Holm <holm>)", 1, -1) in results
    recall = [100 * apart.loc[RECALL, column] for column in ("mean_against", "mean")]
    fell = "falls from {:.1f} to {:.1f} %".format(*recall)
    assert fell in tour and fell in results and f"R@1 falls to {recall[1]:.1f} %" in notebook
    assert told(apart.loc[LOSS], "and MLM's loss by {:.3f} nats", 1, -1) in tour
    below = (by_seed(whole("insulation"))["text only"] - losses["ITC stopped"]).mean()
    assert f"its loss is {below:.3f} nats below that of `text only`" in notebook
