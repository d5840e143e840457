"""From the runs that a study lacks to rows of its results.csv."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..base.files import explain_os_error
from ..config import RunConfig
from ..runs.signals import ending_raises
from ..train import Run
from ..train.requirements import before
from . import code_pin
from .execute import Job, execute, executor_of
from .live_progress import Progress
from .lock import held
from .spec import Spec
from .time_left import Times
from .worker import Outcome, measure

__all__ = ["Key", "run_missing"]

Key = tuple[str, int]  # of a run: its variant and seed
_PROGRESS, _LOCK, _GONE = ".study-", ".lock", ".gone"  # names of progress folders, and within them


def run_missing(
    spec: Spec,
    runs: Path,
    todo: Sequence[Key],
    record: Callable[[Key, Outcome], None],
    note_failed: Callable[[Key, str], None],
    executor: Executor | None,
    workers: int,
    show: bool | None,
    code: code_pin.Files,
    times: Times,
) -> dict[Key, str]:
    """Trains and measures the runs `todo`, passes each outcome to `record`, those that failed twice, and why, to
    `note_failed`, and returns these. `code`: of the package, that the workers must have, too; `times`: of what was
    finished before, by variant. Raises CodeChanged where the package is another. Ctrl-C, SIGTERM and SIGHUP wait until
    the workers have saved."""
    reasons: dict[Key, str] = {}
    chosen, slots = executor_of(executor, workers, len(todo))
    ending_raises(this := object(), True)
    try:
        with _progress_folder(runs) as folder:
            first, run_of = _planned(spec, runs, todo, folder, code)
            every = [*_with_later(first)]
            total = len(spec.seeds) * len(spec.variants)

            def done(job: Job, outcome: Outcome) -> None:
                if job in run_of:
                    found = outcome.found and job.tries == 1  # else this study trained it, before the try that failed
                    record(run_of[job], outcome._replace(found=found))
                view.ended(job, job in run_of, outcome)

            def failed(job: Job, error: Exception) -> None:
                if job in run_of:
                    reasons[run_of[job]] = f"{type(error).__name__}: {error}"
                    note_failed(run_of[job], reasons[run_of[job]])
                view.ended(job, job in run_of)

            ready = total - len(todo)
            with Progress(spec.name, every, total, ready, show, min(slots, len(todo)), times) as view:
                execute(first, chosen, slots, done, failed)
    finally:
        if executor is None:
            chosen.shutdown(cancel_futures=True)
        ending_raises(this, False)
    return reasons


def _planned(
    spec: Spec, runs: Path, todo: Sequence[Key], progress: Path, code: code_pin.Files
) -> tuple[list[Job], dict[Job, Key]]:
    """The jobs to begin with, and which of all jobs are the study's runs. The variants of a seed share a warm start,
    and a teacher: where one is still to be trained it is a job of its own, lest several wait for it. Where a warm start
    serves several seeds they still come one after the other: a study that is stopped leaves whole seeds."""
    first: list[Job] = []
    run_of: dict[Job, Key] = {}
    shared: dict[Path, Job] = {}

    def job(name: str, kind: str, config: RunConfig, tasks: Sequence[str], *measured: object) -> Job:
        path = progress / str(order := len(run_of) + len(shared))
        call = (code_pin.checked, code, measure, config.to_json(), str(runs), tasks, str(path), *measured)
        return Job(name, call, path, config.train.steps, kind=kind, measures=bool(tasks), order=order)

    for variant, seed in todo:
        config, step_0 = spec.config(variant, seed), variant in spec.compared_with
        run = job(f"{variant}, seed {seed}", variant, config, spec.tasks, spec.split, step_0)
        run_of[run] = variant, seed
        waiting = first
        for kind, need in before(Run.of(config, runs)).items():
            folder = Run.of(need, runs).folder
            if folder not in shared:
                shared[folder] = job(f"{kind} of seed {seed}", kind, need, ())
                waiting.append(shared[folder])
            waiting = shared[folder].then
        waiting.append(run)
    return first, run_of


def _with_later(jobs: Iterable[Job]) -> Iterator[Job]:
    for job in jobs:
        yield job
        yield from _with_later(job.then)


@contextmanager
def _progress_folder(runs: Path) -> Iterator[Path]:
    """A folder for the progress files, locked while its study lives; those of studies that were killed are removed.
    Jobs stop when it is gone, so it goes at once when this ends."""
    with ExitStack() as ending:
        with explain_os_error(runs):
            runs.mkdir(parents=True, exist_ok=True)
            with held(runs / ".studies.lock", timeout=60):  # a folder that is being made is not locked yet
                for left in runs.glob(f"{_PROGRESS}*"):
                    with suppress(OSError), held(left / _LOCK) as dead:  # Timeout is an OSError: it lives
                        if dead:
                            _remove(left)
                folder = Path(tempfile.mkdtemp(prefix=_PROGRESS, dir=runs))
                ending.callback(_remove, folder)
                ending.enter_context(held(folder / _LOCK))
        yield folder


def _remove(folder: Path) -> None:
    gone = folder.with_name(f"{folder.name.removesuffix(_GONE)}{_GONE}")
    with suppress(OSError):  # it is gone already
        os.replace(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)
