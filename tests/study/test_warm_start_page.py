"""The paragraph on warm starts says what its table has."""

from __future__ import annotations

import json
from pathlib import Path

STUDIES = Path(__file__).resolve().parents[2] / "studies"
COLUMNS = [("language", "", "loss"), ("lexicographer files", "fine-tuned", "accuracy"),
           ("same synset", "linear probe", "accuracy"), ("hypernym", "linear probe", "accuracy")]  # fmt: skip


def test_the_table_of_warm_starts_is_that_of_its_file() -> None:
    text = (STUDIES / "README.md").read_text("utf-8")
    rows = json.loads((STUDIES / "warm_start.json").read_text("utf-8"))["runs"]
    for steps in (10_000, 30_000):
        for alone in (True, False):
            (run,) = (r for r in rows if r["recipe"] == "pretrained" and r["changes"]["stage1_steps"] == steps
                      and ("trained" in r) == alone)  # fmt: skip
            of = {(r["task"], r["condition"], r["metric"]): r["value"] for r in run["results"]}
            numbers = [f"{of[c]:.2f}" if c[2] == "loss" else f"{100 * of[c]:.1f}" for c in COLUMNS]
            name = f"{steps:,} steps alone" if alone else "and 5,000 joint steps"
            assert f"| {name} | {' | '.join(numbers)} |" in text, name
