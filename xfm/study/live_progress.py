"""Progress of a study's jobs: files that they write, and one live view of them in a terminal or a notebook."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from tqdm.auto import tqdm

from ..base.numbers import duration
from ..runs.run import Record
from .execute import Job

_EVERY = 1.0  # seconds between two reports, or readings
_NOTEBOOK = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)  # tqdm.auto knows where it is
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps [{elapsed}{postfix}]"  # the time to go is ours


class Stopped(Exception):
    """The study that asked for the job has ended; what was trained is saved."""


def report(records: Iterable[Record], run: str, path: Path) -> None:
    """Consumes the records of a training and writes the steps that `run` has done to a file, once a second at most.

    Writes nothing if the file's folder cannot be seen, as on another machine. Raises Stopped once it is removed.
    """
    visible, due = path.parent.is_dir(), 0.0
    for record in records:
        if visible and (now := time.monotonic()) >= due:
            due = now + _EVERY
            if not path.parent.is_dir():
                raise Stopped(f"{run}: the study was stopped; the same study goes on from step {record['step'] + 1}")
            with suppress(OSError):  # progress is no reason to stop
                done = record["step"] + 1 if record["run"] == run else 0  # 0: its warm start comes first
                path.write_text(str(done), "utf-8")


def read(path: Path) -> int:
    """Steps done; 0 if none, or none that can be read at this moment, were reported."""
    try:
        return int(path.read_text("utf-8"))
    except (OSError, ValueError):
        return 0


class Progress:
    """A context that shows, from a thread, what the jobs report: a bar on a terminal and in a notebook.

    `show` True: a line per run if the output is a file; False: nothing. The time to go is that of the steps seen so
    far, evaluations included.
    """

    def __init__(self, title: str, jobs: Sequence[Job], runs: int, ready: int, show: bool | None = None):
        self.title, self.jobs, self.runs, self.ready, self.failed = title, jobs, runs, ready, 0
        self.over: set[Job] = set()
        self.steps = dict.fromkeys(jobs, 0)  # done so far
        self._first: dict[Job, int] = {}  # steps when first seen: a resume skips some
        self._began = time.monotonic()
        self._lock = threading.RLock()
        interactive = _NOTEBOOK or sys.stderr.isatty()
        self._log = bool(show) and not interactive
        hidden, self.total = not interactive or show is False, sum(job.steps for job in jobs)
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

    def ended(self, job: Job, of_run: bool, found: bool | None = None) -> None:
        """Notes that a job is over. `of_run`: it is a run of the study, no warm start; `found`: it was trained already;
        None: it has failed."""
        with self._lock:
            self.over.add(job)
            self.ready += of_run and found is not None
            self.failed += of_run and found is None
            if found is not False:  # no steps of this call
                self._first[job] = job.steps
        if self._log and of_run:
            self.update()
            print(f"{self.title}: {self}", file=sys.stderr, flush=True)

    def _watch(self) -> None:
        while not self._end.wait(_EVERY):
            self.update()

    def update(self) -> None:
        """Reads all progress files."""
        with self._lock:
            for job in self.jobs:
                if done := read(job.progress_file):
                    self._first.setdefault(job, done)
                self.steps[job] = job.steps if job in self.over else done
            self._bar.set_postfix_str(str(self), refresh=False)
            self._bar.update(sum(self.steps.values()) - self._bar.n)

    @property
    def seconds_left(self) -> float:
        """Seconds to go; NaN before a step is seen."""
        with self._lock:
            here = sum(self.steps[job] - self._first.get(job, 0) for job in self.jobs)
            remaining = self.total - sum(self.steps.values())
            return (time.monotonic() - self._began) * remaining / here if here else math.nan

    def __str__(self) -> str:
        running = sum(done > 0 for job, done in self.steps.items() if job not in self.over)
        counts = f"{self.ready} of {self.runs} runs, {running} running"
        counts += f", {self.failed} failed" if self.failed else ""
        seconds = self.seconds_left
        return counts + (f"; about {duration(seconds)} to go" if seconds == seconds else "")
