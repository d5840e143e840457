"""Studies of seconds: a tiny recipe, few steps, one cheap task. And studies whose numbers are made up."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from xfm.base.numbers import p_value
from xfm.study import Study, results_csv, statistics, store
from xfm.study.study_metrics import Measured, Metric

os.environ["ACCELERATE_USE_CPU"] = "true"
ROOT = Path(__file__).parents[2]
TINY = {
    "data.pairs": 4,
    "data.regions": 4,
    "data.region_images": 2,
    "data.images": 2,
    "data.texts": 4,
    **{f"objectives.{objective}.start": 0.0 for objective in ("itm", "imlm", "bbp", "mim")},
    "train.steps": 4,
    "train.warmup": 1,
    "stage1_steps": 2,
}
METRICS = {  # metric -> family, mean, standard deviation over the seeds
    "language, loss (nats)": ("language", 4.0, 0.05),
    "validation/regions/bbp": ("vision", 0.5, 0.02),
    "naming, accuracy": ("vision-language", 0.7, 0.03),
    "grounding, acc@0.5": ("vision-language", 0.6, 0.03),
}
KNOWN = {
    "language, loss (nats)": Metric("lower", "nats", 4.05, "unigram"),
    "validation/regions/bbp": Metric("lower", "MSE"),
    "naming, accuracy": Metric("higher", "%", 0.01, "chance"),
    "grounding, acc@0.5": Metric("higher", "%"),
}
PRIMARY = tuple(METRICS)[:3]
LOSS, BOXES = "language, loss (nats)", "grounding (several objects), acc@0.5"
SEEN = "concept, pooled, linear probe, accuracy"
STARTS = {LOSS: ("language", 4.5), BOXES: ("vision-language", 0.7), SEEN: ("vision", 0.6)}  # of X-FM, made up
JUDGED = {
    LOSS: Metric("lower", "nats", 6.92, "unigram"),
    BOXES: Metric("higher", "%", 0.04, "best constant box"),
    SEEN: Metric("higher", "%", 0.05, "raw pixels"),
}


def tiny(name: str, root: Path, **other: Any) -> Study:
    """Trains in seconds, with a stage 1."""
    settings: dict[str, Any] = {"variants": ["xfm", "no_stop_gradient"], "seeds": [3], "changes": TINY}
    settings |= {"tasks": "naming", "root": root / "studies", "runs": root / "runs"}
    return Study(name, "smoke+stage1", **settings | other)


def made_up(study: Study, shift: Mapping[str, float], noise: float = 0.2, lost: tuple = ()) -> Study:
    """Gives a study results: every seed has a level of its own, every variant a shift (in the seeds' standard
    deviations) with some noise."""
    rng = np.random.default_rng(0)
    study.folder.mkdir(parents=True)
    (study.folder / "spec.json").write_text(study.spec.to_json())
    blocks = []
    for seed in study.spec.seeds:
        level = {metric: rng.normal(mean, deviation) for metric, (_, mean, deviation) in METRICS.items()}
        for variant in study.spec.variants:
            moved = {m: shift.get(variant, 0.0) + noise * rng.normal() for m in METRICS}
            rows = [
                Measured(family, m, level[m] + moved[m] * sd, 400, KNOWN[m]) for m, (family, _, sd) in METRICS.items()
            ]
            if (variant, seed) not in lost:
                blocks.append(results_csv.block(study.spec, variant, seed, rows, 60.0))
    results_csv.append(study.table, "".join(blocks))
    store.write_baselines(study.folder / "baselines.json", KNOWN)
    return study


def planned(name: str, shift: Mapping[str, tuple[float, ...]], noise: float, folder: Path) -> Study:
    """A study of the project that confirms, with results that are made up: of each arm what it adds to X-FM's primary
    metrics, in their order, and normal noise in every run."""
    spec = Study.load(ROOT / "studies" / name).spec
    rng, blocks = np.random.default_rng(0), []
    for seed in spec.seeds:
        level = rng.normal(0, 0.03)
        for variant in spec.variants:
            more = (*shift.get(variant, ()), 0.0, 0.0, 0.0)
            measured = [
                Measured(family, name, start + level + added + noise * rng.normal(), 400, JUDGED[name])
                for (name, (family, start)), added in zip(STARTS.items(), more, strict=False)
            ]
            blocks.append(results_csv.block(spec, variant, seed, measured, 60.0))
    for other in (name, *spec.explored):
        (folder / other).mkdir()
        shutil.copy(ROOT / "studies" / other / "spec.json", folder / other)
    study = Study.load(folder / name)
    results_csv.append(study.table, "".join(blocks))
    store.write_baselines(study.folder / "baselines.json", JUDGED)
    return study


def decided(yes: object, no: object) -> str:
    """What a hypothesis came out as: shown, its opposite shown, or neither."""
    return "holds" if yes else "does not hold" if no else "not decided"


def page(name: str) -> str:
    """A page of the project, or a notebook, as one line."""
    text = " ".join((ROOT / name).read_text("utf-8").split())
    return " ".join(text.replace('\\n", "', " ").split()) if name.endswith(".ipynb") else text


def whole(name: str) -> Study:
    """A study of the project that confirms, all of its twelve seeds."""
    study = Study.load(ROOT / "studies" / name)
    assert not len(study.missing()) and len(study.spec.seeds) == 12
    return study


def by_seed(study: Study) -> pd.DataFrame:
    """The language encoder's loss: a row a seed, a column a variant."""
    return study.results().query("metric == @LOSS").pivot(index="seed", columns="variant", values="value")


def paired(differences: pd.Series, margin: float = 1.0) -> dict[str, float]:
    """A difference that no table has, as `told` reads it."""
    apart = differences.to_numpy()
    return {**statistics.paired(apart).__dict__, "p_equivalent": statistics.equivalence(apart, margin).p}


def told(row: Any, form: str, scale: float = 100, sign: int = 1) -> str:
    """A difference in words: `form` has places for it and the ends of its interval, and <holm> and <tost> for p; in
    points, unless `scale` is 1."""
    ends = sorted((sign * scale * row["low"], sign * scale * row["high"]))
    for name, column, put in (("<holm>", "p_holm", "{:.4f}".format), ("<tost>", "p_equivalent", p_value)):
        form = form.replace(name, put(row[column])) if name in form else form
    return re.sub(r"-(?=\d)", "−", form.format(sign * scale * row["effect"], *ends))


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study trained and measured in this process. Not to be changed."""
    study = tiny("measured", tmp_path_factory.mktemp("measured"), variants=["xfm", "no_stop_gradient", "no_guidance"])
    study.run()
    return study


@pytest.fixture
def invented(tmp_path: Path) -> Callable[..., Study]:
    """A study of ten seeds with made-up results."""

    def make(shift: Mapping[str, float], noise: float = 0.2, lost: tuple = (), **other: Any) -> Study:
        settings: dict[str, Any] = {"variants": ["xfm", *shift], "primary": PRIMARY, "root": tmp_path, "runs": tmp_path}
        return made_up(Study("invented", **settings | other), shift, noise, lost)

    return make


def numbers(study: Study) -> pd.DataFrame:
    """Everything but what a run took, in one order."""
    keys = ["variant", "seed", "metric"]
    return study.results().drop(columns="seconds").sort_values(keys, ignore_index=True)
