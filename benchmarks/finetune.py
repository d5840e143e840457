"""What fine-tuning the shipped checkpoint takes and gives: each task by its recipe, and what its number must beat.

    python benchmarks/finetune.py [--tasks vqa nlvr2 ...] [--root FOLDER] [--out F.json]

One thread, seed 0, one run after the other, each task in a process of its own, whose largest memory is the task's; a
run that is done already is read. Writes benchmarks/results/finetune.json, in which the tasks asked for are replaced,
and prints a line a run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from xfm.base.files import write_atomically
from xfm.lab import CHECKPOINTS
from xfm.runs.folder import environment
from xfm.tasks import TRAINABLE
from xfm.tasks.finetuning.config import controls, recipe
from xfm.tasks.finetuning.finetune import train_to_end

HERE = Path(__file__).parent


def measured(task: str, root: Path) -> list[dict[str, Any]]:
    """A row a run: its first metric on the test split, the control's, seconds of training, and the process's peak."""
    torch.set_num_threads(1)
    rows = []
    config = recipe(task, CHECKPOINTS / "demo")
    for each in (config, *controls(config)):
        run = train_to_end(each, root)
        result, *others = run.results()
        simple = next((r for r in others if not r.better and r.metric == result.metric), None)
        looked = {} if simple is None else {"baseline": simple.baseline, "baseline_name": simple.baseline_name}
        looked |= {} if simple is None else {"simple": simple.value, "simple_name": simple.condition}
        seconds = round(sum(record["seconds"] for record in run.metrics()), 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        told = {"task": task, "variant": each.variant, "seconds": seconds, "peak_mb": peak}
        rows.append(asdict(result) | looked | told)
        print(
            f"{task:14} {each.variant or 'fine-tuned':12} {result.value:.3f} {seconds:6.1f} s {peak:5} MB", flush=True
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    embedded = [name for name, task in TRAINABLE.items() if task.embedded]
    parser.add_argument("--tasks", nargs="+", choices=embedded, default=embedded)
    parser.add_argument("--root", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "finetune.json")
    chosen = parser.parse_args()
    rows = json.loads(chosen.out.read_text("utf-8"))["runs"] if chosen.out.exists() else []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as alone:
        for task in chosen.tasks:
            rows = [row for row in rows if row["task"] != task] + alone.submit(measured, task, chosen.root).result()
            rows.sort(key=lambda row: embedded.index(row["task"]))
            write_atomically(chosen.out, json.dumps({"environment": environment(), "runs": rows}, indent=1) + "\n")
