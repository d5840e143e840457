"""Fine-tunes the heads that come with the checkpoint, rounds them, and puts them into its folder `tasks/`.

    python studies/make_heads.py [--root runs] [--only vqa] [--controls]

Half an hour of one core; finished fine-tunings are only rounded, tested and copied. The encoders stay as they
are, so that one model answers all tasks. Weights are kept as float16; results.json has the results of the rounded ones.
With --controls their controls are trained instead, by the same recipes without pre-training, pictures or texts, and
only the results are kept, in heads.json.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from xfm.base.fields import to_tree
from xfm.base.files import write_atomically
from xfm.lab import CHECKPOINTS
from xfm.runs.run import WEIGHTS
from xfm.runs.weights import packed
from xfm.tasks import format_lines
from xfm.tasks.finetuning.config import FinetuneConfig, controls, recipe
from xfm.tasks.finetuning.finetune import train_to_end
from xfm.tasks.finetuning.finetuned_model import tested
from xfm.tasks.finetuning.task_run import ANSWERS, BESIDE, CONFIG, RESULTS, TaskRun
from xfm.tasks.result import to_json

CHECKPOINT = CHECKPOINTS / "demo"
Head = Literal["vqa", "nlvr2", "captioning"]
HEADS: dict[Head, dict[str, Any]] = {
    "vqa": {"steps": 1000, "frozen": "model"},
    "nlvr2": {"steps": 1500, "frozen": "encoders"},
    "captioning": {"steps": 1000, "frozen": "model"},
}
LARGEST = 2_000_000  # bytes
CONTROLS = Path(__file__).parent / "heads.json"


def keep_controls(config: FinetuneConfig, root: Path) -> None:
    """Trains the controls of one head, and puts a row of each into heads.json."""
    for each in controls(config):
        result = train_to_end(each, root, progress=True).results()[0]
        row = asdict(result) | {"task": each.task, "variant": each.variant}
        kept: list[dict[str, Any]] = json.loads(CONTROLS.read_text("utf-8")) if CONTROLS.exists() else []
        rows = [*(k for k in kept if (k["task"], k["variant"]) != (each.task, each.variant)), row]
        rows.sort(key=lambda row: ([*HEADS].index(row["task"]), row["variant"]))
        write_atomically(CONTROLS, json.dumps(rows, indent=1) + "\n")
        print(format_lines([result]), flush=True)


def publish(run: TaskRun, folder: Path) -> None:
    """The fine-tuning, rounded, into a folder of the checkpoint."""
    tuned = run.tuned()
    rounded = {n: t.half() if t.is_floating_point() else t for n, t in tuned.learnt().items()}
    tuned.load_learnt(rounded)
    torch.set_num_threads(1)  # how sums are split shows in their last digits
    results, answers = tested(tuned, run.config)
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps(to_tree(run.config) | {"run": BESIDE}, indent=2) + "\n"
    TaskRun(folder, run.config).write(
        {CONFIG: config, WEIGHTS: packed(rounded), ANSWERS: answers, RESULTS: to_json(results)}
    )
    if (size := (folder / WEIGHTS).stat().st_size) > LARGEST:
        raise SystemExit(f"{folder / WEIGHTS}: has {size:,} bytes; {LARGEST:,} at most")
    print(format_lines(results), f"\n{folder}: {size:,} bytes", flush=True)


def main(root: Path = Path("runs"), only: Head | None = None, controls: bool = False) -> None:
    torch.set_num_threads(1)
    for task in (only,) if only else HEADS:
        config = recipe(task, CHECKPOINT, **HEADS[task])
        if controls:
            keep_controls(config, root)
        else:
            publish(train_to_end(config, root, progress=True), CHECKPOINT / "tasks" / task)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
