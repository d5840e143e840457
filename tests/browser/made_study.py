"""A small study with made results and probes, so that its view needs no training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from xfm.study import Study, results_csv, store
from xfm.study.study_metrics import Measured, Metric

VARIANTS = ("xfm", "no_stop_gradient", "neither")
PRIMARY = "language, loss (nats)"
MARGINS = {PRIMARY: 0.05}
METRICS = {  # family, level, what each variant adds, how much the seeds differ in that
    PRIMARY: ("language", 6.9, (0, 0.02, 0.021), 0.005),
    "naming, accuracy": ("vision-language", 0.05, (0, -0.02, 0.0), 0.01),
    "retrieval, image to text, recall at 1": ("vision-language", 0.03, (0, 0.0, 0.01), 0.02),
}


KNOWN = {metric: Metric("higher") for metric in METRICS} | {PRIMARY: Metric("lower", "nats", 6.9151, "unigram")}


def made(root: Path, seeds: int = 6, missing: int = 0) -> Study:
    """Its last `missing` runs have no results."""
    runs = root / "runs"
    settings = {"seeds": range(seeds), "primary": [PRIMARY], "margins": MARGINS, "root": root, "runs": runs}
    study = Study("made", "smoke+stage1", VARIANTS, **settings)
    study.folder.mkdir(parents=True)
    (study.folder / "spec.json").write_text(study.spec.to_json(), "utf-8")
    store.write_baselines(study.folder / "baselines.json", KNOWN)
    rng = np.random.default_rng(0)
    keys = [(v, s) for s in range(seeds) for v in VARIANTS]
    for variant, seed in keys[: len(keys) - missing]:
        at = VARIANTS.index(variant)
        rows = [
            Measured(family, metric, level + seed / 500 + moved[at] + (rng.normal() * sd if at else 0.0), 100)
            for metric, (family, level, moved, sd) in METRICS.items()
        ]
        results_csv.append(study.table, results_csv.block(study.spec, variant, seed, rows, 1.0))
        with open(study.folder / "probes.jsonl", "a", encoding="utf-8") as file:
            for step in (0, 4, 8):
                drift = {"language": step * (0.1 + 0.05 * at) + seed / 100, "vision": 0.0}
                ones = {"language": [1.0], "vision": [1.0]}
                record = {"variant": variant, "seed": seed, "step": step, "norm": {}, "held_back": {}, "drift": drift,
                          "cosine": {"language": {}, "vision": {}}, "cka": ones, "guidance": None}  # fmt: skip
                file.write(json.dumps(record) + "\n")
    return study
