"""A job's progress as a file: how many steps of its run are done. The jobs write, the study's process reads."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..base.strings import parse_json
from ..runs.run import Record

__all__ = ["Stopped", "read", "report", "write"]

_EVERY = 1.0  # seconds between two reports


class Stopped(Exception):
    """The study that asked for the job is no longer there; what was trained is saved."""


def report(records: Iterable[Record], run: str, path: Path) -> None:
    """Consumes the records of a training and writes the steps of `run` to `path`, at most once a second.

    Where the study's folder cannot be seen, as on another machine, nothing is written. Raises Stopped when that folder
    is taken away.
    """
    visible, due = path.parent.is_dir(), 0.0
    for record in records:
        if visible and (now := time.monotonic()) >= due:
            due = now + _EVERY
            if not path.parent.is_dir():
                raise Stopped(f"{run}: the study was stopped; the same study goes on from step {record['step'] + 1}")
            with suppress(OSError):  # progress is no reason to stop
                write(path, record["step"] + 1 if record["run"] == run else 0)  # 0: its warm start comes first


def write(path: Path, done: int) -> None:
    """Whole, as it may be read at this moment; not fsynced, as nobody needs it tomorrow."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(done), "utf-8")
    os.replace(temporary, path)


def read(path: Path) -> int:
    """Steps done, as last written; 0 where nothing was."""
    try:
        done = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError):
        return 0
    return done if type(done) is int else 0
