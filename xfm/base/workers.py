"""Processes that work for this one: those that make batches ahead, and calls side by side on all of a CPU's cores."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from .fields import ConfigError

CONTEXT = "fork" if sys.platform == "linux" else None  # forkserver's outlive a kill

R = TypeVar("R")


class DeadWorker(RuntimeError):
    """A process that works for this one has died, in whatever way."""


def received(batches: DataLoader, kind: str) -> Generator[Any]:
    """What the processes of a loader make, as it comes; they end with this generator, and when Python ends. Raises what
    they raise, and DeadWorker, which names their `kind`, where one is gone."""
    with _without_signal_handler():
        ready = iter(batches)
    processes: list[BaseProcess] = [*getattr(ready, "_workers", ())]
    end, unregister = partial(_end, processes), atexit.unregister  # as names, which last when Python itself is going
    atexit.register(end)  # whoever holds this generator: multiprocessing would wait for them
    try:
        while (item := _next(ready, processes, kind)) is not None:
            yield item
    finally:
        end()
        unregister(end)


def _next(items: Iterator[Any], processes: Sequence[BaseProcess], kind: str) -> Any:
    """None at the end. DeadWorker where a process is gone, whatever torch or the connection says."""
    try:
        return next(items, None)
    except ConfigError as error:  # of a process: without its traceback
        raise ConfigError(str(error).rstrip().rpartition("ConfigError: ")[2]) from error
    except Exception as error:  # what a process held may break a moment before the system says that it has ended
        ended = wait([process.sentinel for process in processes], timeout=1.0)
        if dead := [process.pid for process in processes if process.sentinel in ended]:
            raise DeadWorker(f"{kind} (pid {', '.join(map(str, dead))}) died") from error
        raise


def _end(processes: list[BaseProcess]) -> None:
    """Nothing of theirs is worth waiting for. A second call finds none: it may come when Python itself is going."""
    for process in processes:
        process.kill()
    while processes:
        processes.pop().join()


@contextmanager
def _without_signal_handler() -> Iterator[None]:
    """torch's handler raises the death of a worker wherever the main thread is, in a save or in the caller's code;
    without it the error is raised within seconds where a batch is waited for."""
    before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    if getattr(before, "__module__", "").startswith("torch."):  # of another loader
        before = signal.SIG_DFL
    yield
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, before)


def side_by_side(
    calls: Sequence[Callable[[], R]], cores: int | None = None, in_threads: bool = False
) -> Generator[tuple[int, R | Exception]]:
    """(which of the calls, what it returned or the exception it raised), as they end; at most `cores` at a time (None:
    as many as this process may use), each with one thread of torch's.

    Each process that works at them is a fork of this one: threads would wait for Python's lock, and the demo's
    evaluation takes a quarter longer with them (benchmarks/evaluate.py). Where a fork is not safe (another system than
    Linux; an accelerator, in whose presence a fork cannot differentiate) or not allowed, they are threads if the calls
    may be made `in_threads`, else they are made one after the other. DeadWorker where a process was killed.
    """
    forks = CONTEXT and not torch.accelerator.is_available() and not multiprocessing.current_process().daemon
    count = min(len(calls), cores or _usable_cores()) if forks or in_threads else 1
    if count < 2:
        yield from ((i, _outcome(call)) for i, call in enumerate(calls))
    elif forks:
        options: dict[str, Any] = {"multiprocessing_context": CONTEXT, "worker_init_fn": _ignore_interrupts}
        options |= {"generator": torch.Generator()}  # of its own: torch's other draws stay what they are
        options |= {"batch_size": None, "collate_fn": lambda item: item, "prefetch_factor": 1, "in_order": False}
        try:
            yield from received(DataLoader(_Calls(calls), num_workers=count, **options), "a process at work")
        except DeadWorker as error:
            why = "killed, by somebody or for want of memory; free some, and call again"
            raise DeadWorker(f"{error}: {why}") from error
    else:
        with ThreadPoolExecutor(count, "side by side", torch.set_num_threads, (1,)) as pool:
            jobs = {pool.submit(_outcome, call): i for i, call in enumerate(calls)}
            try:
                for job in as_completed(jobs):
                    yield jobs[job], job.result()
            finally:
                pool.shutdown(cancel_futures=True)


def gather(calls: Sequence[Callable[[], R]]) -> list[R]:
    """What the calls return, made side by side, in their order. Raises what the first one to fail raises."""
    made: dict[int, R] = {}
    with closing(side_by_side(calls)) as ended:
        for i, result in ended:
            if isinstance(result, Exception):
                raise result
            made[i] = result
    return [made[i] for i in sorted(made)]


class _Calls(Dataset[Any]):
    def __init__(self, calls: Sequence[Callable[[], Any]]) -> None:
        self.calls = calls

    def __len__(self) -> int:
        return len(self.calls)

    def __getitem__(self, i: int) -> tuple[int, Any]:
        outcome = _outcome(self.calls[i])
        if isinstance(outcome, Exception):  # its traceback stays in this process
            outcome.add_note("".join(traceback.format_exception(outcome)))
        return i, _that_can_be_sent(outcome)


def _outcome(call: Callable[[], R]) -> R | Exception:
    try:
        return call()
    except Exception as error:
        return error


def _that_can_be_sent(outcome: R | Exception) -> R | Exception:
    """Else an error that says so: a queue's thread would only print it, and the other side wait forever."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(outcome))  # type: ignore[misc]  # typeshed: an instance's method
        return outcome
    except Exception as error:
        return RuntimeError(f"{outcome!r} cannot be sent from one process to another: {error}")


def _ignore_interrupts(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # is for the process that waits for these, and ends them


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
