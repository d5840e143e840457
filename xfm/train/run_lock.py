"""Who may train a run: one at a time, in whole steps. What was trained is saved, however the loop is left."""

from __future__ import annotations

import atexit
import contextlib
import errno
import getpass
import json
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import IO

from .run import RunBusy, RunError, explain_os_error

try:
    import fcntl
except ImportError:  # Windows: two processes in one folder are not told apart
    fcntl = None

_live: dict[Path, RunLock] = {}


class RunLock:
    """A context in which this call alone trains the run of a folder; leaving it between two steps calls `save`.

    Between steps the run may be left in any way: a `break`, an interrupt in the caller's code, the end of the process,
    or another call in this process, which takes over (a notebook cell that was interrupted and is run again). What
    fails in a step leaves it as well: `save` knows what is whole. RunBusy while another thread or process trains it.
    """

    def __init__(self, folder: Path, main: bool = True):
        self.folder, self.main = folder.resolve(), main  # of several processes the main one holds for all
        self.save: Callable[[], None] = nothing
        self.stepping = threading.Lock()
        self.lock: IO[str] | None = None

    def __enter__(self) -> RunLock:
        if self.folder in _live:
            _live[self.folder].leave()
        self.lock = locked(self.folder / ".lock") if self.main else None
        _live[self.folder] = self
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if _live.get(self.folder) is not self:
            return
        try:
            self.leave()
        except Exception as second:
            if not isinstance(error, Exception):
                raise
            error.add_note(f"Nor could the steps since the last save be saved: {second}")  # the first one is the cause

    def leave(self) -> None:
        if not self.stepping.acquire(blocking=False):
            raise RunBusy(f"{self.folder}: another thread is training this run; let it finish, or stop it")
        try:
            self.save()
        finally:
            self.save = nothing
            del _live[self.folder]
            if self.lock:
                unlock(self.lock)
            self.stepping.release()

    @contextmanager
    def step(self) -> Iterator[list[int]]:
        """One step, whole: Ctrl-C waits for its end, and then the list is not empty; a second one does not wait."""
        with self.stepping, interrupt_deferred() as interrupted:
            if _live.get(self.folder) is not self:
                raise RunError(f"{self.folder}: a later call of pretrain has taken this run over; go on with that one")
            yield interrupted


def nothing() -> None:
    pass


def locked(path: Path) -> IO[str] | None:
    """The open file, which no other process can lock until it is closed or this process dies in whatever way. It says
    who holds it."""
    if fcntl is None:
        return None
    with explain_os_error(path):
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: forked loaders do not inherit it
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            with file:
                raise RunBusy(
                    f"{path.parent}: {holder(file)} is training this run; let it finish, or press Ctrl-C "
                    "there, which saves"
                ) from None
    with contextlib.suppress(OSError):  # a full disk; the lock stands, where the file system knows locks
        file.truncate(0)
        file.write(json.dumps(signature()))
        file.flush()
    return file


def unlock(file: IO[str]) -> None:
    with contextlib.suppress(OSError):  # on a full disk both may want to write
        file.truncate(0)
    with contextlib.suppress(OSError):
        file.close()


def signature() -> dict[str, str | int]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an id without a name, as in some containers
        user = f"user {os.getuid()}"
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    return {"pid": os.getpid(), "host": platform.node(), "user": user, "since": since}


def holder(file: IO[str]) -> str:
    """Who signed the lock. What a killed process signed stands until the next one has signed, and names nobody."""
    file.seek(0)
    try:
        who = json.loads(file.read())
        if who["host"] != platform.node() or alive(who["pid"]):
            return f"another process (pid {who['pid']} of {who['user']} on {who['host']}, since {who['since']})"
    except (ValueError, TypeError, LookupError):  # nothing there yet
        pass
    return "another process"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # sends nothing
    except OSError as error:
        return error.errno == errno.EPERM  # somebody else's
    return True


@atexit.register
def leave_all() -> None:
    for hold in list(_live.values()):
        with contextlib.suppress(RunBusy):  # a thread in the middle of a step
            hold.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_live.clear)


@contextmanager
def interrupt_deferred() -> Iterator[list[int]]:
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # interrupts reach the main thread alone
        yield caught
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)  # None: not set from Python
