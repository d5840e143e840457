"""Jobs on an executor: a seed's warm start before its variants, a second try for what fails, and the rest goes on."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .code_pin import CodeChanged

__all__ = ["InProcess", "Job", "Processes", "execute", "executor_of"]

_TRIES = 2
_GRACE = 60.0  # seconds that an orphaned worker has to save
_idle = threading.Event()  # of a worker: it is at no job
_idle.set()


@dataclass(eq=False)
class Job:
    """A call, and the jobs that cannot begin before it has succeeded."""

    name: str  # for people
    call: tuple[Any, ...]  # a module's function and its arguments: plain data
    progress_file: Path
    steps: int  # of training
    then: list[Job] = field(default_factory=list)
    tries: int = 0
    kind: str = ""  # jobs of one kind take as long
    measures: bool = True  # after training
    order: int = 0  # of those that can begin the lowest is the next


def execute(
    jobs: list[Job],
    executor: Executor,
    slots: float,
    done: Callable[[Job, Any], None],
    failed: Callable[[Job, Exception], None],
) -> None:
    """Runs all jobs, at most `slots` at once. Calls `done` for each that succeeds and, after a second try, `failed` for
    one that does not and for those that waited for it. Of the jobs that can begin the lowest in order is the
    next, whenever it came to wait: complete pairs early. Raises CodeChanged at once where a job does.
    """
    ready, running = [*jobs], {}
    try:
        while ready or running:
            while ready and len(running) < slots:
                ready.remove(job := min(ready, key=lambda job: job.order))
                job.tries += 1
                running[_submit(executor, job)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    outcome = future.result()
                except CodeChanged:
                    raise
                except Exception as error:
                    if job.tries < _TRIES:
                        ready.append(job)
                    else:
                        _give_up(job, error, failed)
                else:
                    done(job, outcome)
                    ready.extend(job.then)
    finally:
        for future in running:  # an interrupt, or an error of `done`
            future.cancel()


def _submit(executor: Executor, job: Job) -> Future:
    try:
        return executor.submit(*job.call)
    except Exception as error:  # of a job in this process, or of a pool that has died or was shut down
        future: Future = Future()
        future.set_exception(error)
        return future


def _give_up(job: Job, error: Exception, failed: Callable[[Job, Exception], None]) -> None:
    failed(job, error)
    for waiting in job.then:
        _give_up(waiting, RuntimeError(f"{job.name} failed: {type(error).__name__}: {error}"), failed)


class InProcess(Executor):
    """Runs a job at once, in this process; `submit` raises what the job raises."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Processes(Executor):
    """`count` pools of one process: in one pool of several, of the standard library's or of loky's, a process that is
    killed fails every job in flight; here it fails its own, and its pool is replaced.

    For at most `count` jobs at once, as `execute` has them. spawn: a fork would copy torch's threads.
    """

    def __init__(self, count: int):
        self._pools = dict.fromkeys(map(_pool, range(count)), None)  # pool -> the future it works at

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


def _pool(_: int = 0) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start_worker)


def _start_worker() -> None:
    """One thread; and an end when the study's process ends, which tells a worker of a kill. A script's background job
    begins with SIGINT ignored, and so would its workers."""
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


def executor_of(executor: Executor | None, workers: int, jobs: int) -> tuple[Executor, float]:
    """What runs so many jobs, and how many at once: one here, one a worker, or as many as a user's executor takes."""
    if executor is not None:
        return executor, math.inf
    return (InProcess(), 1) if workers == 1 else (Processes(min(workers, jobs)), min(workers, jobs))
