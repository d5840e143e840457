"""Splits of user data: the split that a row names, else one by content, so that equal pictures are in one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from ..data import cache
from ..data.source import HELD_OUT, SMALLEST_SPLIT, Split
from .readers.records import Picture

BYTES = 8  # of an identity
VERSION = 2  # of what is kept
AT_ONCE = 500  # pictures that a thread is given: what keeps track of a task is larger than a row
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Splits:
    """Splits of a source's rows, by the split that each names (None: none) and its identity."""

    def __init__(self, named: Sequence[Split | None], identities: Sequence[bytes]) -> None:
        self.rows = list(zip(identities, named, strict=True))
        self.named = {split for split in named if split}
        self.different = len(set(identities))
        # Rows that name one of these may be moved to another: none and, where a split is missing, the training's.
        self.movable: set[Split | None] = {None} if {*SPLITS} <= self.named else {None, "train"}
        self.members: dict[Split, list[int]] = {}  # split -> indices of its rows

    def follow(self, elsewhere: Mapping[bytes, Split]) -> None:
        """Splits the rows; those that name no split are where another source has put them: identity -> split."""
        placed = self._placed(SPLITS)
        rows = []
        for identity, named in self.rows:
            split = named or placed.get(identity)  # as an equal picture
            rows.append((identity, elsewhere.get(identity, split) if split in self.movable else split))
        free = {identity for identity, split in rows if split in self.movable and identity not in elsewhere}
        by_content = split_by_content(free, 0 if len(self.named) == len(SPLITS) else SMALLEST_SPLIT)
        self.members = {split: [] for split in SPLITS}
        for i, (identity, split) in enumerate(rows):
            moves = split is None or (split == "train" and by_content.get(identity) not in self.named)
            new = by_content[identity] if identity in free and moves else split
            self.members[new].append(i)  # type: ignore[index]

    def _placed(self, splits: Iterable[Split]) -> dict[bytes, Split]:
        """Identity -> the split that a row names; the test last: what is in several splits trains no further row."""
        return {identity: split for split in splits for identity, name in self.rows if name == split}

    @property
    def fixed(self) -> dict[bytes, Split]:
        """Identity -> split, of the rows that stay in the split that they name."""
        return self._placed(split for split in SPLITS if split not in self.movable)

    @property
    def placed(self) -> dict[bytes, Split]:
        """Identity -> split, of all rows; the test last."""
        return {self.rows[i][0]: split for split, members in self.members.items() for i in members}


def split_by_content(identities: Iterable[bytes], least: int = SMALLEST_SPLIT) -> dict[bytes, Split]:
    """Identity -> split: a tenth each for tests and validation, by the identity itself, so that what is added moves
    nothing; of few, at `least` so many each."""
    order = sorted(set(identities))
    shares = np.array([int.from_bytes(identity, "big") for identity in order], float) / 2.0 ** (8 * BYTES)
    test = max(least, int((shares < HELD_OUT).sum()))
    validation = max(test + least, int((shares < 2 * HELD_OUT).sum()))
    ends: dict[Split, int] = {"test": test, "validation": validation, "train": len(order)}
    return {identity: next(split for split, end in ends.items() if i < end) for i, identity in enumerate(order)}


def identities(pictures: Sequence[Picture]) -> list[bytes]:
    """A hash of what tells each picture from others (`records.telling`): equal files have equal ones, wherever they
    lie. Kept in the cache folder until a file changes; a picture that cannot be read has that of its name."""
    batches = [pictures[i : i + AT_ONCE] for i in range(0, len(pictures), AT_ONCE)]
    key = hashlib.blake2b(digest_size=12)
    with ThreadPoolExecutor(16) as pool:
        for versions in pool.map(partial(_joined, _version), batches):
            key.update(versions)
        name = f"identities-{VERSION}-{key.hexdigest()}.bin"
        path = cache.cached(name, lambda: b"".join(pool.map(partial(_joined, _identity), batches)))
    whole = path.read_bytes()
    return [whole[i : i + BYTES] for i in range(0, len(whole), BYTES)]


def _joined(describe: Callable[[Picture], bytes], pictures: Sequence[Picture]) -> bytes:
    return b"".join(map(describe, pictures))


def _version(picture: Picture) -> bytes:
    try:
        version = picture.version()
    except OSError:
        version = f"missing: {picture.name}"
    return f"{version}\n".encode("utf-8", "replace")


def _identity(picture: Picture) -> bytes:
    try:
        content = picture.ends()
    except OSError:
        content = picture.name.encode("utf-8", "replace")
    return hashlib.blake2b(content, digest_size=BYTES).digest()


def text_identity(text: str) -> bytes:
    """As of a picture, of a text that has none."""
    return hashlib.blake2b(text.encode(), digest_size=BYTES).digest()
