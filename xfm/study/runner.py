"""From the runs that a study lacks to rows of its results.csv."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..base.fields import require
from ..base.files import explain_os_error
from ..config import RunConfig
from ..train import Run
from ..train.requirements import before
from . import code_pin, run_records, store
from .admission import require_admitted
from .code_pin import CodePin, Files
from .execute import Job, execute, executor_of
from .live_progress import Progress
from .preregistration import require_all_measured, require_answerable, require_unchanged, write_spec
from .spec import Spec
from .store import Key
from .study_metrics import Ask
from .worker import Outcome, measure, untrained_of

_PROGRESS, _LOCK, _GONE = ".study-", ".lock", ".gone"  # names of progress folders, and within them


def run(spec: Spec, folder: Path, runs: Path, executor: Executor | None, workers: int, show: bool | None) -> None:
    """Trains and measures what a study lacks (see Study.run). StudyError if another process runs it, ConfigError for a
    metric that is not measured or not admitted, CodeChanged for another package than that of its results."""
    require(type(workers) is int and workers > 0, "workers", workers, "a whole number from 1")
    allowed = "an executor of concurrent.futures, or None; `workers` is how many processes"
    require(executor is None or isinstance(executor, Executor), "executor", executor, allowed)
    with store.alone(folder):
        require_unchanged(spec, folder)
        measured = store.finished(folder, spec)
        if not measured:  # a study with results was admitted before them, or is from before the rule
            require_admitted(spec, folder.parent)
        write_spec(spec, folder, measured)
        store.read_failed(folder, spec)  # refuses a broken one now, not after hours of training
        todo = [(v, seed) for seed in spec.seeds for v in spec.variants if (v, seed) not in measured]
        reasons = dict[Key, str]()
        if todo:
            pin = _admit(spec, folder, todo, len(measured), executor)
            with executor_of(executor, workers, len(todo)) as chosen:
                reasons = _train(spec, folder, _outcomes(spec, runs, todo, chosen, show, pin.files), pin)
        store.write_failed(folder, spec, reasons)
    if reasons:
        lines = [f"  {variant}, seed {seed}: {why}" for (variant, seed), why in reasons.items()]
        total = len(spec.seeds) * len(spec.variants)
        head = f"{spec.name}: {len(reasons)} of {total} runs failed twice and count as the worst"
        warnings.warn("\n".join((f"{head}; the same study tries them again", *lines)), stacklevel=3)


def _admit(spec: Spec, folder: Path, todo: Sequence[Key], measured: int, executor: Executor | None) -> CodePin:
    """The pin of the code. Nothing is trained by changed code, or for a task or metric that cannot be measured."""
    require_answerable(spec)
    pin = code_pin.begin(folder, measured, spec)
    if executor is None and (mixed := code_pin.mixed_precision(spec, folder, todo)):
        warnings.warn(mixed, stacklevel=4)
    families = {key: known.family for key, known in store.read_metrics(folder).items()}
    if not {*spec.primary, *spec.margins, *spec.detectable} <= {*families}:
        families = untrained_of(spec, folder, executor).families
    require_all_measured(spec, families)
    return pin


def _train(spec: Spec, folder: Path, outcomes: Generator[tuple[Key, Any]], pin: CodePin) -> dict[Key, str]:
    """Records all outcomes; returns the runs that failed twice, and why. Each is written at once: the call may be
    interrupted."""
    reasons = dict[Key, str]()
    with closing(outcomes):
        for key, outcome in outcomes:
            if isinstance(outcome, Outcome):
                _record(spec, folder, key, outcome, pin)
            else:
                reasons[key] = f"{type(outcome).__name__}: {outcome}"
                store.write_failed(folder, spec, store.read_failed(folder, spec) | reasons)
    return reasons


def _record(spec: Spec, folder: Path, key: Key, outcome: Outcome, pin: CodePin) -> None:
    code_pin.keep(folder, pin)
    if outcome.found:
        code_pin.note_found(folder, *key)
    records = {run_records.PROBES: outcome.probes, run_records.CURVES: outcome.curves}
    for name, lines in (records | {run_records.MACHINES: outcome.machine}).items():
        run_records.add_records(folder / name, key, lines)
    store.add_results(folder, spec, key, outcome.rows, outcome.seconds, outcome.untrained)  # last: it counts


def _outcomes(
    spec: Spec, runs: Path, todo: Sequence[Key], executor: tuple[Executor, float], show: bool | None, code: Files
) -> Generator[tuple[Key, Any]]:
    """Runs `todo` and yields each with its outcome; with an exception, if it failed twice."""
    with _progress_folder(runs) as folder:
        first, run_of = _planned(spec, runs, todo, folder, code)
        jobs, total = [*_with_later(first)], len(spec.seeds) * len(spec.variants)
        view = Progress(spec.name, jobs, total, total - len(todo), show)
        with view, closing(execute(first, *executor)) as outcomes:
            for job, outcome in outcomes:
                earlier = None  # whether it was trained before this call
                if isinstance(outcome, Outcome):  # after a failed try it is there because this study trained it
                    earlier = outcome.found and job.tries == 1
                    outcome = outcome._replace(found=earlier)
                if job in run_of:
                    yield run_of[job], outcome
                view.ended(job, job in run_of, earlier)


def _planned(
    spec: Spec, runs: Path, todo: Sequence[Key], progress: Path, code: Files
) -> tuple[list[Job], dict[Job, Key]]:
    """The jobs to begin with, and the run of each job of a run. Variants of a seed share a warm start and a teacher:
    one that is to be trained is a job, so that none waits for it. Whole seeds come one after the other, also where
    several share a warm start."""
    first: list[Job] = []
    run_of: dict[Job, Key] = {}
    shared: dict[Path, Job] = {}

    def job(name: str, config: RunConfig, asks: Sequence[Ask], *measured: object) -> Job:
        path = progress / str(order := len(run_of) + len(shared))
        call = (code_pin.checked, code, measure, config.to_json(), str(runs), asks, str(path), *measured)
        return Job(name, call, path, config.train.steps, order=order)

    for variant, seed in todo:
        config, step_0 = spec.config(variant, seed), variant in spec.compared_with
        run = job(f"{variant}, seed {seed}", config, spec.asks, spec.split, step_0)
        run_of[run] = variant, seed
        waiting = first
        for kind, need in before(Run.of(config, runs)).items():
            folder = Run.of(need, runs).folder
            if folder not in shared:
                shared[folder] = job(f"{kind} of seed {seed}", need, ())
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
    """A folder for the progress files, locked while its study lives. Jobs stop when it is gone, so it goes at once at
    the end."""
    with ExitStack() as ending:
        with explain_os_error(runs):
            runs.mkdir(parents=True, exist_ok=True)
            with store.held(runs / ".studies.lock", timeout=60):  # a folder that is being made is not locked yet
                _remove_dead(runs)
                folder = Path(tempfile.mkdtemp(prefix=_PROGRESS, dir=runs))
                ending.callback(_remove, folder)
                ending.enter_context(store.held(folder / _LOCK))
        yield folder


def _remove_dead(runs: Path) -> None:
    """Removes the progress folders of killed studies."""
    for folder in runs.glob(f"{_PROGRESS}*"):
        with suppress(OSError), store.held(folder / _LOCK) as dead:  # Timeout is an OSError: it lives
            if dead:
                _remove(folder)


def _remove(folder: Path) -> None:
    gone = folder.with_name(f"{folder.name.removesuffix(_GONE)}{_GONE}")
    with suppress(OSError):  # it is gone already
        os.replace(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)
