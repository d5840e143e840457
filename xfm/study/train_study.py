"""Trains and measures the runs that a study lacks, and writes down what comes of each."""

from __future__ import annotations

import warnings
from concurrent.futures import Executor
from pathlib import Path

from ..base.fields import require
from . import code_pin, curves_jsonl, diagnostics_jsonl, machines, results_csv, study_json, untrained
from .admission import require_admitted
from .folder import alone, settle
from .measurements import Measurements
from .preregistration import require_all_measured, require_answerable, require_unchanged
from .runner import Key, run_missing
from .spec import Spec
from .time_left import Times
from .worker import Outcome

__all__ = ["train"]


def train(
    spec: Spec, folder: Path, runs: Path, executor: Executor | None = None, workers: int = 1, show: bool | None = None
) -> None:
    """See Study.run."""
    require(type(workers) is int and workers > 0, "workers", workers, "a whole number from 1")
    allowed = "an executor of concurrent.futures, or None; `workers` is how many processes"
    require(executor is None or isinstance(executor, Executor), "executor", executor, allowed)
    with alone(folder):
        require_unchanged(spec, folder)
        results_csv.mend(folder / "results.csv")
        data = Measurements.read(folder, spec)  # files that cannot be read are reported now, not after hours
        if not data.finished:  # what has results was admitted before them, or is from before the rule
            require_admitted(spec, folder.parent)
        settle(spec, folder, data.finished)
        todo = [key for key in data.runs if key not in data.finished]
        reasons = _train(data, folder, runs, todo, executor, workers, show) if todo else {}
        study_json.write_failed(folder / "failed.json", spec, reasons)
    if reasons:
        lines = [f"  {variant}, seed {seed}: {why}" for (variant, seed), why in reasons.items()]
        head = f"{spec.name}: {len(reasons)} of {len(data.runs)} runs failed twice and count as the worst"
        warnings.warn("\n".join((f"{head}; the same study tries them again", *lines)), stacklevel=3)


def _train(
    data: Measurements,
    folder: Path,
    runs: Path,
    todo: list[Key],
    executor: Executor | None,
    workers: int,
    show: bool | None,
) -> dict[Key, str]:
    """Returns the runs that failed twice, and why. Nothing is trained by changed code, or for an unknown metric."""
    spec = data.spec
    require_answerable(spec)
    pin = code_pin.begin(folder, len(data.finished), spec)
    if executor is None and (torn := machines.torn_here(spec, folder, todo)):
        warnings.warn(torn, stacklevel=4)
    families = data.families
    if not {*spec.primary, *spec.margins, *spec.detectable} <= {*families}:
        families = untrained.of(spec, folder, executor).families
    require_all_measured(spec, families)

    def record(key: Key, outcome: Outcome) -> None:
        code_pin.keep(folder, pin)
        if outcome.found:
            code_pin.note_found(folder, *key)
        _record(spec, folder, key, outcome)

    def failed(key: Key, why: str) -> None:  # at once: the call may be interrupted
        path = folder / "failed.json"
        study_json.write_failed(path, spec, study_json.read_failed(path, spec) | {key: why})

    times = Times.of(spec, data.seconds())
    return run_missing(spec, runs, todo, record, failed, executor, workers, show, pin.files, times)


def _record(spec: Spec, folder: Path, key: Key, outcome: Outcome) -> None:
    path = folder / "baselines.json"
    known = study_json.read_baselines(path)
    if (metrics := study_json.merge(known, outcome.rows)) != known:
        study_json.write_baselines(path, metrics)
    diagnostics_jsonl.lines(folder).append(key, outcome.probes)
    curves_jsonl.lines(folder).append(key, outcome.curves)
    machines.lines(folder).append(key, outcome.machine)
    block = results_csv.block(spec, *key, outcome.rows, outcome.seconds, outcome.untrained)
    results_csv.append(folder / "results.csv", block)  # last: it counts
