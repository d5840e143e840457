"""How the hypotheses of `elsewhere` are read, tried on results that are made up; studies/README.md says it in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from xfm.study import Study, statistics

from .conftest import BOXES, LOSS, ROOT, SEEN, decided, page, planned

PULLED, LOWER = "no stop, L2-SP 0.03", "lower half stopped"
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
    losses = study.results().query("metric == @LOSS").pivot(index="seed", columns="variant", values="value")
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
