"""One job of a study: trains a run and measures it. Plain data in, plain data out, in any process on any machine."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..config import from_json
from ..evaluation import evaluate_run
from ..train import Run
from ..train.loop import train_to_end
from ..train.run import Record
from .metrics import Measured, held_out, of_results

EVERY = 1.0  # seconds between two reports of progress
GRACE = 60.0  # seconds that an orphan has to save


class Stopped(Exception):
    """The study that asked for the job is no longer there; what was trained is saved."""


class Outcome(NamedTuple):
    """What a run hands back."""

    rows: list[Measured]
    seconds: float  # of its training
    probes: list[Record]  # where it was probed


def measure(config: str, root: str, tasks: Sequence[str], note: str) -> Outcome:
    """Trains the run of a config (as JSON) to its end and measures `tasks` on it. A run that is finished is opened;
    one that somebody else trains is waited for.

    Without tasks it only trains. Progress goes to the file `note`; Stopped when that file's folder is taken away.
    """
    wanted = from_json(config)
    records: Any = train_to_end(wanted, root)
    with closing(records):  # however it ends, what was trained is saved
        note_all(records, wanted.name, Path(note))
    if not tasks:
        return Outcome([], 0.0, [])
    torch.set_num_threads(wanted.train.threads or torch.get_num_threads())  # training did; opening a run does not
    run = Run.of(wanted, root)
    lines = run.metrics()
    rows = of_results(evaluate_run(run.folder, tasks)) + held_out(lines[-1], wanted)
    return Outcome(rows, sum(r["seconds"] for r in lines), run.probes())


def note_all(records: Iterable[Record], name: str, note: Path) -> None:
    """Trains to the end and says, at most once a second, how many steps of the run are done. Where the study's folder
    cannot be seen, as on another machine, it says nothing."""
    seen, due = note.parent.is_dir(), 0.0
    for record in records:
        if seen and (now := time.monotonic()) >= due:
            due = now + EVERY
            if not note.parent.is_dir():
                raise Stopped(f"{name}: the study was stopped; the same study goes on from step {record['step'] + 1}")
            with suppress(OSError):  # progress is no reason to stop
                write(note, record["step"] + 1 if record["run"] == name else 0)  # 0: its warm start comes first


def write(note: Path, done: int) -> None:
    """Whole, as somebody may read it at this moment; not fsynced, as nobody needs it tomorrow."""
    temporary = note.with_suffix(".new")
    temporary.write_text(json.dumps(done), "utf-8")
    os.replace(temporary, note)


def read(note: Path) -> int:
    """Steps done, as last noted."""
    try:
        return int(json.loads(note.read_text("utf-8")))
    except (OSError, ValueError):
        return 0


def prepare() -> None:
    """The start of a process that works for a study: one thread, and an end when the study's process ends, as that
    alone tells it of a kill."""
    torch.set_num_threads(1)
    threading.Thread(target=follow, args=(multiprocessing.parent_process(),), daemon=True).start()


def follow(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGINT)  # the training saves
    time.sleep(GRACE)
    os._exit(1)
