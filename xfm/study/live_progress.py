"""One view over all runs of a study, in a terminal or a notebook: steps done, time to go, runs done and failed."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Sequence
from statistics import fmean

from tqdm.auto import tqdm

from ..base.numbers import duration
from . import progress_file
from .execute import Job
from .time_left import Times
from .worker import Outcome

__all__ = ["Progress"]

_NOTEBOOK = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)  # tqdm.auto knows where it is
_EVERY = 1.0  # seconds between two readings of the progress files
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps [{elapsed}{postfix}]"  # the time to go is ours


class Progress:
    """A context that shows, from a thread, what the jobs report: a bar on a terminal and in a notebook.

    `show` True: where the output is a file as well, a line a run; False: nothing. The time to go is by what finished
    runs of like kind took (`times`: those of before), `at_once` at a time; before the first of a kind has finished, by
    the rate of those that run.
    """

    def __init__(
        self,
        title: str,
        jobs: Sequence[Job],
        runs: int,
        ready: int,
        show: bool | None,
        at_once: float = 1,
        times: Times | None = None,
    ):
        self.title, self.jobs, self.runs, self.ready, self.failed = title, jobs, runs, ready, 0
        self.at_once, self.times = at_once, times or Times()
        self.over: set[Job] = set()
        self.steps: dict[Job, int] = {}  # done so far ...
        self._first: dict[Job, tuple[int, float]] = {}  # ... and when first told, at what time: a resume skips some
        self._lock = threading.RLock()
        self.total, self.done, self.running = sum(job.steps for job in jobs), 0, 0
        interactive = _NOTEBOOK or sys.stderr.isatty()
        self._log = bool(show) and not interactive
        hidden = not interactive or show is False
        self._bar = tqdm(desc=title, total=self.total, bar_format=_BAR, dynamic_ncols=True, disable=hidden)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()
        self.update()
        self._bar.close()

    def ended(self, job: Job, of_run: bool, outcome: Outcome | None = None) -> None:
        """A job is over, without an `outcome` where it failed; `of_run`: one of the study's runs, no warm start."""
        with self._lock:
            self.over.add(job)
            self.ready += of_run and outcome is not None
            self.failed += of_run and outcome is None
            if outcome is not None:
                self.times.add(job.kind, job.steps, outcome.seconds, outcome.measuring if job.measures else None)
        if self._log and of_run:
            self.update()
            print(f"{self.title}: {self}", file=sys.stderr, flush=True)

    def _watch(self) -> None:
        while not self._end.wait(_EVERY):
            self.update()

    def update(self) -> None:
        """Reads all progress files."""
        with self._lock:
            over = self.over
            self.steps = {job: job.steps if job in over else progress_file.read(job.progress_file) for job in self.jobs}
            for job, done in self.steps.items():
                if done and job not in over:
                    self._first.setdefault(job, (done, time.monotonic()))
            self.done = sum(self.steps.values())
            self.running = sum(job not in over and done > 0 for job, done in self.steps.items())
            self._bar.set_postfix_str(str(self), refresh=False)
            self._bar.update(self.done - self._bar.n)

    def counts(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.ready} of {self.runs} runs, {self.running} running{failed}"

    @property
    def seconds_left(self) -> float:
        """NaN while nothing can be said yet."""
        at_once = self.at_once if math.isfinite(self.at_once) else max(self.running, 1)  # as many as a cluster runs now
        with self._lock:
            jobs = [job for job in self.jobs if job not in self.over]
            return self.times.left(jobs, self.steps, at_once, self._rates())

    def _rates(self) -> dict[str, float]:
        """Seconds of a step, of each kind of which a job runs: the mean of its jobs."""
        now, rates = time.monotonic(), dict[str, list[float]]()
        for job, (first, since) in self._first.items():
            if job not in self.over and (done := self.steps[job] - first):
                rates.setdefault(job.kind, []).append((now - since) / done)
        return {kind: fmean(each) for kind, each in rates.items()}

    def __str__(self) -> str:
        left = self.seconds_left
        return self.counts() + (f"; about {duration(left)} to go" if left == left else "")
