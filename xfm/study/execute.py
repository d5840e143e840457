"""Jobs on an executor: a seed's warm start before its variants, a second try for what dies, and no end for the rest."""

from __future__ import annotations

import math
import multiprocessing
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .job import prepare

TRIES = 2


@dataclass(eq=False)
class Job:
    """A call, and the jobs that cannot begin before it has ended well."""

    name: str  # for people
    call: tuple[Any, ...]  # a function of a module, and its arguments: plain data
    note: Path  # where it notes its progress ...
    steps: int  # ... of so many steps of training
    then: list[Job] = field(default_factory=list)
    tries: int = 0


def execute(
    jobs: list[Job],
    executor: Executor,
    room: float,
    done: Callable[[Job, Any], None],
    failed: Callable[[Job, Exception], None],
) -> None:
    """Runs all jobs, at most `room` at once, and tells `done` of each as it ends, or `failed`, after its second try, of
    it and of those that waited for it. Those that waited come next: complete pairs early rather than half of all.
    """
    ready, running = deque(jobs), {}
    try:
        while ready or running:
            while ready and len(running) < room:
                job = ready.popleft()
                job.tries += 1
                running[submit(executor, job)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    outcome = future.result()
                except Exception as error:
                    if job.tries < TRIES:
                        ready.appendleft(job)
                    else:
                        give_up(job, error, failed)
                else:
                    done(job, outcome)
                    ready.extendleft(reversed(job.then))
    finally:
        for future in running:  # an interrupt, or an error of `done`
            future.cancel()


def submit(executor: Executor, job: Job) -> Future:
    try:
        return executor.submit(*job.call)
    except (BrokenExecutor, RuntimeError) as error:  # somebody's pool that has died, or was shut down
        future: Future = Future()
        future.set_exception(error)
        return future


def give_up(job: Job, error: Exception, failed: Callable[[Job, Exception], None]) -> None:
    failed(job, error)
    for other in job.then:
        cause = RuntimeError(f"{job.name} failed: {type(error).__name__}: {error}")
        give_up(other, cause, failed)


class InProcess(Executor):
    """Runs a job here and now."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # not an interrupt: that ends the study
            future.set_exception(error)
        return future


class Processes(Executor):
    """So many processes, each a pool of its own: one that is killed takes no other's job with it, and is replaced.

    For no more jobs at once than there are processes: `room` sees to that. spawn: a fork would copy torch's threads.
    """

    def __init__(self, count: int):
        self.pools = [pool() for _ in range(count)]
        self.futures: list[Future | None] = [None] * count

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        i = next(i for i, future in enumerate(self.futures) if future is None or future.done())
        try:
            future = self.pools[i].submit(fn, *args, **kwargs)
        except BrokenExecutor:  # its process was killed, at work or without
            self.pools[i] = pool()
            future = self.pools[i].submit(fn, *args, **kwargs)
        self.futures[i] = future
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for each in self.pools:
            each.shutdown(wait, cancel_futures=cancel_futures)


def pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), prepare)


def executor_of(executor: Executor | None, workers: int) -> tuple[Executor, float]:
    """What runs the jobs, and how many at once: one here, one a process, or as many as somebody's executor takes."""
    if executor is not None:
        return executor, math.inf
    return (InProcess(), 1) if workers == 1 else (Processes(workers), workers)
