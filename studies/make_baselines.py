"""baselines.json of the studies that were run before studies recorded it.

    python studies/make_baselines.py [NAME ...]

A baseline is a function of the world, the tokenizer, the questions and the architecture, not of what was trained: an
untrained model of the study's config is evaluated, and what the evaluation says of each metric is kept for those in
results.csv. Values of metrics that are themselves baselines (raw pixels, random weights) must come out as they are
there. A study that is run now writes the file itself, from its first finished run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from xfm.data import dataset
from xfm.evaluation import evaluate
from xfm.objectives import build
from xfm.study import Study
from xfm.study.metrics import evaluated, held_out
from xfm.study.study_json import merge, write_baselines

ROOT = Path(__file__).parent


def make(name: str) -> None:
    study = Study.load(ROOT / name)
    results, config = study.results(), study.spec.config(next(iter(study.spec.variants)), study.spec.seeds[0])
    tokenizer, asked = dataset(config).tokenizer(), study.spec.evaluated
    rows = evaluated(evaluate(build(config), config, tokenizer, study.spec.split, tasks=asked))
    for row in rows:
        if "raw pixels" in row.metric or "random weights" in row.metric:
            values = results[results["metric"] == row.metric]["value"]
            assert (values - row.value).abs().max() < 1e-9, f"{name}: {row.metric}: {row.value}, was {values.unique()}"
    losses = {metric: 0.0 for metric in results["metric"].unique() if metric.startswith("validation/")}
    metrics = merge({}, [*rows, *held_out(losses, config)])
    write_baselines(ROOT / name / "baselines.json", {key: metrics[key] for key in results["metric"].unique()})
    print(f"{name}: {len(metrics)} metrics")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    written = {path.parent.name for path in ROOT.glob("*/spec.json") if path.with_name("results.csv").exists()}
    older = sorted(name for name in written if " (baseline)" not in (ROOT / name / "results.csv").read_text("utf-8"))
    parser.add_argument("names", nargs="*", default=older)
    torch.set_num_threads(1)
    for study_name in parser.parse_args().names:
        make(study_name)
