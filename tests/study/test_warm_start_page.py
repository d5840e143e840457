"""The paragraph on warm starts says what its table has."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from xfm import recipes

STUDIES = Path(__file__).resolve().parents[2] / "studies"
COLUMNS = [("language", "", "loss"), ("lexicographer files", "fine-tuned", "accuracy"),
           ("same synset", "linear probe", "accuracy"), ("hypernym", "linear probe", "accuracy")]  # fmt: skip


def test_the_table_of_warm_starts_is_that_of_its_file() -> None:
    text = (STUDIES / "README.md").read_text("utf-8")
    rows = json.loads((STUDIES / "warm_start.json").read_text("utf-8"))["runs"]
    for steps, rate in ((10_000, 0.3), (30_000, 0.3), (30_000, 0.1)):
        for alone in (True, False) if rate == 0.3 else (False,):
            (run,) = (r for r in rows if r["recipe"] == "pretrained" and r["changes"]["stage1_steps"] == steps
                      and ("trained" in r) == alone
                      and (alone or r["changes"]["train.text_lr_scale"] == rate))  # fmt: skip
            of = {(r["task"], r["condition"], r["metric"]): r["value"] for r in run["results"]}
            numbers = [f"{of[c]:.2f}" if c[2] == "loss" else f"{100 * of[c]:.1f}" for c in COLUMNS]
            name = f"{steps:,} steps alone" if alone else f"and 5,000 joint steps{' at .1' * (rate == 0.1)}"
            assert f"| {name} | {' | '.join(numbers)} |" in text, name


REGIMES = {  # row of the table -> changes to the demo
    "1,200 steps, language encoder at .3 of the rate": {"train.text_lr_scale": 0.3},
    "1,200 steps": {},
    "1,500 steps, fused from .06 on, MIM from .5, pictures of several objects earlier": {
        "train.steps": 1500,
        "objectives.itm.start": 0.06,
        "objectives.imlm.start": 0.06,
        "objectives.bbp.start": 0.06,
        "objectives.mim.start": 0.5,
        "data.single_until": 0.25,
        "data.full_from": 0.4,
    },
}
START = {"init_from": "stage1:text", "stage1_steps": 10_000, "data.texts": 32, "train.shards": 1}


def test_the_table_of_regimes_is_that_of_its_file_and_the_recipe_is_its_last_in_1200_steps() -> None:
    text = (STUDIES / "README.md").read_text("utf-8")
    rows = json.loads((STUDIES / "warm_start.json").read_text("utf-8"))["runs"]
    for name, changes in REGIMES.items():
        (run,) = (r for r in rows if r["recipe"] == "demo" and r["changes"] == START | changes)
        of = {(r["task"], r["condition"], r["metric"]): r["value"] for r in run["results"]}
        percent = {key[0]: f"{100 * of[key]:.1f}" for key in of if key[0] != "language"}
        told = [f"{of['language', '', 'loss']:.2f}", f"{100 * of['same synset', 'linear probe', 'accuracy']:.1f}",
                f"{percent['image to text']}, {percent['text to image']}", percent["grounding"],
                percent["matching (name exchanged)"], percent["masked names"]]  # fmt: skip
        assert f"| {name} | {' | '.join(told)} |" in text, name
    regime = recipes.get("demo").replace(START | changes | {"train.steps": 1200})
    assert recipes.study().fingerprint == regime.fingerprint


PAIR = ("language, loss (nats)", "same synset, linear probe, accuracy", "minimal pairs, MLM, accuracy",
        "image to text, ITC, R@1", "text to image, ITC, R@1", "grounding, acc@0.5",
        "matching (name exchanged), ITM, accuracy")  # fmt: skip


def test_the_first_pair_of_runs_is_that_of_its_results() -> None:
    text = (STUDIES / "README.md").read_text("utf-8")
    with (STUDIES / "insulation-exploration" / "results.csv").open(encoding="utf-8", newline="") as file:
        values = {(r["variant"], r["metric"]): float(r["value"]) for r in csv.DictReader(file) if r["seed"] == "0"}
    for name, variant in {"with the stop": "xfm", "without": "no_stop"}.items():
        of = [f"{values[variant, m]:.2f}" if "nats" in m else f"{100 * values[variant, m]:.1f}" for m in PAIR]
        cells = [*of[:3], f"{of[3]}, {of[4]}", *of[5:]]
        assert f"| {name} | {' | '.join(cells)} |" in text
