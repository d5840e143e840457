"""A lock on the disk, which ends with the process that holds it, however that ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

__all__ = ["held"]


@contextmanager
def held(path: Path, timeout: float = 0.0) -> Iterator[bool]:
    """A context that holds the lock of a file, which it makes; filelock.Timeout where another has it for longer than
    `timeout` seconds. False: the file system knows no locks, and nothing is held."""
    lock = FileLock(path, timeout=timeout)
    with suppress(NotImplementedError):
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()
