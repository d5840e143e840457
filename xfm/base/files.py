"""Files that appear whole or not at all, JSON lines, and what to say where the system refuses."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .strings import parse_json

TEMPORARY = ".*.????????"  # a glob of what a kill may leave behind
Record = dict[str, Any]


class FileError(RuntimeError):
    """A file that cannot be read or written. The message names it and a recovery hint; no valid file is lost."""


@contextmanager
def explain_os_error(path: Path) -> Iterator[None]:
    """Turns an OSError into a FileError that names the file and a recovery hint."""
    try:
        yield
    except OSError as error:
        raise FileError(
            f"{path}: cannot be written ({error.strerror or error}); the last good file is kept. Make room or rights "
            "there, then run the same again: it goes on from the last save"
        ) from error


def write_atomically(path: Path, data: bytes | memoryview | str) -> None:
    """Replaces a file by whole new content, or leaves it as it was: never a half-written one, also in a power cut.

    Text becomes UTF-8; a lone surrogate, which has none, a question mark. FileError where the system refuses."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # as TEMPORARY has it
    data = memoryview(data.encode("utf-8", "replace") if isinstance(data, str) else data).cast("B")
    with explain_os_error(path):
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            with open(temporary, "rb") as file:  # the old content is kept until that is known
                if hashlib.file_digest(file, "sha256").digest() != hashlib.sha256(data).digest():
                    raise OSError(errno.EIO, "what was written reads back differently")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def append_json_lines(path: Path, records: Sequence[Record]) -> None:
    """Adds a line a record and waits until they are on the disk. A line that a kill tore gets its end first."""
    if not records:
        return
    with explain_os_error(path), open(path, "a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write("".join(json.dumps(record) + "\n" for record in records).encode())
        file.flush()
        os.fsync(file.fileno())


def read_json_lines(path: Path, key: str = "step") -> list[Record]:
    """The records that have `key`; a line torn by a kill or a power cut is left out. No file, no records."""
    try:
        lines = path.read_text("utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error}); see to its rights") from error
    records = []
    for line in lines:
        try:
            record = parse_json(line)
        except ValueError:
            continue
        if isinstance(record, dict) and key in record:
            records.append(record)
    return records
