"""Studies of seconds: a tiny recipe, few steps, one cheap task. And studies whose numbers are made up."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from xfm.study import Spec, Study, growing_csv, store
from xfm.study.measurements import Measurements
from xfm.study.study_metrics import Measured, Metric
from xfm.study.worker import Outcome

os.environ["ACCELERATE_USE_CPU"] = "true"
TINY = {
    **{"data.pairs": 4, "data.regions": 4, "data.region_images": 2, "data.images": 2, "data.texts": 4},
    **{f"objectives.{objective}.start": 0.0 for objective in ("itm", "imlm", "bbp", "mim")},
    **{"train.steps": 4, "train.warmup": 1, "stage1_steps": 2},
}
METRICS = {  # metric -> family, mean, standard deviation over the seeds
    "language, loss (nats)": ("language", 4.0, 0.05),
    "validation/regions/bbp": ("vision", 0.5, 0.02),
    "naming, accuracy": ("vision-language", 0.7, 0.03),
    "grounding, acc@0.5": ("vision-language", 0.6, 0.03),
}
KNOWN = {
    "language, loss (nats)": Metric("lower", "nats", 4.05, "unigram", "language", 400),
    "validation/regions/bbp": Metric("lower", "MSE", None, "", "vision", 400),
    "naming, accuracy": Metric("higher", "%", 0.01, "chance", "vision-language", 400),
    "grounding, acc@0.5": Metric("higher", "%", None, "", "vision-language", 400),
}
PRIMARY = tuple(METRICS)[:3]


def tiny(name: str, root: Path, **other: Any) -> Study:
    """Trains in seconds, with a stage 1."""
    settings: dict[str, Any] = {"variants": ["xfm", "no_stop_gradient"], "seeds": [3], "changes": TINY}
    settings |= {"tasks": "naming", "root": root / "studies", "runs": root / "runs"}
    return Study(name, "smoke+stage1", **settings | other)


def made_up(study: Study, shift: Mapping[str, float], noise: float = 0.2, lost: tuple = ()) -> Study:
    """Every seed has a level of its own, every variant a shift (in the seeds' standard deviations) with some noise."""
    rng = np.random.default_rng(0)
    study.folder.mkdir(parents=True)
    (study.folder / "spec.json").write_text(study.spec.to_json())
    for seed in study.spec.seeds:
        level = {metric: rng.normal(mean, deviation) for metric, (_, mean, deviation) in METRICS.items()}
        for variant in study.spec.variants:
            moved = {m: shift.get(variant, 0.0) + noise * rng.normal() for m in METRICS}
            rows = [
                Measured(family, m, level[m] + moved[m] * sd, 400, KNOWN[m]) for m, (family, _, sd) in METRICS.items()
            ]
            if (variant, seed) not in lost:
                store.add_results(study.folder, study.spec, (variant, seed), rows, 60.0)
    return study


def edited(study: Study, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Changes the rows of results.csv; None removes one."""
    rows = growing_csv.read(study.table)
    study.table.unlink()
    growing_csv.append(study.table, [new for row in rows if (new := change(row))])


def without(study: Study, variant: str, metric: str = "", seed: int | None = None) -> None:
    """Removes a variant's runs (at one seed) from results.csv, or a metric of theirs."""

    def change(row: dict[str, Any]) -> dict[str, Any] | None:
        left = {name: value for name, value in row.items() if name != metric} if metric else None
        return left if row["variant"] == variant and seed in (None, row["seed"]) else row

    edited(study, change)


def outcome(*_: Any) -> Outcome:
    found = Measured("language", "m", 1.0, 5, Metric("lower", "nats", 9.0, "untrained"))
    return Outcome([found], 1.0, [], [])


def measurements(spec: Spec, results: pd.DataFrame, metrics: Mapping[str, Metric], levels: Any = None) -> Measurements:
    empty = pd.DataFrame({"variant": [], "seed": [], "metric": [], "level": [], "value": []})
    return Measurements(spec, results, empty if levels is None else levels, metrics, {})


@pytest.fixture(scope="session")
def measured(once):
    """A study trained and measured in this process. Not to be changed."""
    variants = ["xfm", "no_stop_gradient", "no_guidance"]
    root = once("measured", lambda root: tiny("measured", root, variants=variants).run())
    return tiny("measured", root, variants=variants)


@pytest.fixture
def invented(tmp_path):
    """A study of ten seeds with made-up results."""

    def make(shift: Mapping[str, float], noise: float = 0.2, lost: tuple = (), **other: Any) -> Study:
        settings: dict[str, Any] = {"variants": ["xfm", *shift], "primary": PRIMARY, "root": tmp_path, "runs": tmp_path}
        return made_up(Study("invented", **settings | other), shift, noise, lost)

    return make


def numbers(study: Study) -> pd.DataFrame:
    return study.results().drop(columns="seconds").sort_values(["variant", "seed", "metric"], ignore_index=True)
