"""What a job of a study does: train a run and measure it, or measure the untrained model. Plain data in and out, in any
process on any machine.

The same calls measure both, so the untrained model has the keys, baselines and step-0 values of the runs to come.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from ..base.files import Record, explain_os_error, write_atomically
from ..base.strings import parse_json
from ..config import SCRATCH, RunConfig, from_json
from ..data import dataset
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..model.batch import on_device
from ..model.modes import eval_mode
from ..objectives import Pretraining, build, weights_at
from ..plots.curve_records import StreamCurves, by_objective
from ..tasks import answerable, evaluate, evaluate_run
from ..tasks.finetuning.config import MeasuredSplit
from ..tasks.finetuning.finetuned_model import untrained
from ..tasks.finetuning.table import finetuned, startable
from ..train import Run
from ..train.gradient_interventions import Steering
from ..train.loop import train_to_end
from ..train.prepare import initial_model, mim_teacher
from ..train.step import HELD_OUT_BATCHES
from . import code_pin
from .execute import InProcess
from .live_progress import report
from .spec import Spec
from .study_metrics import HELD_OUT, Ask, Measured, Metric, asked, evaluated, held_out

POINTS = 60  # of a curve, at most
_UNTRAINED = "untrained.json"


class Outcome(NamedTuple):
    """What a job returns."""

    rows: list[Measured]
    seconds: float  # of training
    probes: list[Record]  # rows of probes.csv
    curves: list[Record]  # rows of curves.csv
    measuring: float = 0.0  # seconds
    untrained: Sequence[Measured] = ()  # results of the initial weights
    found: bool = False  # whether it was trained already
    machine: Sequence[Record] = ()  # the row of machines.csv


def measure(
    config: str, root: str, asks: Sequence[Ask], progress: str, split: MeasuredSplit = "test", step_0: bool = False
) -> Outcome:
    """Trains the run of a config (as JSON) and measures what it can answer of `asks`; nothing without any.

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
    if not asks:
        return Outcome([], seconds, [], [], found=found)
    torch.set_num_threads(wanted.train.threads or torch.get_num_threads())  # training did; opening a run does not
    began = time.perf_counter()
    evaluation = answerable(wanted, asked(asks, "evaluate"))
    results = [
        *(evaluate_run(run.folder, evaluation, split=split) if evaluation else ()),
        *finetuned(run, asked(asks, "finetune"), root, split=split),
    ]
    rows = evaluated(results) + held_out(lines[-1], wanted)
    before = at_step_zero(run, evaluation, split) if step_0 else ()
    machine = json.loads(run.read("environment.json"))
    machines = [machine] if "precision" in machine else []  # older runs do not have it
    took = time.perf_counter() - began
    return Outcome(rows, seconds, run.probes(), thinned(lines), took, before, found, machines)


def thinned(records: Sequence[Record]) -> list[Record]:
    """Rows of curves.csv: each point is the mean over as many steps as it takes, at the last of them; "" for a
    loss that has none there."""
    every = math.ceil(max((record["step"] + 1 for record in records), default=0) / POINTS)
    losses, rows = _losses(records), dict[int, Record]()
    for key, (steps, values) in losses.items():
        for step, mean in _means(steps, values, every):
            rows.setdefault(step, {"step": step, **dict.fromkeys(losses, "")})[key] = mean
    return [rows[step] for step in sorted(rows)]


def _losses(records: Sequence[Record]) -> StreamCurves:
    """Steps done and values of "loss" and of each "stream/objective", in training and held out."""
    total = [(record["step"] + 1, record["loss"]) for record in records if "loss" in record]
    losses = {"loss": tuple(np.array(total, float).T)} if total else {}
    for prefix in ("", f"{HELD_OUT}/"):
        for objective, curves in by_objective(records, prefix=prefix).items():
            losses |= {f"{prefix}{stream}/{objective}": curve for stream, curve in curves.items()}
    return losses  # type: ignore[return-value]


def _means(steps: np.ndarray, values: np.ndarray, every: int) -> Iterator[tuple[int, float]]:
    bucket = (steps - 1) // every
    for one in np.unique(bucket):
        mean = values[bucket == one].mean()
        if math.isfinite(mean):
            yield int(steps[bucket == one][-1]), float(mean)


