"""How the hypotheses of `mends` are read, tried on results that are made up; studies/README.md says it in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from xfm.study import Study, comparisons, statistics

from .conftest import BOXES as FOUND
from .conftest import LOSS, decided, planned

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
    values = study.results().query("metric == @LOSS").pivot(index="seed", columns="variant", values="value")

    def stop(variant: str, against: str) -> np.ndarray:
        return (values[variant] - values[against]).to_numpy()

    apart = stop("PCGrad", "no stop")
    equal, differs = statistics.equivalence(apart, margin[LOSS]).equivalent, statistics.paired(apart)
    lower, boxes = rows.loc[(FREE, LOSS)], rows.loc[(FREE, FOUND)]
    _, low, high = comparisons.ratio(stop(FREE, HELD), stop("no stop", "xfm"))
    _, slow, fast = comparisons.ratio(stop("no stop, SGD 0.1", "SGD 0.1"), stop("no stop", "xfm"))
    return [
        decided(equal, differs.low > 0 or differs.high < 0),
        decided(
            lower["verdict"] == "better" and boxes["low"] > -margin[FOUND],
            lower["verdict"] == "worse" or lower["equivalent"] == "yes" or boxes["high"] < -margin[FOUND],
        ),
        decided(high < 1 / 2, low > 1 / 2),
        decided(slow > 4 / 5, fast < 4 / 5),
    ]


@pytest.mark.parametrize(("world", "noise"), CAME_OUT)
def test_hypotheses_are_read_by_the_rule(world: str, noise: float, tmp_path: Path) -> None:
    assert came_out(planned("mends", WORLDS[world], noise, tmp_path)) == CAME_OUT[world, noise]
