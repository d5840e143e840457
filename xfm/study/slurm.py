"""SLURM, through submitit, as an executor of concurrent.futures: a job of the cluster for each run of a study.

submitit hands a call over as a pickle in a folder that all machines see, and reads the answer as one: whoever can write
there can run code here, as with any executor. It is an extra: pip install "xfm-lab[slurm]".
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..base.strings import brief, parse_json, shown
from ..config import ConfigError

__all__ = ["Slurm", "options"]

_SHARED = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node", "cluster",
           "stderr_to_stdout")  # fmt: skip
# what submitit calls alike everywhere; the others are sbatch's, with "slurm_" before them
_DEFAULTS = {"name": "xfm", "timeout_min": 240, "cpus_per_task": 1}


def options(written: Iterable[str]) -> dict[str, Any]:
    """("partition=gpu", "timeout_min=240") -> what `Slurm` takes. ConfigError for what has no "="."""
    made: dict[str, Any] = {}
    for text in written:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ConfigError(f"slurm = {shown(text)}: must be key=value, as partition=gpu timeout_min=240")
        try:
            made[name] = parse_json(value)
        except ValueError:
            made[name] = value
    return made


class Slurm(ThreadPoolExecutor):
    """Each call is a job of the cluster, `at_once` at a time. A job that the cluster preempts or that runs out of its
    time is queued again, and its training goes on from its last save.

    `folder`: for submitit's files and logs, seen by all machines. `parameters`: of submitit.AutoExecutor
    (timeout_min, mem_gb, cpus_per_task, gpus_per_node, ...) and of sbatch (partition, account, qos, constraint, ...);
    cluster="local" runs the jobs as processes of this machine. ConfigError where submitit is missing, there is no
    cluster, or a parameter is unknown. Its end cancels the jobs that are left.
    """

    def __init__(self, folder: str | Path, at_once: int = 100, **parameters: Any):
        submitit = _submitit()
        named = {name if name in _SHARED else f"slurm_{name}": value for name, value in parameters.items()}
        cluster = named.pop("cluster", "slurm")
        try:
            self._cluster = submitit.AutoExecutor(Path(folder), cluster=cluster)
            self._cluster.update_parameters(**_DEFAULTS | named)
        except (RuntimeError, ValueError, NameError, AssertionError, TypeError) as error:
            raise ConfigError(f"slurm: {brief(error)}") from error
        self._lock, self._jobs = threading.Lock(), set[Any]()
        super().__init__(at_once, "slurm")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        return super().submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        with self._lock:  # submitit's submission is not meant for threads
            job = self._cluster.submit(_Call(fn), *args, **kwargs)
            self._jobs.add(job)
        try:
            value, error = job.result()
        finally:
            with self._lock:
                self._jobs.discard(job)
        if error is not None:
            raise error
        return value

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        with self._lock:
            for job in self._jobs:
                with contextlib.suppress(Exception):  # it is over already, or scancel is not to be had now
                    job.cancel(check=False)
        super().shutdown(wait, cancel_futures=cancel_futures)


class _Call:
    """What the cluster's job runs."""

    def __init__(self, fn: Callable[..., Any]):
        self.fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
        """What it returns, and the exception itself: submitit would give its text alone."""
        try:
            return self.fn(*args, **kwargs), None
        except Exception as error:
            return None, error

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """submitit's, when the job is preempted: the same call again, which goes on from the last save."""
        return importlib.import_module("submitit.helpers").DelayedSubmission(self, *args, **kwargs)


def _submitit() -> Any:
    try:
        return importlib.import_module("submitit")
    except ImportError:
        raise ConfigError('slurm: needs the package submitit: pip install "xfm-lab[slurm]"') from None
