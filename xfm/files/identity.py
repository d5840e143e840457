"""Which picture is which, by content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..data import cache
from .readers.records import Picture

BYTES = 8  # of an identity
VERSION = 2  # of what is kept
AT_ONCE = 500  # pictures that a thread is given: what keeps track of a task is larger than a row


def identities(pictures: Sequence[Picture]) -> list[bytes]:
    """A hash of what tells each picture from others (`readers.content`): equal files have equal ones, wherever they
    lie. Kept in the cache folder until a file changes; a picture that cannot be read has that of its name."""
    batches = [pictures[i : i + AT_ONCE] for i in range(0, len(pictures), AT_ONCE)]
    key = hashlib.blake2b(digest_size=12)
    with ThreadPoolExecutor(16) as pool:
        for versions in pool.map(_versions, batches):
            key.update(versions)
        name = f"identities-{VERSION}-{key.hexdigest()}.bin"
        path = cache.cached(name, lambda: b"".join(pool.map(_identities, batches)))
    whole = Path(path).read_bytes()
    return [whole[i : i + BYTES] for i in range(0, len(whole), BYTES)]


def _versions(pictures: Sequence[Picture]) -> bytes:
    return b"".join(f"{_version(picture)}\n".encode("utf-8", "replace") for picture in pictures)


def _version(picture: Picture) -> str:
    try:
        return picture.version()
    except OSError:
        return f"missing: {picture.name}"


def _identities(pictures: Sequence[Picture]) -> bytes:
    return b"".join(map(_identity, pictures))


def _identity(picture: Picture) -> bytes:
    try:
        content = picture.ends()
    except OSError:
        content = picture.name.encode("utf-8", "replace")
    return hashlib.blake2b(content, digest_size=BYTES).digest()


def text_identity(text: str) -> bytes:
    """As of a picture, of a text that has none."""
    return hashlib.blake2b(text.encode(), digest_size=BYTES).digest()
