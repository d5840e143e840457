"""What a study will measure, known before anything is trained: its metrics, of a model with its initial weights.

Baselines and step-0 values come with them. The same calls measure it that measure a run, so the keys are the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..base.files import explain_os_error, write_atomically
from ..base.strings import parse_json
from ..config import SCRATCH, RunConfig, from_json
from ..data import dataset
from ..data.streams import Streams
from ..data.tokenizer import Tokenizer
from ..model.batch import on_device
from ..model.modes import eval_mode
from ..objectives import Pretraining, build, weights_at
from ..tasks import answerable, evaluate
from ..tasks.finetuning.config import MeasuredSplit
from ..tasks.finetuning.finetuned_model import untrained
from ..tasks.finetuning.table import startable
from ..train import Run
from ..train.gradient_interventions import Steering
from ..train.prepare import initial_model
from ..train.step import HELD_OUT_BATCHES
from ..train.teachers import mim_teacher
from . import code_pin
from .execute import InProcess
from .spec import FINETUNE, Spec
from .study_metrics import HELD_OUT, Measured, Metric, evaluated, held_out

_FILE = "untrained.json"


@dataclass(frozen=True)
class Untrained:
    """The metrics of an untrained model."""

    rows: list[Measured]
    seconds: float  # of measuring them, without the fine-tunings themselves

    @property
    def families(self) -> dict[str, str]:
        """By metric."""
        return {row.metric: row.family for row in self.rows}

    @property
    def metrics(self) -> dict[str, Metric]:
        return {row.metric: row.known for row in self.rows}

    def table(self) -> pd.DataFrame:
        """A row a metric: metric, family, unit, baseline and its name, better, untrained (its value), n (samples)."""
        rows = [
            {"metric": row.metric, "family": row.family, **row.known.columns, "untrained": row.value, "n": row.n}
            for row in self.rows
        ]
        columns = ["metric", "family", "unit", "baseline", "baseline_name", "better", "untrained", "n"]
        return pd.DataFrame(rows, columns=columns).astype({"baseline": float})


def measure(config: str, tasks: Sequence[str], split: MeasuredSplit) -> Untrained:
    """Of a config (as JSON), on a split: what `job.measure` would find of a run that has learnt nothing. The model's
    own outputs stand in for another network that guides MIM, as they have the same name."""
    wanted, began = from_json(config), time.perf_counter()
    target = "pixels" if wanted.flow.mim_target == "pixels" else "self"
    wanted = wanted.replace({"flow.mim_target": target, **SCRATCH})
    tokenizer = dataset(wanted).tokenizer()
    model = build(wanted).to("cuda" if torch.cuda.is_available() else "cpu")
    asked = answerable(wanted, [task for task in tasks if not task.startswith(FINETUNE)])
    rows = evaluated(evaluate(model, wanted, tokenizer, split, tasks=asked)) if asked else []
    rows += held_out(losses(Pretraining(model, wanted), tokenizer), wanted)
    for task in startable_of(wanted, tasks):
        rows += evaluated(untrained(task, model, wanted, tokenizer, split))
    return Untrained(rows, time.perf_counter() - began)


def startable_of(config: RunConfig, tasks: Sequence[str]) -> list[str]:
    """The tasks of fine-tuning among `tasks`, by their names, that a run of this config can start."""
    named = [task.removeprefix(FINETUNE) for task in tasks if task.startswith(FINETUNE)]
    return [task for task in named if startable(config, task)]


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


def of(spec: Spec, folder: Path, executor: Executor | None = None) -> Untrained:
    """Of a study: as its untrained.json has it, or measured here, or on an executor, and kept there."""
    if (before := _kept(spec, folder)) is not None:
        return before
    measured = (executor or InProcess()).submit(measure, config_of(spec).to_json(), spec.tasks, spec.split).result()
    _keep(spec, folder, measured)
    return measured


def _kept(spec: Spec, folder: Path) -> Untrained | None:
    """What the folder has of this config, these tasks and this code; None where it must be measured anew."""
    try:
        tree: Any = parse_json((folder / _FILE).read_text("utf-8"))
        if tree["of"] != _of(spec):
            return None
        rows = [Measured(**row | {"known": Metric(**row["known"])}) for row in tree["metrics"]]
        return Untrained(rows, float(tree["seconds"]))
    except (OSError, ValueError, TypeError, LookupError):  # none yet; or none that can be read, and it is made again
        return None


def _keep(spec: Spec, folder: Path, measured: Untrained) -> None:
    rows = [{**row._asdict(), "known": row.known._asdict()} for row in measured.rows]
    tree = {"of": _of(spec), "seconds": round(measured.seconds, 2), "metrics": rows}
    with explain_os_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / _FILE, json.dumps(tree, indent=1, ensure_ascii=False) + "\n")


def _of(spec: Spec) -> list[Any]:
    """What it depends on."""
    return [config_of(spec).fingerprint, list(spec.tasks), spec.split, code_pin.digest(code_pin.package_files())]


def config_of(spec: Spec) -> RunConfig:
    """The reference's, at the first seed: what the others are compared with must have the metrics."""
    label = spec.reference if spec.reference in spec.variants else next(iter(spec.variants))
    return spec.config(label, spec.seeds[0])
