"""The lines of a text file, and which file is which: by what is in it, and by what changes where it does."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ...base.fields import ConfigError

EDGE = 64 << 10  # bytes at either end of a compressed file that tell it from others
COMPRESSED = re.compile(rb"\x89PNG|\xff\xd8|GIF8|RIFF|\0\0\0\x0cjP|\xff\x4f\xff\x51|....ftyp", re.DOTALL)  # heads


def utf8_lines(path: str | Path, newline: str | None = None) -> Iterator[str]:
    """The lines of a file; `newline` as for `open`. Raises ConfigError, which names the line, for what is not UTF-8: a
    decoder reads blocks, so its own error does not know the line. OSError where the file cannot be read."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline=newline) as file:
        for number, line in enumerate(file, 1):
            try:
                line.encode()
            except UnicodeEncodeError as error:
                byte = ord(line[error.start]) - 0xDC00  # as surrogateescape writes it
                raise ConfigError(f"{path}:{number}: byte {byte:#04x} is not UTF-8. Save the file as UTF-8.") from None
            yield line


def telling(file: BinaryIO, start: int, size: int) -> bytes:
    """What tells the picture of `size` bytes at `start` from others: its length and both its ends. One that is not
    compressed has equal ends with others whose margins are equal: of it a hash of what is between is there, too."""
    file.seek(start)
    head = file.read(min(EDGE, size))
    between = hashlib.blake2b()
    if plain := size > 2 * EDGE and not COMPRESSED.match(head):
        for remaining in range(size - 2 * EDGE, 0, -EDGE):
            between.update(file.read(min(EDGE, remaining)))
    file.seek(start + max(0, size - EDGE))
    return size.to_bytes(8, "big") + head + file.read(min(EDGE, size)) + (between.digest() if plain else b"")


def state(path: str | Path) -> str:
    """What changes when a file does, as far as can be told without reading it. OSError where it is not there."""
    status = os.stat(path)
    return f"{path}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"
