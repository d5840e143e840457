"""How the hypotheses of `mends` are read, tried on results that are made up; studies/README.md says it in words."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from xfm.study import Study, comparisons, results_csv, statistics, study_json
from xfm.study.metrics import Measured, Metric

from .conftest import ROOT

LOSS, FOUND = "language, loss (nats)", "grounding (several objects), acc@0.5"
KNOWN = {
    LOSS: Metric("lower", "nats", 6.92, "unigram"),
    FOUND: Metric("higher", "%", 0.04, "best constant box"),
    "concept, pooled, linear probe, accuracy": Metric("higher", "%", 0.05, "raw pixels"),
}
FIELDS = ("language", "vision-language", "vision")
HELD, FREE = "distilled 10", "no stop, distilled 10"
WORLDS: dict[str, Mapping[str, tuple[float, float]]] = {  # of an arm: nats and share of boxes beside X-FM
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

    def decided(yes: object, no: object) -> str:
        return "holds" if yes else "does not hold" if no else "not decided"

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
    spec = Study.load(ROOT / "studies" / "mends").spec
    rng, blocks = np.random.default_rng(0), []
    for seed in spec.seeds:
        level = rng.normal(0, 0.03)
        for variant in spec.variants:
            nats, share = WORLDS[world].get(variant, (0.0, 0.0))
            numbers = (4.5 + level + nats, 0.7 + level + share, 0.6 + level)
            measured = [
                Measured(family, name, number + noise * rng.normal(), 400, KNOWN[name])
                for family, name, number in zip(FIELDS, spec.primary, numbers, strict=True)
            ]
            blocks.append(results_csv.block(spec, variant, seed, measured, 60.0))
    for name in ("mends", *spec.explored):
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / "studies" / name / "spec.json", tmp_path / name)
    study = Study.load(tmp_path / "mends")
    results_csv.append(study.table, "".join(blocks))
    study_json.write_baselines(study.folder / "baselines.json", KNOWN)
    assert came_out(study) == CAME_OUT[world, noise]
