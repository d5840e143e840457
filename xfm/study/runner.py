"""From the runs that a study lacks to rows of its results.csv."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

from .. import recipes
from ..config import RunConfig
from ..train import Run
from .execute import Job, execute, executor_of
from .job import Outcome, measure
from .progress import Progress
from .spec import Spec

Key = tuple[str, int]  # of a run: its variant and seed
Record = Callable[[Key, Outcome], None]  # what is done with a run's numbers
BEGUN = ("init.safetensors", "state.pt", "DONE")  # with any of these a run needs no warm start


def run_missing(
    spec: Spec,
    runs: Path,
    todo: Sequence[Key],
    record: Record,
    executor: Executor | None,
    workers: int,
    show: bool | None,
) -> dict[Key, str]:
    """Trains and measures the runs `todo`, and returns those that failed twice, and why."""
    why: dict[Key, str] = {}
    chosen, room = executor_of(executor, workers)
    try:
        with notes(runs) as folder:
            jobs, of_run = planned(spec, runs, todo, folder)
            every = [*jobs, *(job for start in jobs for job in start.then)]
            total = len(spec.seeds) * len(spec.variants)

            def done(job: Job, outcome: Outcome) -> None:
                if job in of_run:
                    record(of_run[job], outcome)
                view.ended(job, job in of_run)

            def failed(job: Job, error: Exception) -> None:
                if job in of_run:
                    why[of_run[job]] = f"{type(error).__name__}: {error}"
                view.ended(job, job in of_run, failed=True)

            with Progress(spec.name, every, total, total - len(todo), show) as view:
                execute(jobs, chosen, room, done, failed)
    finally:
        if executor is None:
            chosen.shutdown(cancel_futures=True)
    return why


def planned(spec: Spec, runs: Path, todo: Sequence[Key], notes: Path) -> tuple[list[Job], dict[Job, Key]]:
    """The jobs to begin with, and which of all jobs are the study's runs. The variants of a seed share a warm start:
    where that is still to be trained it is a job of its own, lest several wait for one."""
    first: list[Job] = []
    of_run: dict[Job, Key] = {}
    warm: dict[Path, Job] = {}

    def job(name: str, config: RunConfig, tasks: Sequence[str]) -> Job:
        note = notes / str(len(of_run) + len(warm))
        return Job(name, (measure, config.to_json(), str(runs), tasks, str(note)), note, config.train.steps)

    for variant, seed in todo:
        config = spec.config(variant, seed)
        run = job(f"{variant}, seed {seed}", config, spec.tasks)
        of_run[run] = variant, seed
        if config.init_from != "stage1" or any((folder_of(config, runs) / name).exists() for name in BEGUN):
            first.append(run)
            continue
        start = recipes.stage1(config)
        folder = folder_of(start, runs)
        if folder not in warm:
            warm[folder] = job(f"stage 1 of seed {seed}", start, ())
            first.append(warm[folder])
        warm[folder].then.append(run)
    return first, of_run


def folder_of(config: RunConfig, runs: Path) -> Path:
    return Run.of(config, runs).folder


@contextmanager
def notes(runs: Path) -> Iterator[Path]:
    """A folder for what jobs note. They stop when it is gone, as when this process is interrupted: it goes at once."""
    runs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".study-", dir=runs))
    try:
        yield folder
    finally:
        gone = folder.with_name(f"{folder.name}.gone")
        os.replace(folder, gone)
        shutil.rmtree(gone, ignore_errors=True)
