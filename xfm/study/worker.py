"""One job of a study: trains a run and measures it. Plain data in, plain data out, in any process on any machine."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..config import from_json
from ..runs.run import Record
from ..tasks import answerable, evaluate_run
from ..tasks.finetuning.config import MeasuredSplit
from ..tasks.finetuning.table import finetuned
from ..train import Run
from ..train.loop import train_to_end
from . import curves_jsonl, progress_file
from .spec import FINETUNE
from .study_metrics import Measured, evaluated, held_out
from .untrained import at_step_zero

__all__ = ["Outcome", "measure"]


class Outcome(NamedTuple):
    """What a job returns."""

    rows: list[Measured]
    seconds: float  # of training
    probes: list[Record]  # of the training probe
    curves: list[Record]  # the losses, thinned: the line of curves.jsonl
    measuring: float = 0.0  # seconds
    untrained: Sequence[Measured] = ()  # what the initial weights give, where asked for
    found: bool = False  # it was trained already
    machine: Sequence[Record] = ()  # on what it was trained: the line of machines.jsonl


def measure(
    config: str, root: str, tasks: Sequence[str], progress: str, split: MeasuredSplit = "test", step_0: bool = False
) -> Outcome:
    """Trains the run of a config (as JSON) to its end and measures, on a split of it, those of `tasks` that it can
    be asked; and, where `step_0` asks for it, those of evaluation on its initial weights. A finished run is
    opened; one that another process trains is waited for.

    Without tasks it only trains. `progress`: the file that it is reported to (see progress_file).
    """
    wanted = from_json(config)
    found = Run.of(wanted, root).done
    records: Any = train_to_end(wanted, root)
    with closing(records):  # however it ends, what was trained is saved
        progress_file.report(records, wanted.name, Path(progress))
    run = Run.of(wanted, root)
    lines = run.metrics()
    seconds = sum(line["seconds"] for line in lines)
    if not tasks:
        return Outcome([], seconds, [], [])
    torch.set_num_threads(wanted.train.threads or torch.get_num_threads())  # training did; opening a run does not
    began = time.perf_counter()
    learnt = [task.removeprefix(FINETUNE) for task in tasks if task.startswith(FINETUNE)]
    asked = answerable(wanted, [task for task in tasks if not task.startswith(FINETUNE)])
    results = [
        *(evaluate_run(run.folder, asked, split=split) if asked else ()),
        *finetuned(run, learnt, root, split=split),
    ]
    rows, before = evaluated(results) + held_out(lines[-1], wanted), at_step_zero(run, asked, split) if step_0 else ()
    curves, machine = curves_jsonl.thinned(lines), json.loads(run.read("environment.json"))
    machines = [machine] if "precision" in machine else []  # not of a run of before it was kept
    return Outcome(rows, seconds, run.probes(), curves, time.perf_counter() - began, before, found, machines)
