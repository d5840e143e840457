"""Who may train a run: one at a time, in whole steps. What was trained is saved, however the loop is left."""

from __future__ import annotations

import atexit
import contextlib
import getpass
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from ..base.files import FileError, Record, explain_os_error, write_atomically
from ..model.replicas import broadcast_from_main, launched
from .errors import RunBusy, RunError
from .signals import StopRequest, Terminated, ending_raises, uncut

HOLDER = ".lock-holder"  # of a run folder: who trains it

_live: dict[Path, RunLock] = {}


class RunLock:
    """A context in which this call alone trains the run of a folder; leaving it between two steps calls `save`.

    Between steps the run may be left in any way: a `break`, an interrupt in the caller's code, the end of the process,
    or another call in this process, which takes over (a notebook cell that was interrupted and is run again). What
    fails in a step leaves it as well: `save` knows what is whole. RunBusy while another thread or process trains it, in
    all processes that would have trained it together.
    """

    def __init__(self, folder: Path, main: bool = True):
        self.folder, self.main = folder.resolve(), main  # of several processes the main one holds for all
        self.save: Callable[[], None] = _nothing
        self.stepping = threading.Lock()
        self.stop = StopRequest(together=launched()[1] > 1)
        self.lock: FileLock | None = None

    def __enter__(self) -> RunLock:
        if self.folder in _live:
            _live[self.folder].leave()
        busy = ""
        try:
            self.lock = _locked(self.folder) if self.main else None
        except RunBusy as error:
            busy = str(error)
        if busy := broadcast_from_main(busy):
            raise RunBusy(busy)
        _live[self.folder] = self
        ending_raises(self, True)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if _live.get(self.folder) is not self:
            return
        try:
            self.leave()
        except Terminated:
            if not isinstance(error, Exception):  # which ends the training anyway, and says why
                raise
        except Exception as second:
            if not isinstance(error, Exception):
                raise
            error.add_note(f"Nor could the steps since the last save be saved: {second}")  # the first one is the cause

    def leave(self) -> None:
        if not self.stepping.acquire(blocking=False):
            raise RunBusy(f"{self.folder}: another thread is training this run; let it finish, or stop it")
        try:
            with uncut():
                self._end()
        finally:
            ending_raises(self, False)

    def _end(self) -> None:
        try:
            self.save()
        finally:
            self.save = _nothing
            del _live[self.folder]
            if self.lock:
                with contextlib.suppress(OSError):
                    (self.folder / HOLDER).unlink(missing_ok=True)
                self.lock.release()
            self.stepping.release()

    @contextmanager
    def step(self) -> Iterator[None]:
        """One step, whole: Ctrl-C and signals like it wait for its end, in `stop`; a second one does not wait, but for
        an update that has begun."""
        with self.stepping, self.stop.hearing():
            if _live.get(self.folder) is not self:
                raise RunError(f"{self.folder}: a later call of pretrain has taken this run over; go on with that one")
            yield


def when_free(train: Callable[[], Generator[Record]]) -> Generator[Record]:
    """The records of a training that something else needs: where another process trains it already, after its end."""
    while True:
        try:
            return (yield from train())
        except RunBusy:
            time.sleep(1)


def _nothing() -> None:
    pass


def _locked(folder: Path) -> FileLock | None:
    """The lock of a run folder, which ends with this process in whatever way that ends; beside it stands who holds it.
    None where the file system knows no locks."""
    lock, holder = FileLock(folder / ".lock", timeout=0), folder / HOLDER
    with explain_os_error(folder / ".lock"):
        try:
            lock.acquire()
        except Timeout:  # itself an OSError
            raise RunBusy(
                f"{folder}: {_holder(holder)} is training this run; let it finish, or press Ctrl-C there, which saves"
            ) from None
        except NotImplementedError:
            return None
    with contextlib.suppress(FileError):  # a full disk: the lock stands all the same
        write_atomically(holder, json.dumps(_signature()))
    return lock


def _signature() -> dict[str, str | int]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an id without a name, as in some containers
        user = f"user {os.getuid()}"
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    return {"pid": os.getpid(), "host": platform.node(), "user": user, "since": since}


def _holder(path: Path) -> str:
    """Who holds the lock. What a killed process wrote stands until the next one has written, and names nobody."""
    try:
        who = json.loads(path.read_text("utf-8"))
        if who["host"] != platform.node() or psutil.pid_exists(who["pid"]):
            return f"another process (pid {who['pid']} of {who['user']} on {who['host']}, since {who['since']})"
    except (OSError, ValueError, TypeError, LookupError):  # nothing there yet
        pass
    return "another process"


@atexit.register
def _leave_all() -> None:
    for lock in list(_live.values()):
        with contextlib.suppress(RunBusy):  # a thread in the middle of a step
            lock.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_live.clear)
