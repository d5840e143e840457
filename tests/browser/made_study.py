"""A small study with made results and probes, so that its view needs no training."""

from pathlib import Path

import numpy as np

from xfm.study import Study, run_records, store
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
    rng = np.random.default_rng(0)
    keys = [(v, s) for s in range(seeds) for v in VARIANTS]
    for variant, seed in keys[: len(keys) - missing]:
        at = VARIANTS.index(variant)
        rows = []
        for metric, (family, level, moved, sd) in METRICS.items():
            value = level + seed / 500 + moved[at] + (rng.normal() * sd if at else 0.0)
            rows.append(Measured(family, metric, value, 100, KNOWN[metric]))
        store.add_results(study.folder, study.spec, (variant, seed), rows, 1.0)
        records = []
        for step in (0, 4, 8):
            drift = {"language": step * (0.1 + 0.05 * at) + seed / 100, "vision": 0.0}
            ones = {"language": [1.0], "vision": [1.0]}
            records.append({"step": step, "norm": {}, "held_back": {}, "drift": drift, "cka": ones, "guidance": None,
                            "cosine": {"language": {}, "vision": {}}})  # fmt: skip
        run_records.add_records(study.folder / run_records.PROBES, (variant, seed), records)
    return study
