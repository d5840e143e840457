"""What fine-tuning the shipped checkpoint takes and gives: each task by its recipe, and what its number must beat.

    python benchmarks/finetune.py [--tasks vqa nlvr2 ...] [--root FOLDER] [--out F.json]

One thread, seed 0, one run after the other: a run that is done already is read. Writes
benchmarks/results/finetune.json and prints a line a run.
"""

from __future__ import annotations

import argparse
import json
import resource
from dataclasses import asdict
from pathlib import Path

import torch

from xfm.downstream.config import controls, recipe
from xfm.downstream.finetune import train_to_end
from xfm.downstream.tasks import TASKS
from xfm.files import write_atomically
from xfm.lab import CHECKPOINTS
from xfm.train.run import environment

HERE = Path(__file__).parent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    embedded = [name for name, task in TASKS.items() if task.embedded]
    parser.add_argument("--tasks", nargs="+", choices=embedded, default=embedded)
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "finetune.json")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for task in chosen.tasks:
        config = recipe(task, CHECKPOINTS / "demo")
        for each in (config, *controls(config)):
            run = train_to_end(each, chosen.root)
            result, *others = run.results()
            simple = next((r for r in others if not r.better and r.metric == result.metric), None)
            looked = {} if simple is None else {"baseline": simple.baseline, "baseline_name": simple.baseline_name}
            looked |= {} if simple is None else {"simple": simple.value, "simple_name": simple.condition}
            seconds = sum(record["seconds"] for record in run.metrics())
            rows.append(asdict(result) | looked | {"task": task, "variant": each.variant, "seconds": round(seconds, 1)})
            print(f"{task:12} {each.variant or 'fine-tuned':12} {result.value:.3f} {seconds:6.1f} s", flush=True)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            report = {"environment": environment(), "peak_mb": peak, "runs": rows}
            write_atomically(chosen.out, json.dumps(report, indent=1) + "\n")
