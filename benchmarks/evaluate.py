"""The standard evaluation of a model of the demo's size: by forked processes, by threads, and on one core, in turns.

    python benchmarks/evaluate.py [--repeats 2] [--out F.json]

The answers must be the same. Writes benchmarks/results/evaluate.json: seconds of each, medians, and what the forks take
as a share of the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from unittest.mock import patch

import torch

import xfm
from xfm import recipes
from xfm.base import workers
from xfm.objectives import build
from xfm.tasks import Evaluation, evaluate

WAYS: dict[str, dict] = {
    "forks": {"CONTEXT": workers.CONTEXT},
    "threads": {"CONTEXT": None},
    "one core": {"_usable_cores": lambda: 1},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "evaluate.json")
    args = parser.parse_args()
    config, tokenizer = recipes.demo(), xfm.load("demo").tokenizer  # untrained: it costs what a trained one does
    model = build(config)
    evaluate(model, config, tokenizer, tasks="naming")  # what is read once
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    found: list[Evaluation] = []
    for _ in range(args.repeats):
        for way, changes in WAYS.items():
            with patch.multiple(workers, **changes):
                began = time.perf_counter()
                found.append(evaluate(model, config, tokenizer))
                seconds[way].append(round(time.perf_counter() - began, 2))
    assert all(each == found[0] for each in found), "the answers differ"
    median = {way: statistics.median(each) for way, each in seconds.items()}
    result = {
        "command": "python benchmarks/evaluate.py",
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": workers._usable_cores()},
        "seconds": seconds,
        "forks as a share of": {way: round(median["forks"] / s, 3) for way, s in median.items() if way != "forks"},
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(f"{', '.join(f'{way} {s:.1f} s' for way, s in median.items())}: {args.out}")


if __name__ == "__main__":
    main()
