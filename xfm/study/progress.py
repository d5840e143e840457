"""One view over all runs of a study, in a terminal or a notebook: steps done, time to go, runs done and failed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence

from tqdm.auto import tqdm

from . import progress_file
from .execute import Job

__all__ = ["Progress"]

_NOTEBOOK = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)  # tqdm.auto knows where it is
_EVERY = 1.0  # seconds between two readings of the progress files


class Progress:
    """A context that shows, from a thread, what the jobs report: a bar on a terminal and in a notebook.

    `show` True: where the output is a file as well, a line a run; False: nothing. The time to go is of all steps, at
    the mean rate so far.
    """

    def __init__(self, title: str, jobs: Sequence[Job], runs: int, ready: int, show: bool | None):
        self.title, self.jobs, self.runs, self.ready, self.failed = title, jobs, runs, ready, 0
        self.over: set[Job] = set()
        self.total, self.done, self.running = sum(job.steps for job in jobs), 0, 0
        interactive = _NOTEBOOK or sys.stderr.isatty()
        self._log = bool(show) and not interactive
        hidden = not interactive or show is False
        self._bar = tqdm(desc=title, total=self.total, unit="step", smoothing=0, dynamic_ncols=True, disable=hidden)
        self._began, self._end = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()
        self.update()
        self._bar.close()

    def ended(self, job: Job, of_run: bool, failed: bool = False) -> None:
        """A job is over; `of_run`: one of the study's runs, no warm start."""
        self.over.add(job)
        self.ready += of_run and not failed
        self.failed += of_run and failed
        if self._log and of_run:
            self.update()
            print(f"{self.title}: {self}", file=sys.stderr, flush=True)

    def _watch(self) -> None:
        while not self._end.wait(_EVERY):
            self.update()

    def update(self) -> None:
        """Reads all progress files."""
        steps = {job: job.steps if job in self.over else progress_file.read(job.progress_file) for job in self.jobs}
        self.done = sum(steps.values())
        self.running = sum(job not in self.over and done > 0 for job, done in steps.items())
        self._bar.set_postfix_str(self.counts(), refresh=False)
        self._bar.update(self.done - self._bar.n)

    def counts(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.ready} of {self.runs} runs, {self.running} running{failed}"

    def __str__(self) -> str:
        left = (time.monotonic() - self._began) / max(self.done, 1) * (self.total - self.done)
        return f"{self.counts()}; about {f'{left:.0f} s' if left < 100 else f'{left / 60:.0f} min'} to go"
