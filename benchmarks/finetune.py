"""What fine-tuning the shipped checkpoint takes and gives: each task by its recipe, and what its number must beat.

    python benchmarks/finetune.py [--tasks vqa nlvr2 ...] [--root FOLDER]

One thread, seed 0, one run after the other, each task in a process of its own, whose largest memory is the task's; a
run that is done already is read. In finetune.json the tasks asked for are replaced.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from measuring import options, write

from xfm.lab import CHECKPOINTS
from xfm.tasks import TRAINABLE
from xfm.tasks.finetuning.config import controls, recipe
from xfm.tasks.finetuning.finetune import train_to_end


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
    return rows


if __name__ == "__main__":
    embedded = [name for name, task in TRAINABLE.items() if task.embedded]
    asked = options(__doc__, tasks=embedded, root="runs")
    rows = json.loads(asked.out.read_text("utf-8"))["runs"] if asked.out.exists() else []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as alone:
        for task in asked.tasks:
            found = alone.submit(measured, task, Path(asked.root)).result()
            rows = [row for row in rows if row["task"] != task] + found
            rows.sort(key=lambda row: embedded.index(row["task"]))
            write(asked, runs=rows)
