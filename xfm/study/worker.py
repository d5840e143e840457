"""One job of a study: trains a run and measures it. Plain data in and out, in any process on any machine."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..config import from_json
from ..plots.curve_records import HELD_OUT, StreamCurves, by_objective
from ..runs.run import Record
from ..tasks import answerable, evaluate_run
from ..tasks.finetuning.config import MeasuredSplit
from ..tasks.finetuning.table import finetuned
from ..train import Run
from ..train.loop import train_to_end
from .live_progress import report
from .spec import FINETUNE
from .study_metrics import Measured, evaluated, held_out
from .untrained import at_step_zero

POINTS = 60  # of a curve, at most


class Outcome(NamedTuple):
    """What a job returns."""

    rows: list[Measured]
    seconds: float  # of training
    probes: list[Record]  # lines of probes.jsonl
    curves: list[Record]  # the line of curves.jsonl
    measuring: float = 0.0  # seconds
    untrained: Sequence[Measured] = ()  # results of the initial weights
    found: bool = False  # whether it was trained already
    machine: Sequence[Record] = ()  # the line of machines.jsonl


def measure(
    config: str, root: str, tasks: Sequence[str], progress: str, split: MeasuredSplit = "test", step_0: bool = False
) -> Outcome:
    """Trains the run of a config (as JSON) and measures those of `tasks` that it can answer; none without tasks.

    Opens a finished run, and waits for one that another process trains. `progress`: a file for live_progress.report.
    `step_0`: also evaluates the initial weights.
    """
    wanted = from_json(config)
    found = Run.of(wanted, root).done
    records: Any = train_to_end(wanted, root)
    with closing(records):  # however it ends, what was trained is saved
        report(records, wanted.name, Path(progress))
    run = Run.of(wanted, root)
    lines = run.metrics()
    seconds = sum(line["seconds"] for line in lines)
    if not tasks:
        return Outcome([], seconds, [], [], found=found)
    torch.set_num_threads(wanted.train.threads or torch.get_num_threads())  # training did; opening a run does not
    began = time.perf_counter()
    tuning = [task.removeprefix(FINETUNE) for task in tasks if task.startswith(FINETUNE)]
    evaluation = answerable(wanted, [task for task in tasks if not task.startswith(FINETUNE)])
    results = [
        *(evaluate_run(run.folder, evaluation, split=split) if evaluation else ()),
        *finetuned(run, tuning, root, split=split),
    ]
    rows = evaluated(results) + held_out(lines[-1], wanted)
    before = at_step_zero(run, evaluation, split) if step_0 else ()
    machine = json.loads(run.read("environment.json"))
    machines = [machine] if "precision" in machine else []  # older runs do not have it
    took = time.perf_counter() - began
    return Outcome(rows, seconds, run.probes(), thinned(lines), took, before, found, machines)


def thinned(records: Sequence[Record]) -> list[Record]:
    """The line of curves.jsonl: each point is the mean over as many steps as it takes, at the last of them, null for a
    loss that has none. No line without losses."""
    every = math.ceil(max((record["step"] + 1 for record in records), default=0) / POINTS)
    points = {key: dict(_means(steps, values, every)) for key, (steps, values) in _losses(records).items()}
    at = sorted(set().union(*points.values()))
    return [{"steps": at, "curves": {key: [own.get(step) for step in at] for key, own in points.items()}}] if at else []


def _losses(records: Sequence[Record]) -> StreamCurves:
    """Steps done and values of "loss" and of each "stream/objective", in training and held out."""
    total = [(record["step"] + 1, record["loss"]) for record in records if "loss" in record]
    losses = {"loss": tuple(np.array(total, float).T)} if total else {}
    for prefix in ("", HELD_OUT):
        for objective, curves in by_objective(records, prefix=prefix).items():
            losses |= {f"{prefix}{stream}/{objective}": curve for stream, curve in curves.items()}
    return losses  # type: ignore[return-value]


def _means(steps: np.ndarray, values: np.ndarray, every: int) -> Iterator[tuple[int, float]]:
    bucket = (steps - 1) // every
    for one in np.unique(bucket):
        mean = values[bucket == one].mean()
        if math.isfinite(mean):
            yield int(steps[bucket == one][-1]), float(mean)
