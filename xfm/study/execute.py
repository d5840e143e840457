"""Jobs on an executor: in this process, in processes of this machine, or on a cluster. Each has two tries."""

from __future__ import annotations

import contextlib
import importlib
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..base.strings import brief
from ..config import ConfigError
from ..runs.signals import ending_raises
from .code_pin import CodeChanged

_TRIES = 2
_GRACE = 60.0  # seconds that an orphaned worker has to save
_idle = threading.Event()  # set while this worker has no job
_idle.set()
_SHARED = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node", "cluster",
           "stderr_to_stdout")  # fmt: skip
# parameters that submitit calls alike on every cluster; it has sbatch's with "slurm_" before them
_DEFAULTS = {"name": "xfm", "timeout_min": 240, "cpus_per_task": 1}


@dataclass(eq=False)
class Job:
    """A call, and the jobs that wait for its success."""

    name: str
    call: tuple[Any, ...]  # a module's function and its arguments: plain data
    progress_file: Path
    steps: int  # of training
    then: list[Job] = field(default_factory=list)
    tries: int = 0
    order: int = 0  # the lowest of those that can begin is the next


def execute(jobs: Iterable[Job], executor: Executor, slots: float) -> Generator[tuple[Job, Any]]:
    """Runs all jobs, at most `slots` at once, by their order: pairs are complete early. Yields each with its outcome;
    after a second failure with the exception, as the jobs that waited for it. Raises CodeChanged as soon as a job does.
    """
    ready, running = [*jobs], {}
    try:
        while ready or running:
            while ready and len(running) < slots:
                ready.remove(job := min(ready, key=lambda job: job.order))
                job.tries += 1
                running[_submit(executor, job)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, outcome = running.pop(future), _outcome(future)
                if not isinstance(outcome, Exception):
                    yield job, outcome
                    ready.extend(job.then)
                elif job.tries < _TRIES:
                    ready.append(job)
                else:
                    yield from _given_up(job, outcome)
    finally:
        for future in running:  # after an interrupt, or an error of the caller
            future.cancel()


def _submit(executor: Executor, job: Job) -> Future:
    try:
        return executor.submit(*job.call)
    except Exception as error:  # of a job in this process, or of a pool that has died or was shut down
        future: Future = Future()
        future.set_exception(error)
        return future


def _outcome(future: Future) -> Any:
    try:
        return future.result()
    except CodeChanged:
        raise
    except Exception as error:
        return error


def _given_up(job: Job, error: Exception) -> Iterator[tuple[Job, Exception]]:
    yield job, error
    for waiting in job.then:
        yield from _given_up(waiting, RuntimeError(f"{job.name} failed: {type(error).__name__}: {error}"))


@contextlib.contextmanager
def executor_of(executor: Executor | None, workers: int, jobs: int) -> Iterator[tuple[Executor, float]]:
    """A context with an executor for so many jobs, and how many it takes at once; a user's takes any number. Ctrl-C,
    SIGTERM and SIGHUP wait until our workers have saved."""
    count = min(workers, jobs)
    chosen = executor or (Processes(count) if workers > 1 else InProcess())
    ending_raises(chosen, True)
    try:
        yield chosen, math.inf if executor else count
    finally:
        if executor is None:
            chosen.shutdown(cancel_futures=True)
        ending_raises(chosen, False)


class InProcess(Executor):
    """Runs a job at once, in this process; `submit` raises what the job raises."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Processes(Executor):
    """`count` pools of one process, for at most `count` jobs at once. In one pool of several, a process that is killed
    fails every job in flight; here it fails its own, and its pool is replaced. Spawned: a fork copies torch's threads.
    """

    def __init__(self, count: int):
        self._pools = dict.fromkeys((_pool() for _ in range(count)), None)  # pool -> its last future

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        pool = next(pool for pool, future in self._pools.items() if future is None or future.done())
        try:
            future = pool.submit(_work, fn, *args, **kwargs)
        except BrokenExecutor:  # its process was killed, at work or idle
            del self._pools[pool]
            future = (pool := _pool()).submit(_work, fn, *args, **kwargs)
        self._pools[pool] = future
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for pool in self._pools:
            pool.shutdown(wait, cancel_futures=cancel_futures)


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start_worker)


def _start_worker() -> None:
    """One thread, and an end with the study's process. SIGINT is heard: a script's background job ignores it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_follow, args=(multiprocessing.parent_process(),), daemon=True).start()


def _follow(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGINT)  # the training saves
    _idle.wait(_GRACE)
    os._exit(1)  # the pool's loop has caught the interrupt, and would wait for another job


def _work(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    _idle.clear()
    try:
        return fn(*args, **kwargs)
    finally:
        _idle.set()


class Slurm(ThreadPoolExecutor):
    """Each call is a job of a SLURM cluster, through submitit, `at_once` at a time. A job that is preempted or out of
    time is queued again and goes on from its last save. Leaving the context cancels the jobs that are left.

    submitit writes calls and answers as pickles: whoever can write to its folder can run code here.

    Args:
        folder: For submitit's files and logs, seen by all machines.
        parameters: Of submitit.AutoExecutor (timeout_min, mem_gb, cpus_per_task, ...) and of sbatch (partition,
            account, ...); cluster="local" runs the jobs as processes of this machine.

    Raises ConfigError without submitit or a cluster, and for an unknown parameter.
    """

    def __init__(self, folder: str | Path, at_once: int = 100, **parameters: Any):
        try:
            submitit = importlib.import_module("submitit")
        except ImportError:
            raise ConfigError('slurm: needs the package submitit: pip install "xfm-lab[slurm]"') from None
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
    """What a cluster's job runs."""

    def __init__(self, fn: Callable[..., Any]):
        self.fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
        """Its value and its exception: submitit would hand over the text of an exception alone."""
        try:
            return self.fn(*args, **kwargs), None
        except Exception as error:
            return None, error

    def checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        """submitit's hook for a preempted job: the same call again, which goes on from the last save."""
        return importlib.import_module("submitit.helpers").DelayedSubmission(self, *args, **kwargs)