@torch.no_grad()
def losses(pretraining: Pretraining, tokenizer: Tokenizer) -> dict[str, float]:
    """The held-out losses, named as in a training record."""
    config, model, sums = pretraining.config, pretraining.model, dict[str, float]()
    streams, steps = Streams(config, tokenizer, "validation"), config.train.steps
    with eval_mode(pretraining):
        for i in range(HELD_OUT_BATCHES):
            batch = on_device(streams[steps + i], model.device)
            found, _ = pretraining(batch, weights_at(config, steps), (config.drawn_by("rest"), HELD_OUT, i))
            for name, value in found.items():
                key = f"{HELD_OUT}/{name}"
                sums[key] = sums.get(key, 0.0) + float(value) / HELD_OUT_BATCHES
    return sums


def at_step_zero(run: Run, tasks: Sequence[str], split: MeasuredSplit) -> list[Measured]:
    """The evaluation, and the held-out losses, of the weights that a finished run began with: those of its warm start,
    where it had one. A fine-tuned task has a control of its own for that ("scratch")."""
    config, tokenizer = run.config, run.tokenizer()
    model = initial_model(run).to("cuda" if torch.cuda.is_available() else "cpu")
    steering = Steering.of(model, config, lambda: model, tokenizer)
    teachers = steering.teacher or mim_teacher(run, model.device), steering.mlm_teacher
    held = losses(Pretraining(model, config, *teachers), tokenizer)
    results = evaluate(model.eval(), config, tokenizer, split=split, tasks=tasks) if tasks else ()
    return evaluated(results) + held_out(held, config)


@dataclass(frozen=True)
class Untrained:
    """The metrics of an untrained model."""

    rows: list[Measured]
    seconds: float  # of measuring them, without the fine-tunings themselves

    @property
    def families(self) -> dict[str, str]:
        """By metric."""
        return {row.metric: row.family for row in self.rows}

    def table(self) -> pd.DataFrame:
        """A row a metric: see Study.measurable."""
        rows = [row._asdict() | row.known.columns | {"untrained": row.value} for row in self.rows]
        columns = ["metric", "family", "unit", "baseline", "baseline_name", "better", "untrained", "n"]
        return pd.DataFrame(rows, columns=columns).astype({"baseline": float})


def measure_untrained(config: str, asks: Sequence[Ask], split: MeasuredSplit) -> Untrained:
    """What `measure` would find of a run of a config (as JSON) that has learnt nothing. The model's own outputs stand
    in for another network that guides MIM, as they have the same name."""
    wanted, began = from_json(config), time.perf_counter()
    target = "pixels" if wanted.flow.mim_target == "pixels" else "self"
    wanted = wanted.replace({"flow.mim_target": target, **SCRATCH})
    tokenizer = dataset(wanted).tokenizer()
    model = build(wanted).to("cuda" if torch.cuda.is_available() else "cpu")
    tasks = answerable(wanted, asked(asks, "evaluate"))
    rows = evaluated(evaluate(model, wanted, tokenizer, split, tasks=tasks)) if tasks else []
    rows += held_out(losses(Pretraining(model, wanted), tokenizer), wanted)
    for task in startable_of(wanted, asks):
        rows += evaluated(untrained(task, model, wanted, tokenizer, split))
    return Untrained(rows, time.perf_counter() - began)


def startable_of(config: RunConfig, asks: Sequence[Ask]) -> list[str]:
    """The tasks of fine-tuning that a run of this config can start."""
    return [task for task in asked(asks, "finetune") if startable(config, task)]


def untrained_of(spec: Spec, folder: Path, executor: Executor | None = None) -> Untrained:
    """Of a study: as its untrained.json has it for this config, these tasks and this code, or measured here, or on an
    executor, and kept there."""
    path, config = folder / _UNTRAINED, reference_config(spec)
    of = [config.fingerprint, list(spec.tasks), spec.split, code_pin.digest(code_pin.package_files())]
    try:
        tree: Any = parse_json(path.read_text("utf-8"))
        if tree["of"] == of:
            rows = [Measured(**row | {"known": Metric(**row["known"])}) for row in tree["metrics"]]
            return Untrained(rows, float(tree["seconds"]))
    except (OSError, ValueError, TypeError, LookupError):  # none yet; or none that can be read, and it is made again
        pass
    made = (executor or InProcess()).submit(measure_untrained, config.to_json(), spec.asks, spec.split).result()
    rows = [{**row._asdict(), "known": row.known._asdict()} for row in made.rows]
    tree = {"of": of, "seconds": round(made.seconds, 2), "metrics": rows}
    with explain_os_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(tree, indent=1, ensure_ascii=False) + "\n")
    return made


def reference_config(spec: Spec) -> RunConfig:
    """The reference's, at the first seed: what the others are compared with must have the metrics."""
    label = spec.reference if spec.reference in spec.variants else next(iter(spec.variants))
    return spec.config(label, spec.seeds[0])
